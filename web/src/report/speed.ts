// How fast: throughput, latency, where the time goes, and how it went over time.

import { throughputs } from "./charts/bars.js";
import { BAR, categories, chart, heightOf, legend, legendOf, rows, span, tooltip, values } from "./charts/chart.js";
import { counted, rated, timed, WHERE } from "./charts/columns.js";
import { labeller, type Bin, type Configuration, type Findings, type Moment } from "./findings.js";
import { figures, section, type Child, type Column } from "./charts/elements.js";
import { backendColour, lineColours } from "./charts/theme.js";
import { count, rate, seconds } from "./charts/quantities.js";

const PER_DECADE = 16; // bins of the distributions
const LINES = 8; // that can be told apart

const FIGURES: Column<Configuration>[] = [
  ...WHERE.slice(0, 3),
  { name: "Browser", text: (row) => [row.browser_name, row.engine_version].filter(Boolean).join(" ") },
  counted("Requests", "requests"),
  rated("Items/s", "throughput"),
  timed("p50", "p50"),
  timed("p95", "p95"),
  timed("p99", "p99"),
  timed("Slowest", "slowest"),
  timed("Run p50", "run_p50"),
  rated("Batch", "batch"),
  counted("Failed", "failed"),
  { name: "Verdict", text: (row) => row.verdict ?? "" },
];

export function speed(findings: Findings): HTMLElement[] {
  const shown = findings.configurations;
  if (!shown.length) return [];
  const label = labeller(shown);
  const names = shown.map(label);
  const sections = [
    section(
      "throughput",
      "Throughput",
      "Items answered per second, while at least one request was under way. Colours tell the backend.",
      throughputs("Items per second", shown, names, (row) => [
        ["items per second", rate(row.throughput)],
        ["requests", count(row.requests)],
        ["lanes seen", count(row.lanes)],
        ["median latency", seconds(row.p50)],
        ["verdict", row.verdict ?? "–"],
      ]),
      figures(shown, FIGURES),
    ),
    section(
      "latency",
      "Latency",
      "From asking to answer. Each box holds the middle half of the requests, its whiskers 90 of 100; the scale is logarithmic.",
      boxes(shown, names),
      distributions(findings.distributions, shown, names),
    ),
    section(
      "time",
      "Where the time goes",
      "The mean request: the queue before a lane is free, the wait in the lane, the transfer of tensors, and the run itself.",
      parts(shown, names),
    ),
  ];
  if (findings.timeline.length > 2) {
    sections.push(
      section("timeline", "Over time", "The newest run, from its first answer to its last.", ...timeline(findings.timeline)),
    );
  }
  return sections;
}

function boxes(shown: Configuration[], names: string[]): HTMLElement {
  return chart("Latency by configuration", heightOf(shown.length), (colours, narrow) => ({
    xAxis: values(colours, seconds, {
      type: "log",
      ...span(
        shown.map((row) => row.p5),
        shown.map((row) => row.p95),
      ),
    }),
    yAxis: categories(names, colours, narrow),
    tooltip: tooltip(colours, {
      formatter: ({ dataIndex }: { dataIndex: number }) => {
        const row = shown[dataIndex]!;
        const pairs = (["p5", "p25", "p50", "p75", "p95", "p99", "slowest"] as const).map(
          (name) => [name, seconds(row[name])] as const,
        );
        return rows(names[dataIndex] ?? "", [...pairs, ["requests", count(row.requests)]]);
      },
    }),
    series: [
      {
        type: "boxplot",
        boxWidth: [BAR - 2, BAR - 2],
        data: shown.map((row) => ({
          value: [row.p5, row.p25, row.p50, row.p75, row.p95],
          itemStyle: {
            color: `color-mix(in srgb, ${backendColour(row.backend, colours)} 28%, transparent)`,
            borderColor: backendColour(row.backend, colours),
            borderWidth: 1.5,
          },
        })),
      },
    ],
  }));
}

function distributions(bins: Bin[], shown: Configuration[], names: string[]): Child {
  const label = labeller(shown);
  const some = [...shown].sort((a, b) => b.requests - a.requests).slice(0, LINES);
  const shownBins = bins.filter((bin) => some.some((row) => label(row) === label(bin)));
  if (!shownBins.length) return "";
  const low = Math.min(...shownBins.map((bin) => bin.bin)) - 1;
  const high = Math.max(...shownBins.map((bin) => bin.bin)) + 1;
  const middle = (bin: number) => 10 ** ((bin + 0.5) / PER_DECADE - 3);
  const labels = some.map((row) => names[shown.indexOf(row)] ?? "");
  return chart("Distribution: share of requests by latency", 300, (colours, _, width) => ({
    ...legendOf(labels, colours, width, 8),
    tooltip: tooltip(colours, { trigger: "axis", order: "valueDesc", valueFormatter: (value: number) => `${value.toFixed(1)}%` }),
    xAxis: values(colours, seconds, {
      type: "log",
      ...span([middle(low)], [middle(high)]),
      splitLine: { show: false },
      axisPointer: { label: { formatter: ({ value }: { value: number }) => seconds(value) } },
    }),
    yAxis: values(colours, (value) => `${value}%`),
    color: lineColours(
      some.map((row) => row.backend),
      colours,
    ),
    series: some.map((row, at) => {
      const own = new Map(shownBins.filter((bin) => label(bin) === label(row)).map((bin) => [bin.bin, bin.count]));
      const data = [];
      for (let bin = low; bin <= high; bin++) data.push([middle(bin), (100 * (own.get(bin) ?? 0)) / row.requests]);
      return {
        name: labels[at],
        type: "line",
        step: "middle",
        showSymbol: false,
        lineStyle: { width: 2 },
        areaStyle: { opacity: 0.08 },
        data,
      };
    }),
  }));
}

