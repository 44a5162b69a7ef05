import { beforeEach, describe, expect, test } from "vitest";

import type { PageToHost, WorkerStart } from "../../src/wire/messages";
import { Supervisor, type Status, type WorkerListener } from "../../src/page/supervisor";
import { FrameWriter } from "../../src/wire/frames";

const START = { kind: "start_lane", id: 1, lane: "b1.1", token: "t", access: "a", threads: 2, max_message_bytes: 1e9 };
const WELCOME = { kind: "welcome", browser: "b1", heartbeat: 5, patience: 15, max_message_bytes: 1e9 };

/** A page whose time, workers and window are the test's. */
class Page {
  readonly sent: PageToHost[] = [];
  readonly workers: { start: WorkerStart; listener: WorkerListener; terminated: boolean }[] = [];
  status: Status | undefined;
  left = 0;
  now = 0;
  timer: { at: number; callback: () => void } | undefined;
  failing = false;

  readonly supervisor = new Supervisor({
    send: (message) => void this.sent.push(message),
    startWorker: (start, listener) => {
      if (this.failing) throw new Error("no worker for you");
      const worker = { start, listener, terminated: false };
      this.workers.push(worker);
      return { terminate: () => (worker.terminated = true) };
    },
    schedule: (seconds, callback) => {
      const timer = { at: this.now + seconds, callback };
      this.timer = timer;
      return () => {
        if (this.timer === timer) this.timer = undefined;
      };
    },
    now: () => this.now,
    leave: () => this.left++,
    show: (status) => (this.status = status),
  });

  receive(header: { kind: string } & Record<string, unknown>): void {
    this.supervisor.receive(new FrameWriter().write(header).slice().buffer);
  }

  /** Let time pass, ringing the timer as often as it is due. */
  pass(seconds: number): void {
    const end = this.now + seconds;
    while (this.timer !== undefined && this.timer.at <= end) {
      const { at, callback } = this.timer;
      this.timer = undefined;
      this.now = at;
      callback();
    }
    this.now = end;
  }
}

let page: Page;
beforeEach(() => {
  page = new Page();
  page.receive(WELCOME);
});

describe("lanes", () => {
  test("one is started, and answered for once its script runs", () => {
    page.receive(START);
    expect(page.workers[0]?.start).toEqual({ lane: "b1.1", token: "t", access: "a", threads: 2, max_message_bytes: 1e9 });
    expect(page.sent).toEqual([]);
    expect(page.status?.lanes).toEqual([{ name: "b1.1", running: false }]);
    page.workers[0]?.listener.event({ type: "started" });
    expect(page.sent).toEqual([{ kind: "ok", id: 1, lane: "b1.1" }]);
    expect(page.status?.lanes).toEqual([{ name: "b1.1", running: true }]);
  });

  test("one whose script does not run is answered with an error", () => {
    page.receive(START);
    page.workers[0]?.listener.error("no script");
    expect(page.sent).toMatchObject([{ kind: "error", id: 1, error: { code: "lost.lane" } }]);
    expect(page.status?.lanes).toEqual([]);
  });

  test("one that cannot be made at all is answered with an error, and may be tried again", () => {
    page.failing = true;
    page.receive(START);
    expect(page.sent).toMatchObject([{ kind: "error", id: 1 }]);
    page.failing = false;
    page.receive({ ...START, id: 2 });
    expect(page.workers).toHaveLength(1);
  });

  test("one that fails later is ended and reported once", () => {
    page.receive(START);
    page.workers[0]?.listener.event({ type: "started" });
    page.workers[0]?.listener.event({ type: "failed", error: { code: "lost.socket", message: "refused" } });
    page.workers[0]?.listener.error("and again");
    expect(page.workers[0]?.terminated).toBe(true);
    expect(page.sent.slice(1)).toEqual([
      { kind: "lane_failed", lane: "b1.1", error: { code: "lost.socket", message: "refused" } },
    ]);
  });

  test("a name is taken until its lane is stopped", () => {
    page.receive(START);
    page.receive({ ...START, id: 2 });
    expect(page.sent).toMatchObject([{ kind: "error", id: 2, error: { code: "protocol.malformed", data: { lane: "b1.1" } } }]);
    page.receive({ kind: "stop_lane", id: 3, lane: "b1.1" });
    expect(page.sent.at(-1)).toEqual({ kind: "ok", id: 3 });
    expect(page.workers[0]?.terminated).toBe(true);
    page.receive({ ...START, id: 4 });
    expect(page.workers).toHaveLength(2);
  });

  test("what a stopped lane still says is not heard", () => {
    page.receive(START);
    page.receive({ kind: "stop_lane", id: 2, lane: "b1.1" });
    page.receive({ ...START, id: 3 });
    page.workers[0]?.listener.event({ type: "started" });
    page.workers[0]?.listener.error("terminated");
    expect(page.sent).toEqual([{ kind: "ok", id: 2 }]);
    expect(page.status?.lanes).toEqual([{ name: "b1.1", running: false }]);
  });
});

describe("the host", () => {
  test("is answered when it pings", () => {
    page.receive({ kind: "ping" });
    expect(page.sent).toEqual([{ kind: "pong" }]);
  });

  test("may be silent for as long as its socket is open, where it says so", () => {
    page = new Page();
    page.receive({ ...WELCOME, patience: null });
    page.pass(1e6);
    expect(page.left).toBe(0);
    page.supervisor.shutDown();
    expect(page.left).toBe(1);
  });

  test("is gone when its patience is at an end: lanes end, and the page leaves once", () => {
    page.receive(START);
    page.pass(14.9);
    expect(page.left).toBe(0);
    page.pass(0.2);
    expect(page.left).toBe(1);
    expect(page.workers[0]?.terminated).toBe(true);
    expect(page.status).toMatchObject({ state: "host gone", lanes: [] });
    page.supervisor.shutDown();
    expect(page.left).toBe(1);
  });

  test("lives as long as any message comes", () => {
    for (let i = 0; i < 20; i++) {
      page.pass(14);
      page.receive({ kind: "ping" });
    }
    expect(page.left).toBe(0);
    page.pass(15);
    expect(page.left).toBe(1);
  });

  test("is obeyed when it says goodbye, and not heard after", () => {
    page.receive(START);
    page.receive({ kind: "goodbye" });
    expect(page.left).toBe(1);
    page.receive({ kind: "ping" });
    expect(page.sent).toEqual([]);
    expect(page.timer).toBeUndefined();
  });

  test("is told of what it sends wrongly, by the request's id where there is one", () => {
    page.receive({ kind: "dance", id: 7 });
    page.supervisor.receive("text");
    page.receive({ kind: "start_lane", id: 8 });
    expect(page.sent).toMatchObject([
      { kind: "error", id: 7, error: { code: "protocol.kind" } },
      { kind: "error", id: 0, error: { code: "protocol.malformed" } },
      { kind: "error", id: 8, error: { code: "protocol.malformed" } },
    ]);
  });
});

test("the page shows which browser it is", () => {
  expect(page.status).toEqual({ state: "connected", browser: "b1", lanes: [] });
});
