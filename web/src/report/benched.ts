// What benchmarks measured, beside native onnxruntime.

import { BAR, categories, chart, heightOf, rows, tooltip, values } from "./chart.js";
import { counted, rated, sized, timed, WHERE } from "./columns.js";
import { labeller, type Benched, type Findings } from "./findings.js";
import { section, table } from "./parts.js";
import { backendColour } from "./theme.js";
import { rate, seconds } from "./words.js";

export function benched(found: Findings): HTMLElement[] {
  const shown = found.benched;
  if (!shown.length) return [];
  const label = labeller(shown);
  const several = new Set(shown.map((row) => row.level)).size > 1;
  const names = shown.map((row) => label(row) + (several ? ` · ${row.level} at once` : ""));
  return [
    section(
      "benchmark",
      "Benchmark",
      "The newest measurement of each configuration, in turns with native onnxruntime: a time over native of 2 takes twice as long.",
      chart("Items per second; colours tell the backend", heightOf(shown.length), (colours, narrow) => ({
        xAxis: values(colours, rate),
        yAxis: categories(names, colours, narrow),
        tooltip: tooltip(colours, {
          formatter: ({ dataIndex }: { dataIndex: number }) => {
            const row = shown[dataIndex] as Benched;
            return rows(names[dataIndex] ?? "", [
              ["time per item", seconds(row.time)],
              ["interval", `${seconds(row.low)} to ${seconds(row.high)}`],
              ["time over native", rate(row.over_native)],
              ["verdict", row.verdict ?? "–"],
            ]);
          },
        }),
        series: [
          {
            type: "bar",
            barWidth: BAR,
            data: shown.map((row) => ({
              value: row.throughput,
              itemStyle: { color: backendColour(row.backend, colours), borderRadius: [0, 4, 4, 0] },
            })),
            label: {
              show: true,
              position: "right",
              color: colours.text,
              formatter: ({ value }: { value: number }) => rate(value),
            },
          },
        ],
      })),
      table(shown, [
        ...WHERE,
        counted("At once", "level"),
        timed("Time per item", "time"),
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
