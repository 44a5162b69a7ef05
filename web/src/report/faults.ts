// What failed, and what made up for it.

import { counted, timed } from "./charts/columns.js";
import type { Findings } from "./findings.js";
import { element, section, table, type Column } from "./charts/elements.js";
import { short } from "./charts/quantities.js";

export function trouble(findings: Findings): HTMLElement[] {
  const { failures, faults, recoveries } = findings;
  if (!failures.length && !faults.length) {
    return [section("trouble", "Errors and recoveries", "Nothing failed and nothing was lost.")];
  }
  const contents: HTMLElement[] = [];
  if (failures.length) {
    contents.push(
      element("h3", "", "Requests and benchmarks that failed"),
      explained(failures, [
        { name: "Code", text: (row) => row.error_code },
        { name: "Model", text: (row) => row.model_name ?? "" },
        { name: "Backend", text: (row) => row.backend ?? "" },
        counted("Times", "times"),
        { name: "For example", text: (row) => short(row.example) },
      ]),
    );
  }
  if (faults.length) {
    contents.push(
      element("h3", "", "Faults"),
      explained(faults, [
        { name: "What", text: (row) => row.kind },
        { name: "Code", text: (row) => row.code },
        counted("Times", "times"),
        counted("Run again", "retried"),
        { name: "For example", text: (row) => short(row.example) },
      ]),
    );
  }
  if (recoveries.length) {
    contents.push(
      element("h3", "", "Recoveries"),
      table(recoveries, [
        { name: "What", text: (row) => row.kind },
        counted("Times", "times"),
        timed("Median time", "seconds"),
        timed("Slowest", "slowest"),
      ]),
    );
  }
  const lead =
    "A fault is an attempt that failed, or a lane or browser that was lost. Its requests are run again, so that few callers notice.";
  return [section("trouble", "Errors and recoveries", lead, ...contents)];
}

/** A table whose last column is a sentence: only that one is broken into lines. */
function explained<T>(rows: readonly T[], columns: readonly Column<T>[]): HTMLElement {
  const explanations = table(rows, columns);
  explanations.classList.add("explained");
  return explanations;
}
