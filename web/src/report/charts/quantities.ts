// Quantities as people read them.

export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0 s";
  if (value >= 100) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  if (value >= 1) return `${three(value)} s`;
  return value >= 0.0001 ? `${three(value * 1e3)} ms` : `${three(value * 1e6)} µs`;
}

export function rate(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : three(value);
}

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : value.toLocaleString("en");
}

export function megabytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return value >= 1000 ? `${three(value / 1000)} GB` : `${three(value)} MB`;
}

export function percent(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return `${value > 0 ? "+" : ""}${(value * 100).toFixed(1)}%`;
}

export function day(iso: string | null): string {
  return iso ? iso.slice(0, 16).replace("T", " ") : "–";
}

function three(value: number): string {
  if (value === 0) return "0";
  if (Math.abs(value) >= 99.95) return Math.round(value).toLocaleString("en");
  return Math.abs(value) >= 9.995 ? value.toFixed(1) : Math.abs(value) >= 0.01 ? value.toFixed(2) : value.toPrecision(2);
}

/** Write a tick of an axis: without zeros that say nothing. */
export function tick(format: (value: number) => string): (value: number) => string {
  return (value) =>
    format(value)
      .replace(/(\d\.\d*?)0+(?=\D|$)/, "$1")
      .replace(/\.(?=\D|$)/, "");
}

/** Write the name of a configuration with the middle of its model left out where that is long: the ends tell more. */
export function elided(name: string, letters = Infinity): string {
  const [model = "", ...rest] = name.split(" · ");
  const half = Math.max(4, Math.floor(Math.min(ELIDED, letters - rest.join(" · ").length - 4) / 2));
  return [model.length > 2 * half + 1 ? `${model.slice(0, half)}…${model.slice(-half)}` : model, ...rest].join(" · ");
}

const ELIDED = 32; // letters of a model's name in a chart

export function short(text: string | null): string {
  const words = text ?? "";
  return words.length > 180 ? `${words.slice(0, 179)}…` : words;
}
