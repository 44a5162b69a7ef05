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

const BACKENDS: Record<string, number> = { webgpu: 0, webnn: 1, wasm: 2, native: 3 };

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
