// Colours come from the style sheet, so that charts follow it: light, dark or printed.

export interface Theme {
  text: string;
  muted: string;
  line: string;
  surface: string;
  good: string;
  bad: string;
  series: string[];
}

const BACKENDS: Record<string, number> = { webgpu: 0, webnn: 1, wasm: 2 };

export function theme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const series = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => read(`series-${number}`));
  return {
    text: read("text"),
    muted: read("muted"),
    line: read("line"),
    surface: read("surface"),
    good: read("good"),
    bad: read("bad"),
    series,
  };
}

/** The colour of a backend is the same in every chart. */
export function backendColour(backend: string | null, colours: Theme): string {
  return colours.series[BACKENDS[backend ?? ""] ?? 4] ?? colours.muted;
}

/** The colours of lines: those of their backends where each has one of its own. */
export function lineColours(backends: readonly (string | null)[], colours: Theme): string[] {
  const apart = new Set(backends).size === backends.length;
  return backends.map((backend, at) => (apart ? backendColour(backend, colours) : (colours.series[at % 8] ?? colours.muted)));
}

const system = matchMedia("(prefers-color-scheme: dark)");
let wanted = "system";
let onPaper = false;

/** Take the colours that are wanted: "system", "light" or "dark"; paper is always light. */
export function dress(change: { wanted?: string; onPaper?: boolean } = {}): void {
  wanted = change.wanted ?? wanted;
  onPaper = change.onPaper ?? onPaper;
  const dark = wanted === "dark" || (wanted === "system" && system.matches);
  document.documentElement.toggleAttribute("data-dark", dark && !onPaper);
}

/** Call a function when the system goes from light to dark or back. */
export function whenSystemChanges(then: () => void): void {
  system.addEventListener("change", () => {
    dress();
    then();
  });
}
