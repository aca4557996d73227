import { createTokenBucket, type Rate } from "../../../base/token-bucket.ts";

/** Lets so many lines through a second and counts the others, so that one chatty workload wears out no disk. */
export interface FloodGate {
  /** How many of `count` lines may pass now: the first ones. */
  admit(count: number, nowMs: number): Admission;
  /** Lines held back since lines last passed; forgets them. */
  takeSuppressed(): number;
}

export interface Admission {
  readonly admitted: number;
  /** Lines held back before these, to be told before them. Zero while nothing passes. */
  readonly suppressedBefore: number;
}

/** `rate`: of lines. */
export function createFloodGate(rate: Rate): FloodGate {
  const bucket = createTokenBucket(rate);
  let suppressed = 0;

  const takeSuppressed = () => {
    const count = suppressed;
    suppressed = 0;
    return count;
  };
  return {
    admit: (count, nowMs) => {
      const admitted = Math.min(count, bucket.left(nowMs));
      bucket.spend(admitted);
      const suppressedBefore = admitted > 0 ? takeSuppressed() : 0;
      suppressed += count - admitted;
      return { admitted, suppressedBefore };
    },
    takeSuppressed,
  };
}
