// How much goes at once: concurrency and memory.

import { chart, legend, legendOf, lineStyle, tooltip, values } from "./charts/chart.js";
import { counted, rated, WHERE } from "./charts/columns.js";
import { labeller, type Findings, type Level } from "./findings.js";
import { figures, section } from "./charts/elements.js";
import { lineColours } from "./charts/theme.js";
import { megabytes, rate, seconds } from "./charts/quantities.js";

export function scaling(findings: Findings): HTMLElement[] {
  const place = labeller(findings.scaling);
  const several = new Set(findings.scaling.map((row) => row.source)).size > 1;
  const label = (row: Level) => place(row) + (several ? ` · ${row.source}` : ""); // two methods make no one line
  const levelled = new Map<string, Level[]>();
  for (const row of findings.scaling) levelled.set(label(row), [...(levelled.get(label(row)) ?? []), row]);
  const lines = [...levelled].filter(([, levels]) => levels.length > 1);
  if (!lines.length) return [];
  const names = lines.map(([name]) => name);
  return [
    section(
      "concurrency",
      "Concurrency",
      "What more requests at once bring: where a line is flat, whatever limits it is used up.",
      chart("Items per second by requests under way", 320, (colours, _, width) => ({
        ...legendOf(names, colours, width, 28),
        tooltip: tooltip(colours, { trigger: "axis", valueFormatter: rate }),
        xAxis: values(colours, String, {
          ...(lines.some(([, levels]) => levels.some((row) => row.level > 16))
            ? { type: "log", logBase: 2 }
            : { minInterval: 1 }),
          name: "requests under way",
          nameLocation: "middle",
          nameGap: 28,
        }),
        yAxis: values(colours, rate),
        color: lineColours(
          lines.map(([, [row]]) => row?.backend ?? null),
          colours,
        ),
        series: lines.map(([name, levels], at) => ({
          name,
          type: "line",
          symbolSize: 7,
          lineStyle: lineStyle(at),
          data: levels.map((row) => [row.level, row.throughput]),
        })),
      })),
      figures(findings.scaling, [
        ...WHERE,
        counted("Under way", "level"),
        rated("Items/s", "throughput"),
        counted("Windows", "windows"),
        { name: "Source", text: (row) => row.source },
      ]),
    ),
  ];
}

export function memory(findings: Findings): HTMLElement[] {
  const samples = findings.memory;
  if (samples.length < 2) return [];
  const began = samples[0]?.t ?? 0;
  const lines = [
    ["browser_mb", "browsers", 0],
    ["python_mb", "Python", 1],
  ] as const;
  return [
    section(
      "memory",
      "Memory",
      "Of all processes of the browsers together, and of Python, in the newest run; shared pages count once.",
      chart("Memory", 240, (colours) => ({
        grid: { left: 8, right: 24, top: 40, bottom: 8, containLabel: true },
        legend: legend(colours),
        tooltip: tooltip(colours, { trigger: "axis", valueFormatter: megabytes }),
        xAxis: values(colours, seconds, { splitLine: { show: false }, max: "dataMax" }),
        yAxis: values(colours, megabytes),
        series: lines.map(([key, name, colour]) => ({
          name,
          type: "line",
          showSymbol: samples.length < 20,
          lineStyle: { width: 2 },
          areaStyle: { opacity: 0.1 },
          itemStyle: { color: colours.series[colour] },
          data: samples.map((sample) => [sample.t - began, sample[key]]),
        })),
      })),
    ),
  ];
}
