import type { Clock } from "../base/clock.ts";
import type { DataLink } from "./data-link.ts";
import { fault } from "./fault.ts";

/** Leases here whose bytes somebody else brings: who waits, and who comes. */
export interface PushedLinks {
  /** Rejects with `unreachable` when nobody comes in time, or with the signal's reason. */
  wait(lease: string, attempt: number, signal: AbortSignal): Promise<DataLink>;
  /** False: nobody waits for it. */
  take(lease: string, attempt: number, link: DataLink): boolean;
}

const WAIT_MS = 30_000;

export function createPushedLinks(clock: Clock): PushedLinks {
  const waiting = new Map<string, (link: DataLink) => void>();
  const keyOf = (lease: string, attempt: number) => `${attempt} ${lease}`;
  return {
    wait: (lease, attempt, signal) =>
      new Promise((resolve, reject) => {
        const key = keyOf(lease, attempt);
        const end = () => {
          waiting.delete(key);
          timer.clear();
          signal.removeEventListener("abort", onAbort);
        };
        const onAbort = () => {
          end();
          reject(signal.reason);
        };
        const timer = clock.timer(WAIT_MS, () => {
          end();
          reject(fault("unreachable", "the source, which was to come here, did not"));
        });
        signal.addEventListener("abort", onAbort, { once: true });
        waiting.set(key, (link) => {
          end();
          resolve(link);
        });
        if (signal.aborted) onAbort();
      }),
    take: (lease, attempt, link) => {
      const taken = waiting.get(keyOf(lease, attempt));
      taken?.(link);
      return taken !== undefined;
    },
  };
}
