// Columns of tables: what a figure is says how it is written and sorted.

import type { Key } from "../findings.js";
import type { Column } from "./elements.js";
import { count, megabytes, percent, rate, seconds } from "./quantities.js";

/** Names of fields that hold numbers. */
type Figure<T> = { [Name in keyof T]-?: T[Name] extends number | null ? Name : never }[keyof T];

export const WHERE: Column<Key>[] = [
  { name: "Model", text: (row) => row.model_name ?? "" },
  { name: "Backend", text: (row) => row.backend ?? "" },
  { name: "Precision", text: (row) => row.precision ?? "" },
  { name: "Browser", text: (row) => row.browser_name ?? "" },
];

function written(format: (value: number | null) => string) {
  return <T>(name: string, field: Figure<T>): Column<T> => {
    const value = (row: T) => row[field] as number | null;
    return { name, text: (row) => format(value(row)), value };
  };
}

export const counted = written(count);
export const timed = written(seconds);
export const rated = written(rate);
export const sized = written(megabytes);
export const changed = written(percent);
