import { expect, test } from "vitest";
import type { SessionPower } from "../../../contract/session-spec.ts";
import type { SessionMemory } from "../../registry/session-file.ts";
import { decideWish, endedUnseen, endOf } from "./session-wish.ts";

const HASH = "h1";
const ENDED = { atMs: 0, reason: "exit 0", specHash: HASH, turn: 3 };
const asleep = (because: "asked" | "idle", turn: number) => ({ sleep: { because, turn, sinceMs: 0 } });
const running = (turn: number): SessionPower => ({ state: "running", turn });
const hibernated = (turn: number): SessionPower => ({ state: "hibernated", turn });

interface Case {
  readonly what: string;
  readonly power?: SessionPower;
  readonly memory?: Pick<SessionMemory, "sleep" | "ended">;
  readonly hash?: string;
  readonly state: string;
}

const CASES: readonly Case[] = [
  { what: "nobody has wished anything: it is awake", state: "awake" },
  { what: "it is to hibernate", power: hibernated(1), state: "asleep" },
  {
    what: "the same wish again wakes none that fell asleep by itself",
    power: running(2),
    memory: asleep("idle", 2),
    state: "asleep",
  },
  { what: "nor does one of before", power: running(1), memory: asleep("idle", 2), state: "asleep" },
  { what: "a later one does", power: running(3), memory: asleep("idle", 2), state: "awake" },
  { what: "no wish at all is the first", memory: asleep("idle", 0), state: "asleep" },
  {
    what: "who slept as asked wakes as asked, whatever the turn",
    power: running(2),
    memory: asleep("asked", 2),
    state: "awake",
  },
  { what: "what has ended stays so", power: running(3), memory: { ended: ENDED }, state: "ended" },
  { what: "also when it is to hibernate", power: hibernated(3), memory: { ended: ENDED }, state: "ended" },
  { what: "a later turn begins it again", power: running(4), memory: { ended: ENDED }, state: "awake" },
  { what: "so does another spec", power: running(3), memory: { ended: ENDED }, hash: "h2", state: "awake" },
];

test.for(CASES)("$what", ({ power, memory = {}, hash = HASH, state }) => {
  expect(decideWish(power, hash, memory).state).toBe(state);
});

test("who sleeps by itself and is then asked to sleeps as asked", () => {
  expect(decideWish(hibernated(5), HASH, asleep("idle", 4))).toEqual({ state: "asleep", turn: 5, because: "asked" });
});

test("its time counts from its first start", () => {
  expect(endOf(1000, 500)).toBe(1500);
  expect(endOf(undefined, 500)).toBeUndefined();
  expect(endOf(1000, undefined)).toBeUndefined();
});

test("of an end that nobody saw, what may run once has run, and what is to succeed is tried again", () => {
  const launched = { specHash: HASH, turn: 2 };
  expect(endedUnseen("never", HASH, { turn: 2, launched })).toBe(true);
  expect(endedUnseen("never", HASH, { turn: 3, launched })).toBe(false);
  expect(endedUnseen("never", "h2", { turn: 2, launched })).toBe(false);
  expect(endedUnseen("never", HASH, { turn: 2, launched: undefined })).toBe(false);
  expect(endedUnseen("on-failure", HASH, { turn: 2, launched })).toBe(false);
  expect(endedUnseen(undefined, HASH, { turn: 2, launched })).toBe(false);
});
