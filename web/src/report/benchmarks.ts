// What benchmarks measured, beside native onnxruntime.

import { throughputs } from "./charts/bars.js";
import { counted, rated, sized, timed, WHERE } from "./charts/columns.js";
import { labeller, type Findings } from "./findings.js";
import { section, table } from "./charts/elements.js";
import { rate, seconds } from "./charts/quantities.js";

export function benched(findings: Findings): HTMLElement[] {
  const shown = findings.benched;
  if (!shown.length) return [];
  const label = labeller(shown);
  const several = new Set(shown.map((row) => row.level)).size > 1;
  const names = shown.map((row) => label(row) + (several ? ` · ${row.level} at once` : ""));
  return [
    section(
      "benchmark",
      "Benchmark",
      "The newest measurement of each configuration, in turns with native onnxruntime: a time over native of 2 takes twice as long.",
      throughputs("Items per second; colours tell the backend", shown, names, (row) => [
        ["time per item", seconds(row.time)],
        ["interval", `${seconds(row.low)} to ${seconds(row.high)}${row.scope === "within one launch" ? `, ${row.scope}` : ""}`],
        ["native, in turns", seconds(row.native)],
        ["time over native", `${rate(row.over_native)} (${rate(row.over_low)} to ${rate(row.over_high)})`],
        ["verdict", row.verdict ?? "–"],
      ]),
      table(shown, [
        ...WHERE,
        counted("At once", "level"),
        timed("Time per item", "time"),
        timed("Native", "native"),
        rated("Over native", "over_native"),
        timed("Cold load", "cold"),
        timed("Warm", "warm"),
        timed("Cached", "cached"),
        timed("First run", "first"),
        sized("Memory", "mb"),
      ]),
    ),
  ];
}