function parts(shown: Configuration[], names: string[]): HTMLElement {
  const stages = [
    ["queue", "queue", 3],
    ["wait", "wait in the lane", 4],
    ["transfer", "transfer", 0],
    ["run_time", "run", 1],
  ] as const;
  const whole = (row: Configuration) => stages.reduce((sum, [key]) => sum + row[key], 0) || 1;
  return chart("Share of the mean time by stage", heightOf(shown.length, true), (colours, narrow) => ({
    grid: { left: 8, right: 72, top: 36, bottom: 8, containLabel: true },
    legend: legend(colours),
    tooltip: tooltip(colours, {
      trigger: "axis",
      axisPointer: { type: "shadow" },
      formatter: ([{ dataIndex }]: [{ dataIndex: number }]) => {
        const row = shown[dataIndex]!;
        return rows(names[dataIndex] ?? "", [
          ...stages.map(([key, name]) => [name, seconds(row[key])] as const),
          ["whole", seconds(whole(row))],
        ]);
      },
    }),
    xAxis: values(colours, (value) => `${value}%`, { max: 100 }),
    yAxis: categories(names, colours, narrow),
    series: stages.map(([key, name, colour], at) => ({
      name,
      type: "bar",
      stack: "time",
      barWidth: BAR,
      itemStyle: { color: colours.series[colour], borderColor: colours.surface, borderWidth: 1 },
      label:
        at === stages.length - 1
          ? {
              show: true,
              position: "right",
              color: colours.text,
              formatter: ({ dataIndex }: { dataIndex: number }) => seconds(whole(shown[dataIndex]!)),
            }
          : { show: false },
      data: shown.map((row) => (100 * row[key]) / whole(row)),
    })),
  }));
}

function timeline(moments: Moment[]): HTMLElement[] {
  const began = moments[0]?.t ?? 0;
  moments = moments.flatMap((moment, at) => {
    const before = moments[at - 1];
    const gap = before && moment.t - before.t > 1.5 * moment.step;
    const idle = { ...moment, answered: 0, failed: 0, throughput: 0, p50: null, p95: null };
    return gap ? [{ ...idle, t: before.t + moment.step }, { ...idle, t: moment.t - moment.step }, moment] : [moment];
  });
  const clock = (t: number) => seconds(t);
  const points = (key: "throughput" | "p50" | "p95" | "failed") => moments.map((moment) => [moment.t - began, moment[key]]);
  const line = (name: string, key: "throughput" | "p50" | "p95", colour: string | undefined, more = {}) => ({
    name,
    type: "line",
    showSymbol: false,
    lineStyle: { width: 2, color: colour },
    itemStyle: { color: colour },
    data: points(key),
    ...more,
  });
  const failures = moments.some((moment) => moment.failed);
  const zoom = [{ type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseMove: false }];
  const grid = { left: 8, right: 24, top: 40, bottom: 8, containLabel: true };
  return [
    chart("Items per second", 220, (colours) => ({
      grid,
      legend: legend(colours),
      dataZoom: zoom,
      tooltip: tooltip(colours, { trigger: "axis", valueFormatter: rate }),
      xAxis: values(colours, clock, { splitLine: { show: false }, max: "dataMax" }),
      yAxis: values(colours, rate),
      series: [
        line("items per second", "throughput", colours.series[0], { areaStyle: { opacity: 0.1 } }),
        ...(failures
          ? [
              {
                name: "failed requests",
                type: "scatter",
                symbol: "diamond",
                symbolSize: 11,
                itemStyle: { color: colours.bad, opacity: 1 },
                data: points("failed").filter(([, failed]) => failed),
              },
            ]
          : []),
      ],
    })),
    chart("Latency", 220, (colours) => ({
      grid,
      legend: legend(colours),
      dataZoom: zoom,
      tooltip: tooltip(colours, { trigger: "axis", valueFormatter: seconds }),
      xAxis: values(colours, clock, { splitLine: { show: false }, max: "dataMax" }),
      yAxis: values(colours, seconds),
      series: [line("median", "p50", colours.series[1]), line("95 of 100 within", "p95", colours.series[3])],
    })),
  ];
}
