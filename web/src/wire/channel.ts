// One WebSocket to the host that speaks frames.

import { CodedError } from "./errors";
import type { LaneToHost, PageToHost } from "./messages";
import { FrameWriter, type WireTensor } from "./frames";

const DIAL_FAILED = "The connection to the host was refused or lost before it opened: its token may be used up or wrong.";

export interface Receiver {
  /** Called with a message's data, right as it comes. */
  receive(data: unknown): void;
  closed(): void;
}

export class Channel<Message extends PageToHost | LaneToHost> {
  maxBytes = Infinity;
  readonly #writer = new FrameWriter();

  private constructor(private readonly socket: WebSocket) {}

  /** Dial the host that served this script. Rejects with a CodedError `lost.socket` if it does not take the call. */
  static open<Message extends PageToHost | LaneToHost>(token: string): Promise<Channel<Message>> {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws?token=${encodeURIComponent(token)}`);
    socket.binaryType = "arraybuffer";
    return new Promise((resolve, reject) => {
      socket.onopen = () => resolve(new Channel(socket));
      socket.onclose = () => reject(new CodedError("lost.socket", DIAL_FAILED));
    });
  }

  /** Take messages from now on. The host sends none before it was greeted, so listen first and greet then. */
  listen(receiver: Receiver): void {
    // The socket may have closed before anybody listened: then no event comes any more.
    if (this.socket.readyState !== WebSocket.OPEN) receiver.closed();
    this.socket.onmessage = (event: MessageEvent<unknown>) => receiver.receive(event.data);
    this.socket.onclose = () => receiver.closed();
  }

  /**
   * Send a message. Throws a WireError `protocol.too_large` and sends nothing, if it is over the host's limit.
   *
   * The limit holds for messages with tensors only: an error must always reach the host.
   */
  send(message: Message, tensors?: readonly WireTensor[], complete?: () => void): void {
    this.socket.send(this.#writer.write(message, tensors, tensors === undefined ? Infinity : this.maxBytes, complete));
  }

  close(): void {
    this.socket.close();
  }
}
