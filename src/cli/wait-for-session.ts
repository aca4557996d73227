import { AppError } from "../base/errors.ts";
import type { HubClient } from "../client/hub-client.ts";
import type { SessionView } from "../contract/fleet/session.ts";
import type { CommandContext } from "./command-context.ts";
import { formatDuration } from "./duration.ts";
import { orNothing } from "./find-box.ts";
import { createProgress } from "./progress.ts";

export type SessionGoal = "running" | "hibernated" | "gone";

interface Waiting {
  readonly id: string;
  readonly until: SessionGoal;
  readonly limitSeconds: number;
  /** What is to be told of each look at it, in lines; empty where nothing is new. */
  readonly tell?: (session: SessionView) => string;
}

const LOOK_PERIOD_MS = 200;
/** From then on nobody counts milliseconds: an image is fetched, or a box is away. */
const PATIENT_AFTER_MS = 10_000;
const PATIENT_PERIOD_MS = 1000;

/**
 * Whether that is what was waited for. Pure. `ended` is as good as `running`: its work was done before anybody looked. What its box
 * says from before the last wish counts for nothing. Throws `refused` and `conflict` for what waiting changes nothing about.
 */
export function hasCome(session: SessionView | undefined, id: string, until: SessionGoal): boolean {
  if (session === undefined) {
    if (until === "gone") return true;
    throw new AppError("conflict", `session ${id} was stopped meanwhile`);
  }
  if (until === "gone") return false;
  if (session.state === "refused") throw new AppError("refused", stateText(session));
  if (session.state === "stopping") throw new AppError("conflict", `session ${id} was stopped meanwhile`);
  const hasCarriedOut = (session.session?.turn ?? -1) >= session.power.turn;
  return hasCarriedOut && (session.state === until || session.state === "ended");
}

/** Rejects with `timeout`, telling state and reason; and as `hasCome`. */
export async function waitForSession(
  { id, until, limitSeconds, tell }: Waiting,
  hub: HubClient,
  { clock, signal, io }: CommandContext,
): Promise<SessionView | undefined> {
  const progress = createProgress(io);
  const beganMs = clock.monotonicMs();
  try {
    for (;;) {
      const session = await hub.sessions.get(id, signal).catch(orNothing);
      const news = session === undefined ? "" : (tell?.(session) ?? "");
      if (news !== "") {
        progress.end();
        io.write(news);
      }
      if (hasCome(session, id, until)) return session;
      const waitedMs = clock.monotonicMs() - beganMs;
      const text = session === undefined ? `session ${id} is gone` : stateText(session);
      if (waitedMs > limitSeconds * 1000) {
        throw new AppError(
          "timeout",
          `after ${formatDuration(waitedMs / 1000)}: ${text} (the wish itself stays: sluice session show ${id})`,
        );
      }
      progress.say(`${text} … ${formatDuration(waitedMs / 1000)}`);
      await clock.delay(waitedMs < PATIENT_AFTER_MS ? LOOK_PERIOD_MS : PATIENT_PERIOD_MS, signal);
    }
  } finally {
    progress.end();
  }
}

/** `session web is starting on north-1: fetches nginx:1.27` */
export function stateText({ id, state, box, reason }: SessionView): string {
  const where = box === undefined || state === "unplaced" ? "" : ` on ${box}`;
  return `session ${id} is ${state}${where}${reason === undefined ? "" : `: ${reason}`}`;
}
