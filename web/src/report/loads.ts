// What comes before the first answer.

import { BAR, categories, chart, heightOf, legend, span, tooltip, values } from "./charts/chart.js";
import { counted, sized, timed, WHERE } from "./charts/columns.js";
import { labeller, type Findings } from "./findings.js";
import { figures, section } from "./charts/elements.js";
import { seconds } from "./charts/quantities.js";

export function loading(findings: Findings): HTMLElement[] {
  const loads = findings.loads.filter((row) => row.seconds !== null);
  if (!loads.length) return [];
  const names = loads.map(labeller(loads));
  const stages = [
    ["fetch", 0],
    ["create", 1],
  ] as const;
  const contents = [
    chart(
      "Loading: median time to fetch the files and to create the session",
      heightOf(loads.length, true),
      (colours, narrow) => ({
        grid: { left: 8, right: 32, top: 36, bottom: 8, containLabel: true },
        legend: legend(colours),
        tooltip: tooltip(colours, { trigger: "axis", axisPointer: { type: "shadow" }, valueFormatter: seconds }),
        xAxis: values(colours, seconds),
        yAxis: categories(names, colours, narrow),
        series: stages.map(([key, colour]) => ({
          name: key,
          type: "bar",
          stack: "load",
          barWidth: BAR,
          itemStyle: { color: colours.series[colour], borderColor: colours.surface, borderWidth: 1 },
          data: loads.map((row) => row[key]),
        })),
      }),
    ),
    figures(findings.loads, [
      ...WHERE,
      counted("Loads", "loads"),
      sized("Files", "mb"),
      timed("Fetch", "fetch"),
      timed("Create", "create"),
      timed("Whole", "seconds"),
      counted("Failed", "failed"),
    ]),
  ];
  const first = findings.first;
  if (first.length) {
    const label = labeller(first);
    const both = first.flatMap((row) => [row.first, row.later]);
    contents.push(
      chart("First inference of a session, and later ones", heightOf(first.length, true), (colours, narrow) => ({
        grid: { left: 8, right: 32, top: 36, bottom: 8, containLabel: true },
        legend: legend(colours),
        tooltip: tooltip(colours, { trigger: "axis", axisPointer: { type: "shadow" }, valueFormatter: seconds }),
        xAxis: values(colours, seconds, { type: "log", ...span(both, both) }),
        yAxis: categories(first.map(label), colours, narrow),
        series: (["first", "later"] as const).map((key, at) => ({
          name: key,
          type: "scatter",
          symbol: at ? "circle" : "diamond",
          symbolSize: 14,
          itemStyle: { color: colours.series[at ? 1 : 2], opacity: 1 },
          data: first.map((row) => row[key]),
        })),
      })),
    );
  }
  return [
    section("loading", "Loading", "What comes before the first answer, and what the first answer itself takes.", ...contents),
  ];
}
