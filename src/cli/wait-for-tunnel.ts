import { AppError } from "../base/errors.ts";
import type { HubClient } from "../client/hub-client.ts";
import type { TunnelView } from "../contract/fleet/tunnel.ts";
import type { CommandContext } from "./command-context.ts";
import { formatDuration } from "./duration.ts";
import { orNothing } from "./find-box.ts";
import { createProgress } from "./progress.ts";

interface Waiting {
  readonly uid: string;
  readonly limitSeconds: number;
  /** Called with each look: the tunnel, or nothing when there is none any more. Answers whether that is what was waited for. */
  readonly look: (tunnel: TunnelView | undefined) => boolean;
  /** What remains true although the wait is over. */
  readonly rest: string;
}

const LOOK_PERIOD_MS = 100;
/** From then on nobody counts milliseconds. */
const PATIENT_AFTER_MS = 5000;
const PATIENT_PERIOD_MS = 1000;

/** Rejects with `timeout`, telling phase and reason. */
export async function waitForTunnel(
  { uid, limitSeconds, look, rest }: Waiting,
  hub: HubClient,
  { clock, signal, io }: CommandContext,
): Promise<TunnelView | undefined> {
  const progress = createProgress(io);
  const beganMs = clock.monotonicMs();
  try {
    for (;;) {
      const tunnel = await hub.tunnels.get(uid, signal).catch(orNothing);
      if (look(tunnel)) return tunnel;
      const waitedMs = clock.monotonicMs() - beganMs;
      const text = tunnel === undefined ? "it is gone" : stateText(tunnel);
      if (waitedMs > limitSeconds * 1000) {
        throw new AppError("timeout", `after ${formatDuration(waitedMs / 1000)}: ${text} (${rest})`);
      }
      progress.say(`${text} … ${formatDuration(waitedMs / 1000)}`);
      await clock.delay(waitedMs < PATIENT_AFTER_MS ? LOOK_PERIOD_MS : PATIENT_PERIOD_MS, signal);
    }
  } finally {
    progress.end();
  }
}

/** `tunnel k3m9 is prepared: south-1: waits for …` */
export function stateText({ uid, phase, reason }: TunnelView): string {
  return `tunnel ${uid} is ${phase}${reason === undefined ? "" : `: ${reason}`}`;
}
