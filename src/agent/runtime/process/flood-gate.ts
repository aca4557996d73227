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

export interface FloodGateOptions {
  /** Lines that may come at once after a quiet time. */
  readonly burst: number;
  readonly linesPerSecond: number;
}

export function createFloodGate(options: FloodGateOptions): FloodGate {
  let tokens = options.burst;
  let lastMs: number | undefined;
  let suppressed = 0;

  const takeSuppressed = () => {
    const count = suppressed;
    suppressed = 0;
    return count;
  };
  return {
    admit: (count, nowMs) => {
      const elapsedMs = lastMs === undefined ? 0 : Math.max(nowMs - lastMs, 0);
      lastMs = nowMs;
      tokens = Math.min(options.burst, tokens + (elapsedMs / 1000) * options.linesPerSecond);
      const admitted = Math.min(count, Math.floor(tokens));
      tokens -= admitted;
      const suppressedBefore = admitted > 0 ? takeSuppressed() : 0;
      suppressed += count - admitted;
      return { admitted, suppressedBefore };
    },
    takeSuppressed,
  };
}
