// The report: a page without a server, made of what Python found in the database.

import { benched } from "./benchmarks.js";
import { memory, scaling } from "./capacity.js";
import { drawAll, redraw } from "./charts/chart.js";
import { comparisons, method } from "./comparison.js";
import type { Findings } from "./findings.js";
import { loading } from "./loads.js";
import { element } from "./charts/elements.js";
import { speed } from "./speed.js";
import { dress, whenSystemChanges } from "./charts/theme.js";
import { trouble } from "./faults.js";
import { accuracy, hardware } from "./accuracy.js";
import { count, day, rate, seconds } from "./charts/quantities.js";

const findings = JSON.parse(document.getElementById("findings")?.textContent ?? "{}") as Findings;

function tile(value: string, name: string, more = ""): HTMLElement {
  return element("div", "tile", element("b", "", value), element("span", "", name), element("small", "", more));
}

function head(): HTMLElement {
  const { summary } = findings;
  const nothing = findings.benched.length ? "benchmarks" : "nothing recorded yet";
  const span = summary.first ? `${day(summary.first)} to ${day(summary.last)} UTC` : nothing;
  const verdicts = [...new Set(findings.configurations.flatMap((row) => (row.verdict ?? "").split(", ")))].filter(Boolean);
  const overall = summary.busy ? summary.items / summary.busy : null;
  const title = element(
    "div",
    "",
    element("h1", "", "Performance report"),
    element("p", "where", `${findings.path || "in memory"} · ${span}`),
  );
  const tiles = [
    tile(
      count(summary.answered),
      "requests answered",
      summary.recovered ? `${count(summary.recovered)} of them after a loss` : "none after a loss",
    ),
    tile(
      count(summary.failed),
      summary.failed === 1 ? "request failed" : "requests failed",
      `in ${count(summary.runs)} ${summary.runs === 1 ? "run" : "runs"}`,
    ),
    tile(seconds(summary.p50), "median latency", `95% within ${seconds(summary.p95)}`),
    tile(rate(overall), "items per second", "over all that ran"),
    tile(
      verdicts.join(", ") || "–",
      "hardware verdict",
      `${count(summary.started)} ${summary.started === 1 ? "browser" : "browsers"} started`,
    ),
  ];
  const header = element("header", "", element("div", "bar", element("span", "brand", "webinfer"), themes()), title);
  if (summary.requests) header.append(element("div", "tiles", ...tiles));
  if (findings.notes.length) header.append(element("ul", "notes", ...findings.notes.map((note) => element("li", "", note))));
  return header;
}

function themes(): HTMLElement {
  const buttons = ["system", "light", "dark"].map((name) => {
    const button = element("button", "", name);
    button.setAttribute("aria-pressed", String(name === "system"));
    button.addEventListener("click", () => {
      dress({ wanted: name });
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      redraw();
    });
    return button;
  });
  return element("div", "themes", ...buttons);
}

function contents(sections: readonly HTMLElement[]): HTMLElement {
  const links = sections.map((one) => {
    const link = element("a", "", one.querySelector("h2")?.textContent ?? "") as HTMLAnchorElement;
    link.href = `#${one.id}`;
    return link;
  });
  return element("nav", "", ...links);
}

function build(): void {
  const sections =
    findings.summary.requests ||
    [findings.failures, findings.faults, findings.accuracy, findings.benched].some((rows) => rows.length)
      ? [
          ...speed(findings),
          ...benched(findings),
          ...loading(findings),
          ...scaling(findings),
          ...accuracy(findings),
          ...memory(findings),
          ...hardware(findings),
          ...trouble(findings),
          ...comparisons(findings),
          method(findings),
        ]
      : [];
  const foot = element("footer", "", `Written by webinfer on ${day(findings.written)} UTC. Times are in UTC.`);
  document.querySelector("main")?.replaceChildren(head(), ...(sections.length ? [contents(sections)] : []), ...sections, foot);
  drawAll();
}

function printed(on: boolean): void {
  dress({ onPaper: on });
  if (on) for (const details of document.querySelectorAll("details")) details.open = true;
  redraw();
}

dress();
build();
addEventListener("resize", () => redraw());
addEventListener("beforeprint", () => printed(true));
addEventListener("afterprint", () => printed(false));
whenSystemChanges(redraw);
