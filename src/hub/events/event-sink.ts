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
  return new ResponseSink(response, options.maxWaitingBytes);
}

/** A class, because a hub holds ten thousand: methods are shared, closures would not be. */
class ResponseSink implements EventSink {
  readonly #response: ServerResponse;
  readonly #maxWaitingBytes: number;
  #bytesWritten = 0;

  constructor(response: ServerResponse, maxWaitingBytes: number) {
    this.#response = response;
    this.#maxWaitingBytes = maxWaitingBytes;
  }

  open(): void {
    const response = this.#response;
    response.socket?.setNoDelay(true);
    response.writeHead(200, SSE_HEADERS);
    response.flushHeaders();
  }

  send(bytes: Buffer): void {
    if (!this.isOpen()) return;
    const response = this.#response;
    this.#bytesWritten += bytes.length;
    // Straight to the connection, framed here: the response would cork it, write each event in three parts, and wait a turn.
    if (response.socket !== null && response.chunkedEncoding) response.socket.write(chunkOf(bytes));
    else response.write(bytes);
    if (response.writableLength > this.#maxWaitingBytes) response.destroy();
  }

  isOpen(): boolean {
    return !this.#response.destroyed && !this.#response.writableEnded;
  }

  waitingBytes(): number {
    return this.#response.writableLength;
  }

  bytesWritten(): number {
    return this.#bytesWritten;
  }

  onDrain(listener: () => void): void {
    (this.#response.socket ?? this.#response).on("drain", listener);
  }

  close(how: "cut" | "reset" | "end"): void {
    const response = this.#response;
    if (how === "reset") response.socket?.resetAndDestroy();
    else if (how === "cut") response.destroy();
    else endWith(response);
  }
}

const CRLF = Buffer.from("\r\n");
/** What was framed last: a beat, or an event for many viewers, goes to one connection after the other. */
let last: { readonly bytes: Buffer; readonly chunk: Buffer } = { bytes: CRLF, chunk: CRLF };

/** A chunk of the transfer coding (RFC 9112 §7.1). */
function chunkOf(bytes: Buffer): Buffer {
  if (last.bytes !== bytes) {
    const size = Buffer.from(`${bytes.length.toString(16)}\r\n`, "latin1");
    last = { bytes, chunk: Buffer.concat([size, bytes, CRLF]) };
  }
  return last.chunk;
}

/** The body ends, and the connection with it: a client must not ask again on it. */
function endWith(response: ServerResponse): void {
  const { socket } = response;
  response.end(() => socket?.end());
}
