import type { Clock, Timer } from "../base/clock.ts";

/** Says what has arrived: soon, and not for each frame. */
export interface Acknowledger {
  arrived(bytes: number): void;
  now(): void;
  stop(): void;
}

/** An acknowledgement waits for company no longer than this. */
const WAIT_MS = 5;
const WAIT_BYTES = 256 * 1024;

export function createAcknowledger({ clock, say }: { readonly clock: Clock; readonly say: () => void }): Acknowledger {
  let bytes = 0;
  let timer: Timer | undefined;
  const stop = () => {
    timer?.clear();
    timer = undefined;
    bytes = 0;
  };
  const now = () => {
    stop();
    say();
  };
  return {
    arrived: (more) => {
      bytes += more;
      if (bytes >= WAIT_BYTES) now();
      else timer ??= clock.timer(WAIT_MS, now);
    },
    now,
    stop,
  };
}
