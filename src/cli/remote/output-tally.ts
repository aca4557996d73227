import type { OutputDigest } from "../../remote/exit-facts.ts";
import { createPipeDigest } from "../../remote/pipe-digest.ts";

/** Counts and hashes what of an output was handed on, up to where the command ended. */
export interface OutputTally {
  add(bytes: Uint8Array): void;
  /** The command ended after this many bytes: what comes later is somebody else's. */
  setEnd(total: number): void;
  /** Resolves when as much as was announced has come. */
  readonly complete: Promise<void>;
  read(): OutputDigest;
}

export function createOutputTally(): OutputTally {
  const digest = createPipeDigest();
  const { promise, resolve } = Promise.withResolvers<void>();
  let end = Number.POSITIVE_INFINITY;
  let total = 0;
  return {
    add: (bytes) => {
      const counted = bytes.subarray(0, Math.max(0, end - total));
      digest.add(counted);
      total += counted.length;
      if (total >= end) resolve();
    },
    setEnd: (announced) => {
      end = announced;
      if (total >= end) resolve();
    },
    complete: promise,
    read: () => digest.read(),
  };
}
