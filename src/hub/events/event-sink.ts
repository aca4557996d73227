import type { ServerResponse } from "node:http";
import { SSE_HEADERS } from "./sse-headers.ts";

/** The writing end of one event stream. What does not fit into the connection waits in memory, within a bound. */
export interface EventSink {
  /** Sends the status and the headers at once, so that the other side knows that it is connected. */
  open(): void;
  /** Whole events or comments. Nothing when it is closed; cuts the connection when too much waits. */
  send(bytes: Buffer): void;
  isOpen(): boolean;
  /** Bytes that the connection has not taken yet. */
  waitingBytes(): number;
  bytesWritten(): number;
  /** Called when nothing waits any more, after something had. */
  onDrain(listener: () => void): void;
  /** `cut`: closed at once; `reset`: with a TCP reset; `end`: after what waits, properly. */
  close(how: "cut" | "reset" | "end"): void;
}

export function createEventSink(response: ServerResponse, options: { readonly maxWaitingBytes: number }): EventSink {
  let bytesWritten = 0;
  const isOpen = () => !response.destroyed && !response.writableEnded;
  return {
    open: () => {
      response.socket?.setNoDelay(true);
      response.writeHead(200, SSE_HEADERS);
      response.flushHeaders();
    },
    send: (bytes) => {
      if (!isOpen()) return;
      bytesWritten += bytes.length;
      response.write(bytes);
      if (response.writableLength > options.maxWaitingBytes) response.destroy();
    },
    isOpen,
    waitingBytes: () => response.writableLength,
    bytesWritten: () => bytesWritten,
    onDrain: (listener) => void response.on("drain", listener),
    close: (how) => {
      if (how === "reset") response.socket?.resetAndDestroy();
      else if (how === "cut") response.destroy();
      else endWith(response);
    },
  };
}

/** The body ends, and the connection with it: a client must not ask again on it. */
function endWith(response: ServerResponse): void {
  const { socket } = response;
  response.end(() => socket?.end());
}
