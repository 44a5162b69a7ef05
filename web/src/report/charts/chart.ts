// A chart on the page: drawn as SVG, so that it prints sharply, and drawn anew when the colours or the width change.

import { BarChart, BoxplotChart, LineChart, ScatterChart } from "echarts/charts";
import { DataZoomComponent, GridComponent, LegendComponent, MarkLineComponent, TooltipComponent } from "echarts/components";
import { init, use, type EChartsType } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

import { theme, type Theme } from "./theme.js";
import { elided, tick } from "./quantities.js";

use([BarChart, BoxplotChart, LineChart, ScatterChart, GridComponent, LegendComponent, TooltipComponent]);
use([DataZoomComponent, MarkLineComponent, SVGRenderer]);

export type Option = Record<string, unknown>;
type Grid = Option & { top: number }; // one, below the legend
interface Drawing {
  frame: HTMLElement;
  height: number;
  draw: Draw;
}

export type Draw = (colours: Theme, narrow: boolean, width: number) => Option & { grid?: Grid };

const drawn: (Drawing & { chart: EChartsType })[] = [];
const NARROW = 620;
export const BAR = 16;
const COLOURS = 8; // of lines, before they come again
const LEGEND_ROW = 29;
const LEGEND_ICON = 36; // with what is around it
const LETTER = 7.2; // the width of one in a legend, about
const ONE_ROW = 44; // of a legend, and air

export function chart(title: string, height: number, draw: Draw): HTMLElement {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.textContent = title;
  const frame = document.createElement("div");
  frame.className = "chart";
  frame.style.height = `${height}px`;
  frame.setAttribute("role", "img");
  frame.setAttribute("aria-label", title);
  figure.append(caption, frame);
  pending.push({ frame, height, draw });
  return figure;
}

const pending: Drawing[] = [];

/** Draw what was prepared, once it is on the page and has a width. */
export function drawAll(): void {
  for (const drawing of pending.splice(0)) {
    drawn.push({ ...drawing, chart: init(drawing.frame, null, { renderer: "svg" }) });
  }
  redraw();
}

export function redraw(): void {
  const colours = theme();
  for (const { chart, draw, frame, height } of drawn) {
    const option = { ...base(colours), ...draw(colours, frame.clientWidth < NARROW, frame.clientWidth) };
    frame.style.height = `${height + Math.max(0, option.grid.top - ONE_ROW)}px`; // a legend takes nothing from what is drawn
    chart.resize();
    chart.setOption(option, true);
  }
}

function base(colours: Theme): Option & { grid: Grid } {
  return {
    animation: false,
    color: colours.series,
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: colours.text },
    grid: { left: 8, right: 64, top: 8, bottom: 8, containLabel: true },
    tooltip: tooltip(colours),
  };
}

export function tooltip(colours: Theme, more: Option = {}): Option {
  return {
    confine: true,
    backgroundColor: colours.surface,
    borderColor: colours.line,
    textStyle: { color: colours.text, fontSize: 13 },
    extraCssText: "box-shadow: 0 4px 16px rgb(0 0 0 / 18%); border-radius: 8px; max-width: 28rem; white-space: normal",
    ...more,
  };
}

export function categories(names: readonly string[], colours: Theme, narrow: boolean): Option {
  return {
    type: "category",
    data: names.map((name) => elided(name)),
    inverse: true,
    axisLine: { show: false },
    axisTick: { show: false },
    axisLabel: {
      color: colours.text,
      overflow: "truncate",
      ...(narrow
        ? { fontSize: 11, lineHeight: 13, width: 140, formatter: (name: string) => name.replace(" · ", "\n") }
        : { fontSize: 12.5, width: 380 }),
    },
  };
}

export function values(colours: Theme, format: (value: number) => string, more: Option = {}): Option {
  return {
    type: "value",
    axisLine: { show: false },
    splitLine: { lineStyle: { color: colours.line } },
    axisLabel: { color: colours.muted, formatter: tick(format), hideOverlap: true },
    nameTextStyle: { color: colours.muted },
    ...more,
  };
}

export function legend(colours: Theme, more: Option = {}): Option {
  return {
    type: "scroll",
    top: 0,
    left: 0,
    icon: "roundRect",
    itemWidth: 12,
    itemHeight: 12,
    itemGap: 16,
    textStyle: { color: colours.text, fontSize: 12.5 },
    formatter: (name: string) => elided(name),
    pageTextStyle: { color: colours.muted },
    pageIconColor: colours.text,
    pageIconInactiveColor: colours.line,
    ...more,
  };
}

/** A legend that shows every name, on as many rows as they need, and the grid below it: paper has no pages to turn. */
export function legendOf(
  names: readonly string[],
  colours: Theme,
  width: number,
  bottom: number,
): { legend: Option; grid: Grid } {
  const formatter = (name: string) => elided(name, Math.floor((width - LEGEND_ICON) / LETTER));
  let rowCount = 1;
  let left = width;
  for (const name of names) {
    const needed = LEGEND_ICON + LETTER * formatter(name).length;
    if (needed > left && left < width) {
      rowCount += 1;
      left = width;
    }
    left -= needed;
  }
  const data = names.map((name, at) => ({ name, icon: at < COLOURS ? "roundRect" : "emptyRoundRect" }));
  const top = ONE_ROW + LEGEND_ROW * (rowCount - 1);
  return {
    legend: legend(colours, { type: "plain", data, formatter }),
    grid: { left: 8, right: 24, top, bottom, containLabel: true },
  };
}

/** How the lines of one chart are drawn: where colours come again, dashed, and hollow in the legend. */
export function lineStyle(at: number): Option {
  return { width: 2, type: at < COLOURS ? "solid" : "dashed" };
}

/** Return the ends of a logarithmic axis, with air at both: the next of 1, 2 and 5 times a power of ten. */
export function span(lows: readonly number[], highs: readonly number[]): Option {
  const steps = [1, 2, 5, 10];
  const rounded = (value: number, up: boolean) => {
    const power = 10 ** Math.floor(Math.log10(value));
    const end = up ? steps.find((step) => step * power >= value) : steps.findLast((step) => step * power <= value);
    return Number(((end ?? 1) * power).toPrecision(1));
  };
  return { min: rounded(Math.min(...lows) * 0.9, false), max: rounded(Math.max(...highs) * 1.1, true) };
}

/** Escape what goes into a tooltip, which is HTML. */
export function safe(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

export function rows(head: string, pairs: readonly (readonly [string, string])[]): string {
  const lines = pairs.map(
    ([name, value]) =>
      `<div style="display:flex;gap:1.5rem;justify-content:space-between"><span>${safe(name)}</span><b>${safe(value)}</b></div>`,
  );
  return `<div style="font-weight:600;margin-bottom:4px">${safe(head)}</div>${lines.join("")}`;
}

export function heightOf(count: number, legended = false): number {
  return Math.max(96, count * (BAR + 16) + 48 + (legended ? 28 : 0));
}
