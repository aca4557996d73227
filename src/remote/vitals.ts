import type { PipeReader } from "./pipe-reader.ts";
import type { PipeWriter } from "./pipe-writer.ts";

/** How one channel stands, from this side. Times are until now. */
export interface ChannelVitals {
  readonly id: number;
  /** What comes from the other end. */
  readonly reads: {
    readonly bytes: number;
    /** Not taken by whoever reads here. */
    readonly heldBytes: number;
    /** Nothing of it was taken for so long; 0: nothing is held. */
    readonly heldMs: number;
    /** Since bytes came; absent: never. */
    readonly quietMs?: number | undefined;
  };
  /** What goes to it. */
  readonly writes: {
    readonly bytes: number;
    readonly queuedBytes: number;
    /** Of the pipe that has the least of those that have something queued, or of all. */
    readonly creditBytes: number;
    /** Since bytes went; absent: never. */
    readonly quietMs?: number | undefined;
    readonly isEnded: boolean;
  };
}

/** An end of a session, over all its channels. */
export interface EndVitals {
  readonly queuedBytes: number;
  readonly unackedBytes: number;
  readonly heldBytes: number;
  readonly heldMs: number;
}

interface ChannelPipes {
  readonly readers: readonly { readonly pipe: PipeReader }[];
  readonly writers: readonly { readonly pipe: PipeWriter }[];
  readonly sentMs: number | undefined;
}

export function channelVitals(id: number, { readers, writers, sentMs }: ChannelPipes, nowMs: number): ChannelVitals {
  let [readBytes, heldBytes, heldMs] = [0, 0, 0];
  let receivedMs: number | undefined;
  for (const { pipe } of readers) {
    readBytes += pipe.total;
    heldBytes += pipe.heldBytes;
    if (pipe.heldBytes > 0) heldMs = Math.max(heldMs, nowMs - pipe.progressMs);
    if (pipe.receivedMs !== undefined) receivedMs = Math.max(receivedMs ?? 0, pipe.receivedMs);
  }
  const queued = writers.filter(({ pipe }) => pipe.queuedBytes > 0);
  const counted = queued.length > 0 ? queued : writers;
  return {
    id,
    reads: {
      bytes: readBytes,
      heldBytes,
      heldMs,
      ...(receivedMs === undefined ? {} : { quietMs: nowMs - receivedMs }),
    },
    writes: {
      bytes: writers.reduce((sum, { pipe }) => sum + pipe.total, 0),
      queuedBytes: queued.reduce((sum, { pipe }) => sum + pipe.queuedBytes, 0),
      creditBytes: Math.min(...counted.map(({ pipe }) => pipe.creditBytes)),
      ...(sentMs === undefined ? {} : { quietMs: nowMs - sentMs }),
      isEnded: writers.every(({ pipe }) => pipe.isFinished),
    },
  };
}

export function endVitals(channels: readonly ChannelVitals[], unackedBytes: number): EndVitals {
  let [queuedBytes, heldBytes, heldMs] = [0, 0, 0];
  for (const { reads, writes } of channels) {
    queuedBytes += writes.queuedBytes;
    heldBytes += reads.heldBytes;
    heldMs = Math.max(heldMs, reads.heldMs);
  }
  return { queuedBytes, unackedBytes, heldBytes, heldMs };
}
