/** What was sent and may have to be sent again. */
export interface Outbox {
  /** The number that the next frame must bear. */
  readonly nextSeq: number;
  /** Bytes of all frames that the other end has not acknowledged. */
  readonly unackedBytes: number;
  readonly unackedFrames: number;
  /** Of the frame that bears `nextSeq`. */
  add(pieces: readonly Uint8Array[]): void;
  /** The other end has everything up to `seq`. Gives how many bytes that were; `undefined`: it cannot have what was never sent. */
  acknowledge(seq: number): number | undefined;
  /** In their order; for a new carrier. */
  unacked(): Iterable<readonly Uint8Array[]>;
}

interface Sent {
  readonly pieces: readonly Uint8Array[];
  readonly bytes: number;
}

/** How many acknowledged frames may stay at the front of the list before it is cut. */
const TRIM_AT = 1024;

export function createOutbox(): Outbox {
  let sent: (Sent | undefined)[] = [];
  let first = 0;
  let acknowledged = 0;
  let unackedBytes = 0;

  return {
    get nextSeq() {
      return acknowledged + (sent.length - first) + 1;
    },
    get unackedBytes() {
      return unackedBytes;
    },
    get unackedFrames() {
      return sent.length - first;
    },
    add(pieces) {
      let bytes = 0;
      for (const piece of pieces) bytes += piece.length;
      sent.push({ pieces, bytes });
      unackedBytes += bytes;
    },
    acknowledge(seq) {
      const frames = seq - acknowledged;
      if (frames > sent.length - first) return undefined;
      let bytes = 0;
      for (let index = first; index < first + frames; index++) {
        bytes += sent[index]?.bytes ?? 0;
        // It holds the bytes of its pipe, which must not live until the list is cut.
        sent[index] = undefined;
      }
      if (frames > 0) {
        first += frames;
        acknowledged = seq;
        unackedBytes -= bytes;
      }
      if (first === sent.length || first >= TRIM_AT) {
        sent = sent.slice(first);
        first = 0;
      }
      return bytes;
    },
    *unacked() {
      for (let index = first; index < sent.length; index++) {
        const frame = sent[index];
        if (frame !== undefined) yield frame.pieces;
      }
    },
  };
}
