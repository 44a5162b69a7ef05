// Everything but speed: loading, scaling, accuracy, memory, hardware, trouble, comparisons.

import { BAR, categories, chart, heightOf, legend, rows, span, tooltip, values } from "./chart.js";
import { labeller, type Findings, type Key, type Level, type Placed } from "./findings.js";
import { element, figures, section, table, type Column } from "./parts.js";
import { backendColour } from "./theme.js";
import { count, day, megabytes, percent, rate, seconds, short } from "./words.js";

const WHERE: Column<Key>[] = [
  { name: "Model", text: (row) => row.model_name ?? "" },
  { name: "Backend", text: (row) => row.backend ?? "" },
  { name: "Precision", text: (row) => row.precision ?? "" },
  { name: "Browser", text: (row) => row.browser_name ?? "" },
];

export function loading(found: Findings): HTMLElement[] {
  const loads = found.loads.filter((row) => row.seconds !== null);
  if (!loads.length) return [];
  const names = loads.map(labeller(loads));
  const stages = [
    ["fetch", 0],
    ["create", 1],
  ] as const;
  const made = [
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
    figures(found.loads, [
      ...(WHERE as Column<(typeof found.loads)[0]>[]),
      { name: "Loads", text: (row) => count(row.loads), value: (row) => row.loads },
      { name: "Files", text: (row) => megabytes(row.mb), value: (row) => row.mb },
      { name: "Fetch", text: (row) => seconds(row.fetch), value: (row) => row.fetch },
      { name: "Create", text: (row) => seconds(row.create), value: (row) => row.create },
      { name: "Whole", text: (row) => seconds(row.seconds), value: (row) => row.seconds },
      { name: "Failed", text: (row) => count(row.failed), value: (row) => row.failed },
    ]),
  ];
  const first = found.first;
  if (first.length) {
    const label = labeller(first);
    const both = first.flatMap((row) => [row.first, row.later]);
    made.push(
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
          itemStyle: { color: colours.series[at ? 1 : 2] },
          data: first.map((row) => row[key]),
        })),
      })),
    );
  }
  return [section("loading", "Loading", "What comes before the first answer, and what the first answer itself takes.", ...made)];
}

export function scaling(found: Findings): HTMLElement[] {
  const label = labeller(found.scaling);
  const named = new Map<string, Level[]>();
  for (const row of found.scaling) named.set(label(row), [...(named.get(label(row)) ?? []), row]);
  const lines = [...named].filter(([, levels]) => levels.length > 1);
  if (!lines.length) return [];
  return [
    section(
      "concurrency",
      "Concurrency",
      "What more requests at once bring: where a line is flat, whatever limits it is used up.",
      chart("Items per second by requests under way", 320, (colours) => ({
        grid: { left: 8, right: 24, top: 44, bottom: 28, containLabel: true },
        legend: legend(colours),
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
        series: lines.map(([name, levels]) => ({
          name,
          type: "line",
          symbolSize: 7,
          lineStyle: { width: 2 },
          data: levels.map((row) => [row.level, row.throughput]),
        })),
      })),
      figures(found.scaling, [
        ...(WHERE as Column<(typeof found.scaling)[0]>[]),
        { name: "Under way", text: (row) => count(row.level), value: (row) => row.level },
        { name: "Items/s", text: (row) => rate(row.throughput), value: (row) => row.throughput },
        { name: "Windows", text: (row) => count(row.windows), value: (row) => row.windows },
        { name: "Source", text: (row) => row.source },
      ]),
    ),
  ];
}

