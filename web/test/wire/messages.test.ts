import { describe, expect, test } from "vitest";

import { WireError } from "../../src/wire/errors";
import { readHostToLane, readHostToPage, type Header } from "../../src/wire/messages";

const LOAD = { kind: "load", id: 1, session: "s1", backend: "wasm", model: { url: "/models/a", nbytes: 3 } };
const START = { kind: "start_lane", id: 4, lane: "b1.1", token: "t", access: "a", threads: 2, max_message_bytes: 1e9 };

const codeOf = (action: () => unknown) => {
  try {
    action();
  } catch (error) {
    return (error as WireError).code;
  }
  return undefined;
};

describe("to a lane", () => {
  test("a load is read, with its defaults", () => {
    expect(readHostToLane(LOAD)).toEqual({
      ...LOAD,
      external: [],
      dimensions: {},
      device: null,
      store: false,
      resident: [],
      capture: false,
    });
  });

  test("a load is read with everything", () => {
    const full = {
      ...LOAD,
      backend: "webnn",
      external: [{ path: "a.data", url: "/models/b", nbytes: 0 }],
      dimensions: { batch: 1 },
      device: "npu",
      store: true,
      resident: ["present.0.key"],
      capture: true,
    };
    expect(readHostToLane(full)).toEqual(full);
  });

  test("unknown fields are ignored", () => {
    expect(readHostToLane({ kind: "run", id: 2, session: "s1", outputs: ["y"], later: 1 })).toEqual({
      kind: "run",
      id: 2,
      session: "s1",
      outputs: ["y"],
      feeds: {},
      keep: {},
      free: [],
      describe: false,
    });
  });

  test("a run that leaves tensors on the lane is read", () => {
    const run = {
      kind: "run",
      id: 2,
      session: "s1",
      outputs: [],
      feeds: { a: "h1" },
      keep: { y: "h2" },
      free: ["h1"],
      describe: true,
    };
    expect(readHostToLane(run)).toEqual(run);
    for (const kind of ["free", "read"]) {
      const message = { kind, id: 3, handles: ["h2"] };
      expect(readHostToLane(message)).toEqual(message);
    }
  });

  test("a wish for features is read", () => {
    const wish = { kind: "features", id: 2, length: 480_000, hop: 160, workgroup: [256, 1] };
    expect(readHostToLane(wish)).toEqual(wish);
  });

  test("a measurement is read", () => {
    const measure = { kind: "measure", id: 4, limit: 1000 };
    expect(readHostToLane(measure)).toEqual(measure);
  });

  test("a profile is read, with its defaults", () => {
    const profile = { kind: "profile", id: 5, backend: "webgpu", model: LOAD.model, runs: 3, limit: 5000 };
    const defaults = { operators: false, external: [], dimensions: {}, device: null, store: false };
    expect(readHostToLane(profile)).toEqual({ ...profile, ...defaults });
    expect(readHostToLane({ ...profile, operators: true })).toMatchObject({ operators: true });
  });

  test.each<[string, Record<string, unknown>]>([
    ["a profile of no run", { ...LOAD, kind: "profile", runs: 0, limit: 5000 }],
    ["a profile in no time", { ...LOAD, kind: "profile", runs: 3, limit: 0 }],
    ["features of no workgroup", { kind: "features", id: 1, length: 400, hop: 160 }],
    ["a workgroup of nothing", { kind: "features", id: 1, length: 400, hop: 160, workgroup: [64, 0] }],
    ["a hop beyond the length", { kind: "features", id: 1, length: 100, hop: 160, workgroup: [64, 1] }],
    ["no id", { ...LOAD, id: 0 }],
    ["no session", { ...LOAD, session: "" }],
    ["an unknown backend", { ...LOAD, backend: "cuda" }],
    ["no model", { ...LOAD, model: undefined }],
    ["a model without a size", { ...LOAD, model: { url: "/a" } }],
    ["a negative size", { ...LOAD, model: { url: "/a", nbytes: -1 } }],
    ["external data without a path", { ...LOAD, external: [{ url: "/a", nbytes: 1 }] }],
    ["external data that is no list", { ...LOAD, external: {} }],
    ["a dimension that is a text", { ...LOAD, dimensions: { batch: "1" } }],
    ["dimensions in a list", { ...LOAD, dimensions: [1] }],
    ["an unknown device", { ...LOAD, device: "tpu" }],
    ["outputs that are no names", { kind: "run", id: 1, session: "s1", outputs: [1] }],
    ["handles that are numbers", { kind: "run", id: 1, session: "s1", feeds: { a: 1 } }],
    ["handles in a list", { kind: "run", id: 1, session: "s1", keep: ["a"] }],
    ["a measurement without a limit", { kind: "measure", id: 1 }],
    ["freed handles that are no list", { kind: "free", id: 1, handles: "h1" }],
    ["no outputs wanted", { kind: "run", id: 1, session: "s1", outputs: [] }],
  ])("%s is refused", (_, header) => {
    expect(codeOf(() => readHostToLane(header as Header))).toBe("protocol.malformed");
  });

  test.each(["start_lane", "ping", "toString"])("the kind %s is refused", (kind) => {
    expect(codeOf(() => readHostToLane({ kind, id: 1 }))).toBe("protocol.kind");
  });
});

describe("to a page", () => {
  test("each kind is read", () => {
    expect(readHostToPage({ kind: "ping", id: 0 })).toEqual({ kind: "ping" });
    expect(
      readHostToPage({ kind: "welcome", id: 0, browser: "b1", heartbeat: 5, patience: null, max_message_bytes: 9 }),
    ).toMatchObject({
      browser: "b1",
      heartbeat: 5,
      patience: null,
    });
    expect(readHostToPage(START)).toEqual(START);
    expect(readHostToPage({ kind: "stop_lane", id: 5, lane: "b1.1" })).toEqual({ kind: "stop_lane", id: 5, lane: "b1.1" });
  });

  test.each(["lane", "token", "access", "threads", "max_message_bytes", "id"])("a start_lane without %s is refused", (field) => {
    expect(codeOf(() => readHostToPage({ ...START, id: 4, [field]: field === "id" ? 0 : undefined }))).toBe("protocol.malformed");
  });

  test("a lane's kind is refused", () => {
    expect(codeOf(() => readHostToPage({ kind: "run", id: 1 }))).toBe("protocol.kind");
  });
});
