import { parseDurationMs } from "../../../contract/duration-text.ts";
import type { SessionPlatformName } from "../../../contract/session-spec.ts";
import type { SessionEndpoint, SessionStatus } from "../../../contract/session-status.ts";
import type { SessionWorkload } from "../../../contract/workload.ts";
import type { SessionMemory } from "../../registry/session-file.ts";
import type { Activity } from "./session-idle.ts";
import { endOf, type SessionWish } from "./session-wish.ts";

export interface SessionFactsNow {
  readonly memory: SessionMemory;
  readonly wish: SessionWish;
  readonly platform: SessionPlatformName | undefined;
  readonly instance: string | undefined;
  readonly isReady: boolean;
  readonly endpoints: readonly SessionEndpoint[];
  readonly openConnections: number | undefined;
  readonly memoryBytes: number | undefined;
  readonly activity: Activity;
  /** Monotonic; where it may fall asleep by itself. */
  readonly hibernatesAtMs: number | undefined;
  readonly hibernations: number;
  readonly wakes: number;
  readonly nowMs: number;
  readonly nowWallMs: number;
}

/** A session as its box tells it. Pure. */
export function tellSession({ spec }: SessionWorkload, facts: SessionFactsNow): SessionStatus {
  const { memory, wish, platform, instance, activity, hibernatesAtMs, memoryBytes, openConnections } = facts;
  const { sleep, ended, wakeMs } = memory;
  const wallOf = (ms: number) => toIso(facts.nowWallMs + ms - facts.nowMs);
  const endsAtMs = endOf(memory.firstStartMs, parseDurationMs(spec.maxDuration ?? ""));
  const reached = wish.state === "asleep" ? sleep : undefined;
  const memoryText = memoryBytes === undefined ? {} : { memoryBytes };
  return {
    user: spec.user,
    ...(platform === undefined ? {} : { platform }),
    ...(instance === undefined ? {} : { instance }),
    turn: memory.turn,
    ...(reached?.depth === undefined
      ? {}
      : { sleep: { depth: reached.depth, since: toIso(reached.sinceMs), because: reached.because, ...memoryText } }),
    ...(wakeMs === undefined ? {} : { wakeMs }),
    ...(facts.endpoints.length === 0 ? {} : { endpoints: [...facts.endpoints] }),
    ...(facts.isReady && hibernatesAtMs !== undefined
      ? {
          idle: {
            lastActivity: { at: wallOf(activity.atMs), source: activity.source },
            hibernatesAt: wallOf(hibernatesAtMs),
          },
        }
      : {}),
    ...(endsAtMs === undefined ? {} : { endsAt: toIso(endsAtMs) }),
    ...(wish.state === "ended" && ended !== undefined
      ? { ended: { at: toIso(ended.atMs), reason: ended.reason } }
      : {}),
    hibernations: facts.hibernations,
    wakes: facts.wakes,
    ...(openConnections === undefined ? {} : { openConnections }),
    ...memoryText,
  };
}

function toIso(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