export function accuracy(found: Findings): HTMLElement[] {
  const checks = found.accuracy;
  if (!checks.length) return [];
  const drawn = checks.filter((row) => row.mb !== null && row.value !== null);
  const models = [...new Set(drawn.map((row) => row.model_name))];
  const plot = drawn.length
    ? [
        chart("Distance from the reference (1 - value) by size of the files; lower is better", 300, (colours) => ({
          grid: { left: 8, right: 32, top: 44, bottom: 28, containLabel: true },
          legend: legend(colours),
          tooltip: tooltip(colours, {
            formatter: ({ data }: { data: [number, number, string] }) =>
              rows(data[2], [
                ["size", megabytes(data[0])],
                ["value", String(data[1])],
              ]),
          }),
          xAxis: values(colours, megabytes, { name: "size", nameLocation: "middle", nameGap: 28, scale: true }),
          yAxis: values(colours, (value) => value.toExponential(0), { type: "log" }),
          series: models.map((model) => ({
            name: model,
            type: "scatter",
            symbolSize: 13,
            label: {
              show: true,
              position: "top",
              color: colours.text,
              formatter: ({ data }: { data: [number, number, string] }) => data[2],
            },
            data: drawn
              .filter((row) => row.model_name === model)
              .map((row) => [row.mb, Math.max(1 - (row.value ?? 1), 1e-15), `${row.precision} ${row.backend ?? ""}`]),
          })),
        })),
      ]
    : [];
  return [
    section(
      "accuracy",
      "Accuracy",
      "Answers held against a reference, the newest check of each model, precision and backend.",
      ...plot,
      table(checks, [
        ...(WHERE as Column<(typeof checks)[0]>[]),
        { name: "Size", text: (row) => megabytes(row.mb), value: (row) => row.mb },
        { name: "Measure", text: (row) => row.metric },
        { name: "Value", text: (row) => (row.value === null ? "–" : row.value.toPrecision(5)), value: (row) => row.value },
        { name: "Against", text: (row) => row.reference ?? "" },
        { name: "Passed", text: (row) => (row.passed === null ? "–" : row.passed ? "yes" : "no") },
      ]),
    ),
  ];
}

