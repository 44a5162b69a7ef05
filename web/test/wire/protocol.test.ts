// The types of messages.ts against the description of the protocol that the Python package's structs are compared with.

import { readFileSync } from "node:fs";
import ts from "typescript";
import { describe, expect, test } from "vitest";

type Fields = Record<string, string>;

const at = (path: string) => new URL(path, import.meta.url).pathname;
const EXPECTED = JSON.parse(readFileSync(at("../../../fixtures/wire/messages.json"), "utf8")) as Record<
  string,
  Record<string, Fields>
>;

const FILE = at("../../src/wire/messages.ts");
const { config } = ts.readConfigFile(at("../../tsconfig.json"), (path) => readFileSync(path, "utf8")) as { config: object };
const options = ts.parseJsonConfigFileContent(config, ts.sys, at("../..")).options;
const program = ts.createProgram([FILE], options);
const checker = program.getTypeChecker();

/** Return the type that messages.ts exports under a name. */
function exported(name: string): ts.Type {
  const module = checker.getSymbolAtLocation(program.getSourceFile(FILE)!)!;
  const symbol = checker.getExportsOfModule(module).find((one) => one.name === name);
  if (symbol === undefined) throw new Error(`messages.ts exports no ${name}.`);
  return checker.getDeclaredTypeOfSymbol(symbol);
}

const members = (type: ts.Type) => (type.isUnion() ? type.types : [type]);
const join = (parts: readonly string[]) => [...new Set(parts)].sort().join(" | ");

function nameOf(type: ts.Type): string {
  return join(members(type).flatMap((one) => (one.flags & ts.TypeFlags.Undefined ? [] : [nameOne(one)])));
}

function nameOne(type: ts.Type): string {
  if (type.isStringLiteral()) return JSON.stringify(type.value);
  for (const [flag, name] of [
    [ts.TypeFlags.String, "string"],
    [ts.TypeFlags.Number, "number"],
    [ts.TypeFlags.BooleanLike, "boolean"],
    [ts.TypeFlags.Null, "null"],
    [ts.TypeFlags.Unknown, "unknown"],
  ] as const)
    if (type.flags & flag) return name;
  const items = checker.isArrayType(type) || checker.isTupleType(type) ? checker.getTypeArguments(type as ts.TypeReference) : [];
  if (checker.isTupleType(type)) return `[${items.map(nameOf).join(", ")}]`;
  if (checker.isArrayType(type)) return `(${items.map(nameOf).join("")})[]`;
  const index = checker.getIndexInfoOfType(type, ts.IndexKind.String);
  if (index !== undefined) return `{[name]: ${nameOf(index.type)}}`;
  const fields = Object.entries(fieldsOf(type)).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${fields.map(([name, kind]) => `${name}: ${kind}`).join(", ")}}`;
}

function fieldsOf(type: ts.Type): Fields {
  const fields = checker.getPropertiesOfType(type).map((property) => {
    const optional = (property.flags & ts.SymbolFlags.Optional) !== 0;
    return [property.name + (optional ? "?" : ""), nameOf(checker.getTypeOfSymbol(property))];
  });
  return Object.fromEntries(fields) as Fields;
}

/** Return the fields of each message of a union by its kind; answers are compared by themselves. */
function byKind(name: string): Record<string, Fields> {
  const found = members(exported(name)).map((message) => {
    const { kind = "", ...fields } = fieldsOf(message);
    return [JSON.parse(kind) as string, fields] as const;
  });
  return Object.fromEntries(found.filter(([kind]) => kind !== "ok"));
}

describe("the types of messages are those of the Python package", () => {
  test.each(["HostToPage", "HostToLane", "PageToHost", "LaneToHost"])("%s", (name) => {
    expect(byKind(name)).toEqual(EXPECTED[name]);
  });

  test("the answer to each request", () => {
    const answers = checker.getPropertiesOfType(exported("Answers"));
    const found = answers.map((answer) => [answer.name, fieldsOf(checker.getTypeOfSymbol(answer))]);
    expect(Object.fromEntries(found)).toEqual(EXPECTED["Answers"]);
  });
});
