import { expect, test } from "vitest";

import { SerialQueue } from "../../src/lane/queue";

/** A queue whose jobs end when they are told to. */
function makeQueue() {
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  const queue = new SerialQueue<string>((job) => {
    started.push(job);
    return job.startsWith("sync") ? undefined : new Promise<void>((resolve) => ends.set(job, resolve));
  });
  const end = async (job: string) => {
    ends.get(job)?.();
    await Promise.resolve();
    await Promise.resolve();
  };
  return { queue, started, end };
}

test("an idle queue starts a job in the same turn", () => {
  const { queue, started } = makeQueue();
  queue.submit("a");
  expect(started).toEqual(["a"]);
});

test("jobs run one at a time, in order of arrival", async () => {
  const { queue, started, end } = makeQueue();
  for (const job of ["a", "b", "sync1", "c"]) queue.submit(job);
  expect(started).toEqual(["a"]);
  await end("a");
  expect(started).toEqual(["a", "b"]);
  await end("b");
  expect(started).toEqual(["a", "b", "sync1", "c"]);
  await end("c");
  queue.submit("d");
  expect(started.at(-1)).toBe("d");
});

test("many jobs that end at once do not pile up on the stack", async () => {
  const { queue, started, end } = makeQueue();
  queue.submit("a");
  for (let i = 0; i < 50_000; i++) queue.submit(`sync${i}`);
  await end("a");
  expect(started.length).toBe(50_001);
});

test("a job submitted by a job waits its turn", () => {
  const order: string[] = [];
  const queue = new SerialQueue<string>((job) => {
    if (job === "a") queue.submit("b");
    order.push(job);
    return undefined;
  });
  queue.submit("a");
  expect(order).toEqual(["a", "b"]);
});

test("clearing returns the jobs that have not started, which never start", async () => {
  const { queue, started, end } = makeQueue();
  for (const job of ["a", "b", "c"]) queue.submit(job);
  expect(queue.clear()).toEqual(["b", "c"]);
  await end("a");
  expect(started).toEqual(["a"]);
  expect(queue.length).toBe(0);
});
