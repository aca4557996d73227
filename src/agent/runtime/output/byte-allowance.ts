/** Bytes of a session's output that its log takes: a burst after a quiet time, then so many a second. */
export interface ByteAllowance {
  left(nowMs: number): number;
  spend(bytes: number): void;
}

export interface ByteAllowanceOptions {
  readonly burstBytes: number;
  readonly bytesPerSecond: number;
}

export function createByteAllowance({ burstBytes, bytesPerSecond }: ByteAllowanceOptions): ByteAllowance {
  let tokens = burstBytes;
  let lastMs: number | undefined;
  return {
    left: (nowMs) => {
      const elapsedMs = lastMs === undefined ? 0 : Math.max(nowMs - lastMs, 0);
      lastMs = nowMs;
      tokens = Math.min(burstBytes, tokens + (elapsedMs / 1000) * bytesPerSecond);
      return Math.max(0, Math.floor(tokens));
    },
    spend: (bytes) => {
      tokens -= bytes;
    },
  };
}
