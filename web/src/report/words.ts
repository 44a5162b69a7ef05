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

export function short(text: string | null): string {
  const words = text ?? "";
  return words.length > 180 ? `${words.slice(0, 179)}…` : words;
}
