// The page's entry: dials the host, reports what the browser can do, and supervises the lanes.

import { identifyFully, reportCapabilities } from "./capabilities";
import { Channel } from "../wire/channel";
import { asError } from "../wire/errors";
import { PROTOCOL, type PageToHost, type WorkerEvent } from "../wire/messages";
import { Supervisor, type LaneWorker, type Status, type WorkerListener } from "./supervisor";

const field = (id: string) => document.getElementById(id)!;

/** Read the token and take it out of the address bar, the history and every screenshot. */
function takeToken(): string {
  const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
  history.replaceState(null, "", location.pathname);
  return token;
}

function show({ state, browser, lanes }: Status): void {
  field("state").textContent = state;
  field("state").dataset["state"] = state;
  field("browser").textContent = browser || "–";
  field("lanes").textContent = lanes.map(({ name, running }) => (running ? name : `${name} (starting)`)).join(", ") || "none";
}

function explain(error: unknown): void {
  field("state").textContent = "not connected";
  field("state").dataset["state"] = "host gone";
  field("why").textContent = asError(error).message;
}

function startWorker(start: { readonly lane: string }, listener: WorkerListener): LaneWorker {
  const worker = new Worker("/assets/lane.js", { type: "module", name: start.lane });
  worker.onmessage = ({ data }: MessageEvent<WorkerEvent>) => listener.event(data);
  worker.onerror = (event) => listener.error(event.message || "its script could not be loaded");
  worker.onmessageerror = () => listener.error("it sent what could not be read");
  worker.postMessage(start);
  return worker;
}

// A window that a script did not open may refuse to close itself; an empty page at least holds nothing.
function leave(): void {
  window.close();
  location.replace("about:blank");
}

async function supervise(): Promise<void> {
  const [channel, identity] = await Promise.all([Channel.open<PageToHost>(takeToken()), identifyFully()]);
  field("engine").textContent = `${identity.engine} ${identity.version}`;
  const supervisor = new Supervisor({
    send: (message) => channel.send(message),
    startWorker,
    schedule: (seconds, callback) => {
      const timer = setTimeout(callback, seconds * 1000);
      return () => clearTimeout(timer);
    },
    now: () => performance.now() / 1000,
    leave,
    show,
  });
  channel.listen({ receive: (data) => supervisor.receive(data), closed: () => supervisor.shutDown() });
  const { engine, version: engine_version } = identity;
  channel.send({ kind: "hello", protocol: PROTOCOL, role: "page", user_agent: navigator.userAgent, engine, engine_version });
  channel.send({ kind: "capabilities", capabilities: await reportCapabilities() });
}

supervise().catch(explain);
