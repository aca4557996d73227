import { expect, test } from "vitest";
import { seededRandom } from "../../base/random.ts";
import { nextAlertStep } from "../alerts/alert-phase.ts";
import {
  CONNECTION_LIMITS,
  type ConnectionState,
  type ContactFacts,
  firstConnection,
  nextConnection,
} from "./connection-state.ts";

const limits = CONNECTION_LIMITS;
const NEVER: ConnectionState = { name: "never", sinceMs: 0, goodSinceMs: undefined, falls: 0 };

/** Walks second by second; `facts` says what is known at each. */
function walk(
  seconds: number,
  facts: (second: number) => ContactFacts,
  from: ConnectionState = NEVER,
): { readonly names: readonly string[]; readonly state: ConnectionState } {
  let state = from;
  const names: string[] = [state.name];
  for (let second = 0; second < seconds; second++) {
    state = nextConnection(state, facts(second), { nowMs: second * 1000, limits });
    if (names.at(-1) !== state.name) names.push(state.name);
  }
  return { names, state };
}

test("a box is online with its first contact, and never before it", () => {
  expect(walk(100, () => ({ heardMs: undefined, isLinked: false, linkChangedMs: 0 })).names).toEqual(["never"]);
  expect(walk(1, () => ({ heardMs: 0, isLinked: true, linkChangedMs: 0 })).names).toEqual(["never", "online"]);
});

test("a box that dies is degraded within 25 s of its connection's end and offline after 60 s of silence", () => {
  const dies = (second: number): ContactFacts => ({
    heardMs: 0,
    isLinked: second < 2,
    linkChangedMs: second < 2 ? 0 : 2000,
  });
  expect(walk(24, dies).names.at(-1)).toBe("degraded");
  expect(walk(62, dies).names).toEqual(["never", "online", "degraded", "offline"]);
});

/** An hour of a box that reports every 15 s and loses 40 % of that: how often it fell, and how often an alert fired. */
function lossyHour(seed: number): { readonly falls: number; readonly alerts: number } {
  const random = seededRandom(seed);
  let heardMs = 0;
  let state = NEVER;
  let alert: Parameters<typeof nextAlertStep>[0];
  let falls = 0;
  let alerts = 0;
  for (let second = 0; second < 3600; second++) {
    const nowMs = second * 1000;
    if (second % 15 === 0 && random() >= 0.4) heardMs = nowMs;
    const next = nextConnection(state, { heardMs, isLinked: true, linkChangedMs: 0 }, { nowMs, limits });
    if (state.name === "online" && next.name !== "online") falls++;
    state = next;
    const condition = state.name === "offline" ? { text: "b is offline", heldMs: 0 } : undefined;
    const step = nextAlertStep(alert, condition, { nowMs, forMs: 60_000, clearMs: 60_000 });
    if (step.kind === "drop") alert = undefined;
    if (step.kind !== "move") continue;
    alert = step.phase === "quiet" ? undefined : { phase: step.phase, sinceMs: nowMs, text: step.text };
    if (step.tell === "fired") alerts++;
  }
  return { falls, alerts };
}

test("A24: a box that loses 40 % of its reports falls about once in ten minutes, and an alert fires once in an hour at the most", () => {
  const hours = Array.from({ length: 100 }, (_one, seed) => lossyHour(seed));
  const falls = hours.map((hour) => hour.falls);
  expect(falls.reduce((sum, count) => sum + count, 0) / falls.length).toBeLessThan(7);
  expect(Math.max(...falls)).toBeLessThanOrEqual(11);
  expect(Math.max(...hours.map(({ alerts }) => alerts))).toBeLessThanOrEqual(1);
});

test("each fall in short order makes the way back longer, and ten good minutes make it short again", () => {
  const silentFor = (seconds: number, from: ConnectionState, heardMs: number) =>
    nextConnection(from, { heardMs, isLinked: true, linkChangedMs: 0 }, { nowMs: heardMs + seconds * 1000, limits });
  const secondsBack = (from: ConnectionState, startMs: number) => {
    for (let second = 0; ; second++) {
      const nowMs = startMs + second * 1000;
      from = nextConnection(from, { heardMs: nowMs, isLinked: true, linkChangedMs: 0 }, { nowMs, limits });
      if (from.name === "online") return { second, state: from, nowMs };
    }
  };
  let at = secondsBack(NEVER, 0);
  const ways: number[] = [];
  for (let fall = 0; fall < 7; fall++) {
    const fallen = silentFor(45, at.state, at.nowMs);
    expect(fallen.name).toBe("degraded");
    at = secondsBack(fallen, at.nowMs + 46_000);
    ways.push(at.second);
  }
  expect(ways).toEqual([15, 30, 60, 120, 240, 300, 300]);
  const fallen = silentFor(45, at.state, at.nowMs + 600_000);
  expect(secondsBack(fallen, at.nowMs + 700_000).second).toBe(15);
});

test("a connection that comes back every few seconds keeps a box online", () => {
  const flaps = (second: number): ContactFacts => ({
    heardMs: second * 1000,
    isLinked: second % 10 < 7,
    linkChangedMs: Math.floor(second / 10) * 10_000 + (second % 10 < 7 ? 0 : 7000),
  });
  expect(walk(600, flaps).names).toEqual(["never", "online"]);
});

test("a box that is heard and has no event stream is degraded", () => {
  expect(walk(60, (second) => ({ heardMs: second * 1000, isLinked: false, linkChangedMs: 0 })).names).toEqual([
    "never",
    "degraded",
  ]);
});

test("what was degraded is online again only after a while of good contact", () => {
  const degraded: ConnectionState = { name: "degraded", sinceMs: 0, goodSinceMs: undefined, falls: 0 };
  const good = (second: number): ContactFacts => ({ heardMs: second * 1000, isLinked: true, linkChangedMs: 0 });
  expect(walk(14, good, degraded).state.name).toBe("degraded");
  expect(walk(17, good, degraded).state.name).toBe("online");
});

test("a hub that was away for an hour calls only those offline who were silent before it went", () => {
  const newestMs = 10_000_000;
  const at = (lastContactMs: number) =>
    firstConnection({ lastContactMs, newestMs }, { nowMs: 5000, limits }).state.name;
  expect(at(newestMs)).toBe("degraded");
  expect(at(newestMs - 50_000)).toBe("degraded");
  expect(at(newestMs - 61_000)).toBe("offline");
});
