// What the answers are worth, and what hardware computed them.

import { BAR, categories, chart, heightOf, legend, rows, tooltip, values } from "./charts/chart.js";
import { sized, WHERE } from "./charts/columns.js";
import { labeller, type Accuracy, type Findings, type Placed } from "./findings.js";
import { element, figures, section, table } from "./charts/elements.js";
import { backendColour } from "./charts/theme.js";
import { megabytes } from "./charts/quantities.js";

export function accuracy(findings: Findings): HTMLElement[] {
  const checks = findings.accuracy;
  if (!checks.length) return [];
  const drawn = checks.filter((row) => row.mb !== null && row.value !== null && row.metric === "cosine");
  const models = [...new Set(drawn.map((row) => row.model_name))];
  const plot = drawn.length
    ? [
        chart("Distance from the reference (1 - cosine) by size of the files; lower is better", 300, (colours) => ({
          grid: { left: 8, right: 32, top: 44, bottom: 28, containLabel: true },
          legend: legend(colours),
          tooltip: tooltip(colours, {
            formatter: ({ data }: { data: [number, number, string] }) =>
              rows(data[2], [
                ["size", megabytes(data[0])],
                ["value", data[1].toExponential(2)],
              ]),
          }),
          xAxis: values(colours, megabytes, { name: "size", nameLocation: "middle", nameGap: 28, scale: true }),
          yAxis: values(colours, (value) => value.toExponential(0), { type: "log" }),
          series: models.map((model) => ({
            name: model,
            type: "scatter",
            symbolSize: 13,
            itemStyle: { opacity: 1 },
            label: {
              show: true,
              position: "top",
              color: colours.text,
              formatter: ({ data }: { data: [number, number, string, string] }) => data[3],
            },
            data: points(drawn.filter((row) => row.model_name === model)),
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
        ...WHERE,
        sized("Size", "mb"),
        { name: "Measure", text: (row) => row.metric },
        { name: "Value", text: (row) => (row.value === null ? "–" : row.value.toPrecision(5)), value: (row) => row.value },
        { name: "Limit", text: (row) => row.threshold?.toPrecision(5) ?? "–", value: (row) => row.threshold },
        { name: "Against", text: (row) => row.reference ?? "" },
        { name: "Passed", text: (row) => (row.passed === null ? "–" : row.passed ? "yes" : "no") },
      ]),
    ),
  ];
}

/** Return a point for each check; of a precision's, which lie above one another, the topmost has its name. */
function points(checks: Accuracy[]): [number, number, string, string][] {
  const distance = (row: Accuracy) => Math.max(1 - (row.value ?? 1), 1e-15);
  const tops = new Map<string | null, Accuracy>();
  for (const row of checks) {
    const top = tops.get(row.precision);
    if (!top || distance(row) > distance(top)) tops.set(row.precision, row);
  }
  return checks.map((row) => [
    row.mb ?? 0,
    distance(row),
    `${row.precision} ${row.backend ?? ""}`,
    tops.get(row.precision) === row ? (row.precision ?? "") : "",
  ]);
}

export function hardware(findings: Findings): HTMLElement[] {
  if (!findings.verdicts.length) return [];
  const judged = findings.verdicts.map((row) =>
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
      ...placement(findings.placement),
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
      ? [figures(fallen, [...WHERE, { name: "Fell back", text: (row) => listed(row.placement.fallen ?? {}) }])]
      : []),
  ];
}
