import type { Finding } from "./finding.ts";
import type { MediaHealth } from "./media-health.ts";
import type { SocketHealth } from "./socket-health.ts";

/** What the witnesses say of one running process. */
export interface WitnessedProcess {
  readonly phase: string;
  readonly health: MediaHealth;
  readonly sockets: SocketHealth;
  readonly finding: Finding | undefined;
}

/** A reading older than this does not say that media still flows. */
const FRESH_MS = 1000;

/**
 * Whether media has flowed without a pause for `forMs`, by the process's own counters, with every connection of it
 * answered by its peer. Counters alone only show that kernel buffers fill. Pure.
 */
export function provesMedia({ phase, health, sockets, finding }: WitnessedProcess, forMs: number): boolean {
  if (phase !== "running" || finding !== undefined || health.idleMs > FRESH_MS || health.healthyMs < forMs)
    return false;
  return sockets.sockets.every(
    ({ isConnecting, unansweredMs, windowShutMs }) => !isConnecting && unansweredMs === 0 && windowShutMs === 0,
  );
}
