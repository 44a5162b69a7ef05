// The page's side of the protocol: starts and stops lanes, answers heartbeats, and leaves when the host is gone.
// What it needs of a browser comes in through Ports, so that all of it runs in a test.

import { WireError, toBody, type ErrorBody } from "../wire/errors";
import {
  readHostToPage,
  type HostToPage,
  type PageToHost,
  type StartLane,
  type WorkerEvent,
  type WorkerStart,
} from "../wire/messages";
import { decode, type Frame } from "../wire/frames";

/** A running worker. */
export interface LaneWorker {
  terminate(): void;
}

export interface WorkerListener {
  event(event: WorkerEvent): void;
  error(message: string): void;
}

export interface Ports {
  send(message: PageToHost): void;
  startWorker(start: WorkerStart, listener: WorkerListener): LaneWorker;
  /** Call back once after some seconds; returns how to call that off. */
  schedule(seconds: number, callback: () => void): () => void;
  now(): number;
  /** Close the window, by whatever the browser allows. */
  leave(): void;
  show(status: Status): void;
}

export type State = "connecting" | "connected" | "host gone";

export interface Status {
  readonly state: State;
  readonly browser: string;
  readonly lanes: readonly { readonly name: string; readonly running: boolean }[];
}

interface Lane {
  readonly request: number;
  worker: LaneWorker | undefined;
  running: boolean;
}

export class Supervisor {
  readonly #lanes = new Map<string, Lane>();
  #state: State = "connecting";
  #browser = "";
  #lastMessage = 0; // s, by the clock of the ports
  #callOff: (() => void) | undefined;

  constructor(private readonly ports: Ports) {}

  /** Take one WebSocket message. */
  receive(data: unknown): void {
    if (this.#state === "host gone") return;
    this.#lastMessage = this.ports.now();
    let frame: Frame | undefined;
    try {
      frame = decode(data);
      this.#obey(readHostToPage(frame.header));
    } catch (error) {
      this.ports.send({ kind: "error", id: frame?.header.id ?? 0, error: toBody(error, "protocol.malformed") });
    }
  }

  /** End every lane and leave: the host is gone or said goodbye. */
  shutDown(): void {
    if (this.#state === "host gone") return;
    this.#state = "host gone";
    this.#callOff?.();
    for (const lane of this.#lanes.values()) lane.worker?.terminate();
    this.#lanes.clear();
    this.#show();
    this.ports.leave();
  }

  #obey(message: HostToPage): void {
    switch (message.kind) {
      case "ping":
        return this.ports.send({ kind: "pong" });
      case "goodbye":
        return this.shutDown();
      case "welcome":
        this.#browser = message.browser;
        this.#state = "connected";
        if (message.patience !== null) this.#watch(message.patience);
        return this.#show();
      case "start_lane":
        return this.#startLane(message);
      case "stop_lane":
        this.#drop(message.lane);
        return this.ports.send({ kind: "ok", id: message.id });
    }
  }

  #startLane({ id, kind: _kind, ...start }: StartLane): void {
    const name = start.lane;
    if (this.#lanes.has(name)) throw new WireError("protocol.malformed", `The lane ${name} exists already.`, { lane: name });
    const lane: Lane = { request: id, worker: undefined, running: false };
    this.#lanes.set(name, lane);
    try {
      lane.worker = this.ports.startWorker(start, {
        event: (event) => (event.type === "started" ? this.#started(name, lane) : this.#failed(name, lane, event.error)),
        error: (message) =>
          this.#failed(name, lane, toBody(new Error(message), "lost.lane", `The lane ${name} failed: ${message}`)),
      });
    } catch (error) {
      this.#lanes.delete(name);
      throw error;
    }
    this.#show();
  }

  // An ended worker's event may still be on its way when its name is another lane's: so the lane itself is compared.
  #started(name: string, lane: Lane): void {
    if (this.#lanes.get(name) !== lane) return;
    lane.running = true;
    this.ports.send({ kind: "ok", id: lane.request, lane: name });
    this.#show();
  }

  // A lane with an error that nothing caught is not to be trusted: it ends, and the host hears why.
  #failed(name: string, lane: Lane, error: ErrorBody): void {
    if (this.#lanes.get(name) !== lane) return;
    this.#drop(name);
    if (lane.running) this.ports.send({ kind: "lane_failed", lane: name, error });
    else this.ports.send({ kind: "error", id: lane.request, error });
  }

  #drop(name: string): void {
    this.#lanes.get(name)?.worker?.terminate();
    this.#lanes.delete(name);
    this.#show();
  }

  // One timer per limit, not one per message: when it rings, it is set again for what is left.
  #watch(limit: number): void {
    this.#callOff?.();
    const check = () => {
      const silent = this.ports.now() - this.#lastMessage;
      if (silent >= limit) this.shutDown();
      else this.#callOff = this.ports.schedule(limit - silent, check);
    };
    this.#callOff = this.ports.schedule(limit, check);
  }

  #show(): void {
    const lanes = [...this.#lanes].map(([name, { running }]) => ({ name, running }));
    this.ports.show({ state: this.#state, browser: this.#browser, lanes });
  }
}
