import { boundedWait } from "../../base/bounded-wait.ts";
import type { Clock } from "../../base/clock.ts";
import { fault } from "../fault.ts";
import type { DataLink } from "./data-link.ts";

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
    wait: (lease, attempt, signal) => {
      const key = keyOf(lease, attempt);
      const begin = (take: (link: DataLink) => void) => {
        waiting.set(key, take);
        return () => waiting.delete(key);
      };
      const late = (): never => {
        throw fault("unreachable", "the source, which was to come here, did not");
      };
      return boundedWait({ ms: WAIT_MS, begin, late }, { clock, signal });
    },
    take: (lease, attempt, link) => {
      const taken = waiting.get(keyOf(lease, attempt));
      taken?.(link);
      return taken !== undefined;
    },
  };
}
