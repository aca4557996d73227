import { expect, test } from "vitest";
import {
  CONNECTION_LIMITS,
  type ConnectionState,
  type ContactFacts,
  firstConnection,
  nextConnection,
} from "./connection-state.ts";

const limits = CONNECTION_LIMITS;
const NEVER: ConnectionState = { name: "never", sinceMs: 0, goodSinceMs: undefined };

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

test("A24: with 40 % of the reports lost a box flickers less than once in ten minutes, and is never offline", () => {
  let seed = 7;
  const lost = () => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return seed / 2 ** 31 < 0.4;
  };
  let heardMs = 0;
  const { names } = walk(3600, (second) => {
    if (second % 15 === 0 && !lost()) heardMs = second * 1000;
    return { heardMs, isLinked: true, linkChangedMs: 0 };
  });
  expect(names.filter((name) => name === "degraded").length).toBeLessThanOrEqual(30);
  expect(names.filter((name) => name === "offline").length).toBeLessThanOrEqual(6);
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
  const degraded: ConnectionState = { name: "degraded", sinceMs: 0, goodSinceMs: undefined };
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
