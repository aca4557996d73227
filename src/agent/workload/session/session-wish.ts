import type { SessionPower } from "../../../contract/session-spec.ts";
import type { SessionMemory } from "../../registry/session-file.ts";

/** What is to become of a session now: pure, from what is asked and what it remembers. */
export type SessionWish =
  | { readonly state: "awake"; readonly turn: number }
  | { readonly state: "asleep"; readonly turn: number; readonly because: "asked" | "idle" }
  | { readonly state: "ended"; readonly turn: number };

const ALWAYS_AWAKE: SessionPower = { state: "running", turn: 0 };

export function decideWish(
  power: SessionPower | undefined,
  specHash: string,
  memory: Pick<SessionMemory, "sleep" | "ended">,
): SessionWish {
  const { state, turn } = power ?? ALWAYS_AWAKE;
  const { sleep, ended } = memory;
  if (ended !== undefined && ended.specHash === specHash && turn <= ended.turn) return { state: "ended", turn };
  if (state === "hibernated") return { state: "asleep", turn, because: "asked" };
  // It fell asleep by itself: the wish that it had already does not wake it, however often it is told again.
  if (sleep?.because === "idle" && turn <= sleep.turn) return { state: "asleep", turn, because: "idle" };
  return { state: "awake", turn };
}

/** Wall time at which it will have had its time; undefined: never, or it has not begun. */
export function endOf(firstStartMs: number | undefined, maxDurationMs: number | undefined): number | undefined {
  return firstStartMs === undefined || maxDurationMs === undefined ? undefined : firstStartMs + maxDurationMs;
}

/**
 * What an exit nobody saw means: an agent comes back and nothing of the session runs. One that may run once has run; one
 * that is to be tried until it succeeds is tried again, for nobody knows whether it did.
 */
export function endedUnseen(
  restart: "always" | "on-failure" | "never" | undefined,
  specHash: string,
  { turn, launched }: { readonly turn: number; readonly launched: SessionMemory["launched"] },
): boolean {
  return restart === "never" && launched?.specHash === specHash && turn <= launched.turn;
}
