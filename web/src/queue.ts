// Runs jobs strictly one after another.

/**
 * A queue of jobs.
 *
 * A job that comes while nothing runs starts at once, in the same turn: a promise chain would cost every request
 * a hop. `start` returns a promise if the job goes on after it, and neither throws nor rejects.
 */
export class SerialQueue<Job> {
  #waiting: Job[] = [];
  #busy = false;

  constructor(private readonly start: (job: Job) => Promise<void> | undefined) {}

  get length(): number {
    return this.#waiting.length;
  }

  submit(job: Job): void {
    this.#waiting.push(job);
    if (!this.#busy) this.#drain();
  }

  /** Take out every job that has not started. */
  clear(): Job[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting;
  }

  readonly #drain = (): void => {
    this.#busy = true;
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) {
      const running = this.start(job);
      if (running !== undefined) {
        void running.then(this.#drain);
        return;
      }
    }
    this.#busy = false;
  };
}
