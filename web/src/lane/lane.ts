// The lane worker's entry: imports the runtime, dials the host, and answers it.

import { Channel } from "../wire/channel";
import { toBody } from "../wire/errors";
import { PROTOCOL, type LaneToHost, type WorkerEvent, type WorkerStart } from "../wire/messages";
import { RuntimeLog } from "../runtime/placement";
import { importRuntime, type Runtime } from "../runtime/runtime";
import { LaneService } from "./service";
import { RuntimeTrace } from "../runtime/trace";

/** The part of a dedicated worker's global scope that the DOM's types lack. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<WorkerStart>) => void) | null;
  postMessage(message: WorkerEvent): void;
  addEventListener(type: "error", listener: (event: ErrorEvent) => void): void;
  addEventListener(type: "unhandledrejection", listener: (event: PromiseRejectionEvent) => void): void;
  close(): void;
}

const scope = globalThis as unknown as WorkerScope;

async function serve(start: WorkerStart): Promise<void> {
  const [log, trace] = [new RuntimeLog(), new RuntimeTrace()];
  // The import and the dialling take their time side by side; the host hears of the lane when both are done.
  const [{ ort, info }, channel] = await Promise.all([importRuntime(start.threads), Channel.open<LaneToHost>(start.token)]);
  channel.maxBytes = start.max_message_bytes;
  const send = (...message: Parameters<typeof channel.send>) => channel.send(...message);
  let imported: Promise<Runtime> | undefined; // once, and only for a model that needs it
  const plain = () => (imported ??= importRuntime(start.threads, "wasm").then((plainly) => plainly.ort));
  const service = new LaneService(ort, start.access, send, log, trace, info.bundle === "wasm" ? undefined : plain);
  channel.listen({ receive: (data) => service.receive(data), closed: () => scope.close() });
  scope.addEventListener("error", (event) => service.crash(event.error ?? event.message));
  scope.addEventListener("unhandledrejection", (event) => service.crash(event.reason));
  channel.send({ kind: "hello", protocol: PROTOCOL, role: "lane", lane: start.lane, runtime: info });
}

scope.onmessage = ({ data }) => {
  scope.onmessage = null;
  scope.postMessage({ type: "started" });
  serve(data).catch((error: unknown) => scope.postMessage({ type: "failed", error: toBody(error, "backend.unavailable") }));
};
