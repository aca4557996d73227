import type { ServerResponse } from "node:http";
import type { Clock } from "../../src/base/clock.ts";
import { createEventSink } from "../../src/hub/events/event-sink.ts";
import type { WritePlan } from "../faults/active-faults.ts";

/** Bytes that may wait for a client that does not read; beyond it the connection is cut. */
const MAX_WAITING_BYTES = 256 * 1024 * 1024;
/** Byte-by-byte writes between two turns of the event loop. */
const BYTES_A_TURN = 64;

/** Writes to one connection in order, whatever a fault does to each write. */
export interface Outbox {
  send(bytes: Buffer, plan: WritePlan): void;
  /** Between events only, and never late: skipped while an event is being written. */
  sendBeat(text: string): void;
  /** Never writes again; the connection stays open. */
  mute(): void;
  isMuted(): boolean;
  /** `cut`: closed at once; `reset`: with a TCP reset; `end`: after what waits, properly. */
  close(how: "cut" | "reset" | "end"): void;
  bytesWritten(): number;
}

export function createOutbox(
  response: ServerResponse,
  deps: { readonly clock: Clock; readonly signal: AbortSignal },
): Outbox {
  const waiting: { readonly bytes: Buffer; readonly plan: WritePlan }[] = [];
  let isWriting = false;
  let isMuted = false;
  const sink = createEventSink(response, { maxWaitingBytes: MAX_WAITING_BYTES });

  const isOpen = () => !isMuted && sink.isOpen();
  const write = (bytes: Buffer) => {
    if (!isMuted) sink.send(bytes);
  };
  /** HTTP chunks keep the split visible even where the kernel joins segments. */
  const writeByteByByte = async (bytes: Buffer) => {
    for (let at = 0; at < bytes.length && isOpen(); at++) {
      write(bytes.subarray(at, at + 1));
      if (at % BYTES_A_TURN === BYTES_A_TURN - 1) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const pump = async () => {
    isWriting = true;
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (next.plan.delayMs > 0) await deps.clock.delay(next.plan.delayMs, deps.signal);
      if (next.plan.byteByByte) await writeByteByByte(next.bytes);
      else write(next.bytes);
      if (next.plan.closeAfter && isOpen()) sink.close("end");
    }
    isWriting = false;
  };

  return {
    send: (bytes, plan) => {
      if (!isOpen()) return;
      waiting.push({ bytes, plan });
      // A rejection is the signal's: the connection is gone, and nothing waits for what was to be written.
      if (!isWriting) pump().catch(() => undefined);
    },
    sendBeat: (text) => {
      if (!isWriting) write(Buffer.from(text));
    },
    mute: () => {
      isMuted = true;
    },
    isMuted: () => isMuted,
    close: (how) => sink.close(how),
    bytesWritten: () => sink.bytesWritten(),
  };
}
