// Runs jobs strictly one after another.

/**
 * A queue of jobs.
 *
 * A job that comes while nothing runs starts at once, in the same turn: a promise chain would cost every request
 * a hop. `start` returns a promise if the job goes on after it, and neither throws nor rejects.
 */
export class SerialQueue<Job> {
  // Two stacks: taking the first out of one long array would move all the others, each time.
  #arriving: Job[] = [];
  #leaving: Job[] = []; // came before those arriving; the last of them is the oldest
  #busy = false;

  constructor(private readonly start: (job: Job) => Promise<void> | undefined) {}

  get length(): number {
    return this.#arriving.length + this.#leaving.length;
  }

  submit(job: Job): void {
    this.#arriving.push(job);
    if (!this.#busy) this.#drain();
  }

  /** Take out every job that has not started. */
  clear(): Job[] {
    const waiting = [...this.#leaving.reverse(), ...this.#arriving];
    this.#arriving = [];
    this.#leaving = [];
    return waiting;
  }

  readonly #drain = (): void => {
    this.#busy = true;
    for (let job = this.#take(); job !== undefined; job = this.#take()) {
      // A job that ends at once stays in this loop. One that goes on comes back through `then`, and `#busy` stays set.
      const running = this.start(job);
      if (running !== undefined) {
        void running.then(this.#drain);
        return;
      }
    }
    this.#busy = false;
  };

  #take(): Job | undefined {
    if (this.#leaving.length === 0) {
      this.#leaving = this.#arriving.reverse();
      this.#arriving = [];
    }
    return this.#leaving.pop();
  }
}
