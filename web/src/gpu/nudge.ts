// Works around Firefox looking at a GPU device only when something is submitted to it, and else every 100 ms.

const GROWTH = 1.25; // of the time waited so far: no result is noticed later than a quarter after it was ready
const FIRST = 1; // ms
const LAST = 100; // ms, from where Firefox looks by itself

/** Return when to nudge, in ms after the start of a run. */
export function nudgeTimes(): number[] {
  const times: number[] = [];
  for (let at = FIRST; at < LAST; at = Math.max(at + 1, at * GROWTH)) times.push(at);
  return times;
}

const TIMES = nudgeTimes();

export function needsNudging(userAgent: string): boolean {
  return userAgent.includes("Firefox/");
}

/**
 * Submit nothing to a device, again and again ever less often, until the function returned is called.
 *
 * Measured in Firefox 153: a run that takes 3 ms is answered after 3 ms in place of 100.
 */
export function nudge(device: GPUDevice): () => void {
  const start = performance.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const schedule = (step: number) => {
    const at = TIMES[step];
    if (at === undefined) return;
    timer = setTimeout(
      () => {
        device.queue.submit([]);
        schedule(step + 1);
      },
      start + at - performance.now(),
    );
  };
  schedule(0);
  return () => clearTimeout(timer);
}
