import type { Clock } from "../../base/clock.ts";
import type { HubClient } from "../../client/hub-client.ts";
import { toAppError } from "../../contract/error-code.ts";
import type { SessionView } from "../../contract/fleet/session.ts";
import type { Channel } from "../../remote/channel.ts";
import type { OpenWhat } from "../../remote/open-what.ts";
import { orNothing } from "../find-box.ts";
import type { ForwardKeeper } from "./forward-keeper.ts";
import { judgeReach, type ReachStep } from "./judge-reach.ts";
import { failure } from "./remote-failure.ts";

/** Opens channels to the ports of an application session, wherever it is by then. */
export interface SessionReach {
  /** Resolves with a channel that is open. Rejects with the one sentence that says why there is none. */
  open(keeper: ForwardKeeper, what: OpenWhat): Promise<Channel>;
}

export interface SessionReachDeps {
  readonly sessions: Pick<HubClient["sessions"], "get" | "turn">;
  readonly clock: Clock;
  readonly tell: (line: string) => void;
}

const AGAIN_MS = 300;
/** Connections that wait at one time share what the hub says. */
const LOOK_AGE_MS = 500;

export function createSessionReach(
  { id, mayWake }: { readonly id: string; readonly mayWake: boolean },
  { sessions, clock, tell }: SessionReachDeps,
  signal: AbortSignal,
): SessionReach {
  let seen: { readonly atMs: number; readonly view: Promise<SessionView | "unknown" | undefined> } | undefined;
  let waking: Promise<void> | undefined;

  const look = () => {
    const nowMs = clock.monotonicMs();
    if (seen === undefined || nowMs - seen.atMs > LOOK_AGE_MS) {
      const view = sessions
        .get(id, signal)
        .catch(orNothing)
        .catch(() => "unknown" as const);
      seen = { atMs: nowMs, view };
    }
    return seen.view;
  };
  /** Those that come together wake it once. */
  const wake = () => {
    waking ??= (async () => {
      tell(`session ${id} sleeps; waking it`);
      await sessions.turn(id, "wake", signal);
      seen = undefined;
    })().finally(() => {
      waking = undefined;
    });
    return waking;
  };
  const carryOut = async (step: ReachStep, keeper: ForwardKeeper, box: string) => {
    if (step.kind === "fail") throw failure("lost", "unavailable", step.reason);
    if (step.kind === "move") keeper.leave(box, `session ${id} is on ${step.to} now`);
    if (step.kind === "wake") await wake();
    await clock.delay(AGAIN_MS, signal);
  };

  return {
    open: async (keeper, what) => {
      let failedMs: number | undefined;
      for (;;) {
        const remote = await keeper.session();
        const { box } = keeper;
        const channel = remote.open(what);
        try {
          await channel.opened;
          return channel;
        } catch (thrown) {
          if (signal.aborted) throw thrown;
          const error = toAppError(thrown);
          failedMs ??= clock.monotonicMs();
          const waitedMs = clock.monotonicMs() - failedMs;
          const step = judgeReach({ id, session: await look(), box, error, mayWake, waitedMs });
          await carryOut(step, keeper, box);
        }
      }
    },
  };
}
