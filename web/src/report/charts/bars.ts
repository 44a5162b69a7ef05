// Throughput as bars in the colour of the backend.

import { BAR, categories, chart, heightOf, rows, tooltip, values } from "./chart.js";
import type { Key } from "../findings.js";
import { backendColour } from "./theme.js";
import { rate } from "./quantities.js";

/** Draw one bar for each row, by its name; `details` says what is shown of a row that is pointed at. */
export function throughputs<Row extends Key & { throughput: number | null }>(
  title: string,
  shown: readonly Row[],
  names: readonly string[],
  details: (row: Row) => [string, string][],
): HTMLElement {
  return chart(title, heightOf(shown.length), (colours, narrow) => ({
    xAxis: values(colours, rate),
    yAxis: categories(names, colours, narrow),
    tooltip: tooltip(colours, {
      formatter: ({ dataIndex }: { dataIndex: number }) => rows(names[dataIndex] ?? "", details(shown[dataIndex]!)),
    }),
    series: [
      {
        type: "bar",
        barWidth: BAR,
        data: shown.map((row) => ({
          value: row.throughput,
          itemStyle: { color: backendColour(row.backend, colours), borderRadius: [0, 4, 4, 0] },
        })),
        label: { show: true, position: "right", color: colours.text, formatter: ({ value }: { value: number }) => rate(value) },
      },
    ],
  }));
}
