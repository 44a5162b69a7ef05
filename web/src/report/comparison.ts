// The same elsewhere and earlier, and how all of it was measured.

import { BAR, categories, chart, heightOf, rows, tooltip, values } from "./charts/chart.js";
import { changed, counted, timed, WHERE } from "./charts/columns.js";
import { labeller, type Findings } from "./findings.js";
import { element, figures, section, table, type Child, type Column } from "./charts/elements.js";
import { count, day, percent, seconds } from "./charts/quantities.js";

export function comparisons(findings: Findings): HTMLElement[] {
  const contents: HTMLElement[] = [];
  const earlier = findings.earlier.filter((row) => row.change !== null);
  if (earlier.length) {
    const names = earlier.map(labeller(earlier));
    contents.push(
      chart("Change of the median run against the run before; left is faster", heightOf(earlier.length), (colours, narrow) => ({
        xAxis: values(colours, percent),
        yAxis: categories(names, colours, narrow),
        tooltip: tooltip(colours, {
          formatter: ({ dataIndex }: { dataIndex: number }) => {
            const row = earlier[dataIndex]!;
            return rows(names[dataIndex] ?? "", [
              [`then, of ${count(row.earlier_requests)}`, seconds(row.earlier_run_p50)],
              [`now, of ${count(row.requests)}`, seconds(row.run_p50)],
              ["earlier run", day(row.earlier)],
            ]);
          },
        }),
        series: [
          {
            type: "bar",
            barWidth: BAR,
            label: {
              show: true,
              position: "right",
              color: colours.text,
              formatter: ({ value }: { value: number }) => percent(value),
            },
            data: earlier.map((row) => ({
              value: row.change,
              itemStyle: { color: (row.change ?? 0) > 0 ? colours.bad : colours.good, borderRadius: 3 },
            })),
          },
        ],
      })),
      figures(earlier, [
        ...WHERE,
        {
          name: "Earlier run",
          text: (row) => `${day(row.earlier)} ${(row.earlier_revision ?? row.earlier_version ?? "").slice(0, 10)}`,
        },
        timed("Run then", "earlier_run_p50"),
        timed("Run now", "run_p50"),
        changed("Change", "change"),
      ]),
    );
  }
  if (!contents.length) return [];
  return [section("comparison", "Compared", "With the run before the newest.", ...contents)];
}

export function method(findings: Findings): HTMLElement {
  return section(
    "method",
    "Method and machine",
    `${findings.machine}.`,
    element("ul", "prose", ...findings.method.map((line) => element("li", "", ...coded(line)))),
    ...listed("Browsers", findings.browsers, [
      { name: "Browser", text: (row) => [row.browser_name, row.browser_version].filter(Boolean).join(" ") },
      { name: "Started", text: (row) => (row.connection_success ? "yes" : "no") },
      timed("Up for", "connection_duration_sec"),
      counted("Models", "models_executed"),
      counted("Errors", "error_count"),
      { name: "WebGPU adapter", text: (row) => row.adapter_info ?? "none" },
    ]),
    ...listed("Runs", findings.runs, [
      { name: "Started (UTC)", text: (row) => day(row.started) },
      { name: "Ended", text: (row) => (row.ended ? day(row.ended) : "killed, or going on") },
      { name: "webinfer", text: (row) => [row.version, row.revision?.slice(0, 10)].filter(Boolean).join(", ") },
      counted("Requests", "requests"),
      counted("Not recorded", "dropped"),
    ]),
  );
}

function listed<T>(title: string, rows: readonly T[], columns: readonly Column<T>[]): HTMLElement[] {
  return rows.length ? [element("h3", "", title), table(rows, columns)] : [];
}

/** Set what stands between backticks as code. */
function coded(text: string): Child[] {
  return text.split("`").map((part, at) => (at % 2 ? element("code", "", part) : part));
}
