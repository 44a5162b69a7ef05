// What a browser is and can do, as far as it can be told without one.

import { describe, expect, test } from "vitest";

import { identify, identifyFully } from "../src/page/capabilities";
import { needsNudging, nudge, nudgeTimes } from "../src/gpu/nudge";
import { chooseBundle, countThreads, sessionOptions } from "../src/runtime/runtime";

const AGENTS = {
  chrome: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/153.0.0.0 Safari/537.36",
  headless: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/153.0.8010.0 Safari/537.36",
  edge: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/153.0.0.0 Safari/537.36 Edg/153.0.0.0",
  firefox: "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
  webkitgtk: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/60.5 Safari/605.1.15",
  safari: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
};

test.each([
  [AGENTS.chrome, "chromium", "153.0.0.0"],
  [AGENTS.headless, "chromium", "153.0.8010.0"],
  [AGENTS.edge, "chromium", "153.0.0.0"],
  [AGENTS.firefox, "firefox", "153.0"],
  [AGENTS.webkitgtk, "webkit", "60.5"],
  [AGENTS.safari, "webkit", "26.0"],
])("%s is identified", (agent, engine, version) => {
  expect(identify(agent)).toEqual({ engine, version });
});

test("a shortened version is completed from the brands, of which some are made up", async () => {
  const brands = [
    { brand: "Not)A;Brand", version: "8.0.0.0" },
    { brand: "Chromium", version: "153.0.8010.7" },
  ];
  const userAgentData = { platform: "Linux", getHighEntropyValues: () => Promise.resolve({ fullVersionList: brands }) };
  const browser = { userAgent: AGENTS.chrome, userAgentData } as unknown as Navigator;
  expect(await identifyFully(browser)).toEqual({ engine: "chromium", version: "153.0.8010.7" });
});

test("a browser without brands is identified by its user agent", async () => {
  expect(await identifyFully({ userAgent: AGENTS.firefox } as Navigator)).toEqual({ engine: "firefox", version: "153.0" });
});

test.each([
  [{ jspi: true, gpu: true, ml: true }, "jspi"],
  [{ jspi: true, gpu: false, ml: false }, "jspi"],
  [{ jspi: false, gpu: true, ml: false }, "asyncify"],
  [{ jspi: false, gpu: false, ml: true }, "asyncify"],
  [{ jspi: false, gpu: false, ml: false }, "wasm"],
])("with %o the bundle is %s", (abilities, bundle) => {
  expect(chooseBundle(abilities)).toBe(bundle);
});

test.each([
  [{ crossOriginIsolated: true, SharedArrayBuffer }, 4],
  [{ crossOriginIsolated: false, SharedArrayBuffer }, 1],
  [{ crossOriginIsolated: true }, 1],
])("threads need isolation and shared memory: %o", (scope, threads) => {
  expect(countThreads(4, scope)).toBe(threads);
});

describe("a session's options", () => {
  test("outputs stay with the GPU only where there is one", () => {
    const device = {} as GPUDevice;
    expect(sessionOptions({ backend: "webgpu", device }, {}, [], false, ["present"]).preferredOutputLocation).toEqual({
      present: "gpu-buffer",
    });
    expect(sessionOptions({ backend: "webgpu", device }, {}, []).preferredOutputLocation).toBeUndefined();
    expect(sessionOptions({ backend: "wasm" }, {}, [], false, ["present"]).preferredOutputLocation).toBeUndefined();
  });

  test("name the one backend asked for, so that no other stands in for it as a whole", () => {
    const context = {};
    expect(sessionOptions({ backend: "wasm" }, {}, []).executionProviders).toEqual(["wasm"]);
    expect(sessionOptions({ backend: "webnn", context, deviceType: "npu" }, {}, []).executionProviders).toEqual([
      { name: "webnn", context, deviceType: "npu" },
    ]);
    expect(sessionOptions({ backend: "webnn", context, deviceType: null }, {}, []).executionProviders).toEqual([
      { name: "webnn", context },
    ]);
  });

  test("fix the dimensions and carry the external data", () => {
    const data = new Uint8Array(1);
    expect(sessionOptions({ backend: "wasm" }, { batch: 2 }, [{ path: "a", data }])).toMatchObject({
      freeDimensionOverrides: { batch: 2 },
      externalData: [{ path: "a", data }],
    });
  });
});

describe("nudging", () => {
  test("only Firefox needs it", () => {
    expect(
      Object.entries(AGENTS)
        .filter(([, agent]) => needsNudging(agent))
        .map(([name]) => name),
    ).toEqual(["firefox"]);
  });

  test("becomes rarer, never by more than a quarter beyond the first", () => {
    const times = nudgeTimes();
    expect(times.length).toBeLessThan(30);
    times
      .slice(1)
      .forEach((at, i) => expect(at - (times[i] ?? 0)).toBeLessThanOrEqual(Math.max(1, (times[i] ?? 0) * 0.25) + 1e-9));
    expect(times.at(-1)).toBeGreaterThan(79);
  });

  test("submits until it is called off", async () => {
    let submitted = 0;
    let reached = (): void => undefined;
    const thrice = new Promise<void>((resolve) => (reached = resolve));
    const device = { queue: { submit: () => ++submitted === 3 && reached() } } as unknown as GPUDevice;
    const callOff = nudge(device);
    await thrice;
    callOff();
    const before = submitted;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(submitted).toBe(before);
  });
});