export function memory(found: Findings): HTMLElement[] {
  const samples = found.memory;
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

export function hardware(found: Findings): HTMLElement[] {
  if (!found.verdicts.length) return [];
  const judged = found.verdicts.map((row) =>
    element(
      "li",
      "",
      element("span", `badge ${row.verdict}`, row.verdict),
      element("strong", "", ` ${row.backend}`),
      ` in ${row.browser_name} ${row.engine_version ?? ""}`,
      element(
        "small",
        "",
        [...(row.evidence ?? []), row.adapter && row.backend === "webgpu" ? `adapter: ${row.adapter}` : ""]
          .filter(Boolean)
          .join("; "),
      ),
    ),
  );
  return [
    section(
      "hardware",
      "Hardware and placement",
      "What the browsers' own reports prove, and which backend each node of a graph really went to.",
      element("ul", "verdicts", ...judged),
      ...placement(found.placement),
    ),
  ];
}

function placement(placed: Placed[]): HTMLElement[] {
  if (!placed.length) return [];
  const names = placed.map(labeller(placed));
  const backends = [...new Set(placed.flatMap((row) => Object.keys(row.placement.nodes)))];
  const fallen = placed.filter((row) => Object.keys(row.placement.fallen ?? {}).length);
  const listed = (counts: Record<string, number>) =>
    Object.entries(counts)
      .map(([name, times]) => `${name} ${times}`)
      .join(", ");
  return [
    chart("Nodes by the backend that they went to", heightOf(placed.length, true), (colours, narrow) => ({
      grid: { left: 8, right: 32, top: 36, bottom: 8, containLabel: true },
      legend: legend(colours),
      tooltip: tooltip(colours, { trigger: "axis", axisPointer: { type: "shadow" } }),
      xAxis: values(colours, String),
      yAxis: categories(names, colours, narrow),
      series: backends.map((backend) => ({
        name: backend,
        type: "bar",
        stack: "nodes",
        barWidth: BAR,
        itemStyle: { color: backendColour(backend, colours), borderColor: colours.surface, borderWidth: 1 },
        data: placed.map((row) => row.placement.nodes[backend] ?? 0),
      })),
    })),
    ...(fallen.length
      ? [
          figures(fallen, [
            ...(WHERE as Column<Placed>[]),
            { name: "Fell back", text: (row) => listed(row.placement.fallen ?? {}) },
          ]),
        ]
      : []),
  ];
}

export function trouble(found: Findings): HTMLElement[] {
  const { failures, faults, recoveries } = found;
  if (!failures.length && !faults.length) {
    return [section("trouble", "Errors and recoveries", "Nothing failed and nothing was lost.")];
  }
  const made: HTMLElement[] = [];
  if (failures.length) {
    made.push(
      element("h3", "", "Requests that failed"),
      table(failures, [
        { name: "Code", text: (row) => row.error_code },
        { name: "Model", text: (row) => row.model_name ?? "" },
        { name: "Times", text: (row) => count(row.times), value: (row) => row.times },
        { name: "For example", text: (row) => short(row.example) },
      ]),
    );
  }
  if (faults.length) {
    made.push(
      element("h3", "", "Faults"),
      table(faults, [
        { name: "What", text: (row) => row.kind },
        { name: "Code", text: (row) => row.code },
        { name: "Times", text: (row) => count(row.times), value: (row) => row.times },
        { name: "Run again", text: (row) => count(row.retried), value: (row) => row.retried },
        { name: "For example", text: (row) => short(row.example) },
      ]),
    );
  }
  if (recoveries.length) {
    made.push(
      element("h3", "", "Recoveries"),
      table(recoveries, [
        { name: "What", text: (row) => row.kind },
        { name: "Times", text: (row) => count(row.times), value: (row) => row.times },
        { name: "Median time", text: (row) => seconds(row.seconds), value: (row) => row.seconds },
        { name: "Slowest", text: (row) => seconds(row.slowest), value: (row) => row.slowest },
      ]),
    );
  }
  const lead =
    "A fault is an attempt that failed, or a lane or browser that was lost. Its requests are run again, so that few callers notice.";
  return [section("trouble", "Errors and recoveries", lead, ...made)];
}

export function comparisons(found: Findings): HTMLElement[] {
  const made: HTMLElement[] = [];
  if (found.native.length) {
    made.push(
      element("h3", "", "Native onnxruntime on the same machine"),
      table(found.native, [
        ...(WHERE as Column<(typeof found.native)[0]>[]),
        { name: "Measure", text: (row) => [row.metric, row.unit].filter(Boolean).join(", ") },
        {
          name: "Native",
          text: (row) => (row.unit === "s" ? seconds(row.native) : rate(row.native)),
          value: (row) => row.native,
        },
        { name: "Browser", text: (row) => (row.unit === "s" ? seconds(row.value) : rate(row.value)), value: (row) => row.value },
        { name: "Ratio", text: (row) => rate(row.ratio), value: (row) => row.ratio },
      ]),
    );
  }
  const earlier = found.earlier.filter((row) => row.change !== null);
  if (earlier.length) {
    const names = earlier.map(labeller(earlier));
    made.push(
      chart("Change of the median run against the run before; left is faster", heightOf(earlier.length), (colours, narrow) => ({
        xAxis: values(colours, percent),
        yAxis: categories(names, colours, narrow),
        tooltip: tooltip(colours, {
          formatter: ({ dataIndex }: { dataIndex: number }) => {
            const row = earlier[dataIndex] as (typeof earlier)[0];
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
        ...(WHERE as Column<(typeof earlier)[0]>[]),
        {
          name: "Earlier run",
          text: (row) => `${day(row.earlier)} ${(row.earlier_revision ?? row.earlier_version ?? "").slice(0, 10)}`,
        },
        { name: "Run then", text: (row) => seconds(row.earlier_run_p50), value: (row) => row.earlier_run_p50 },
        { name: "Run now", text: (row) => seconds(row.run_p50), value: (row) => row.run_p50 },
        { name: "Change", text: (row) => percent(row.change), value: (row) => row.change },
      ]),
    );
  }
  if (!made.length) return [];
  return [
    section("comparison", "Compared", "With what the same machine does natively, and with the run before the newest.", ...made),
  ];
}

export function method(found: Findings): HTMLElement {
  return section(
    "method",
    "Method and machine",
    `${found.machine}.`,
    element("ul", "prose", ...found.method.map((line) => element("li", "", line))),
    element("h3", "", "Browsers"),
    table(found.browsers, [
      { name: "Browser", text: (row) => [row.browser_name, row.browser_version].filter(Boolean).join(" ") },
      { name: "Started", text: (row) => (row.connection_success ? "yes" : "no") },
      { name: "Up for", text: (row) => seconds(row.connection_duration_sec), value: (row) => row.connection_duration_sec },
      { name: "Models", text: (row) => count(row.models_executed), value: (row) => row.models_executed },
      { name: "Errors", text: (row) => count(row.error_count), value: (row) => row.error_count },
      { name: "WebGPU adapter", text: (row) => row.adapter_info ?? "none" },
    ]),
    element("h3", "", "Runs"),
    table(found.runs, [
      { name: "Started (UTC)", text: (row) => day(row.started) },
      { name: "Ended", text: (row) => (row.ended ? day(row.ended) : "killed, or going on") },
      { name: "webinfer", text: (row) => [row.version, row.revision?.slice(0, 10)].filter(Boolean).join(", ") },
      { name: "Requests", text: (row) => count(row.requests), value: (row) => row.requests },
      { name: "Not recorded", text: (row) => count(row.dropped), value: (row) => row.dropped },
    ]),
  );
}
