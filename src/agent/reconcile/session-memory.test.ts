import fc from "fast-check";
import { expect, test } from "vitest";
import type { SessionWorkload, Workload } from "../../contract/workload.ts";
import { applyEvent, EMPTY_EXPECTED, type ExpectationEvent, type ExpectedState, endUnclaimed } from "./expected.ts";
import { awaitsLaterWord, STOPPED_KEPT } from "./session-memory.ts";

const session = (id: string, turn?: number, env: Readonly<Record<string, string>> = {}): SessionWorkload => ({
  kind: "session",
  id,
  ...(turn === undefined ? {} : { power: { state: "running", turn } }),
  spec: { user: "anna", template: { image: "nginx:1", env } },
});
const stream = (id: string): Workload => ({
  kind: "stream",
  id,
  spec: { input: { url: "test://bars" }, outputs: [{ url: `rtmp://host/live/${id}` }] },
});
const snapshot = (
  epoch: string,
  revision: number,
  workloads: readonly Workload[],
  confirm = false,
): ExpectationEvent => ({
  kind: "snapshot",
  epoch,
  revision,
  workloads,
  rejected: [],
  confirm,
});
const change = (revision: number, put: readonly Workload[], remove: readonly string[]): ExpectationEvent => ({
  kind: "change",
  epoch: undefined,
  revision,
  put,
  remove,
  rejected: [],
});
const play = (from: ExpectedState, ...events: readonly ExpectationEvent[]) =>
  events.reduce(
    (state, event) => applyEvent(state, event, { nowMs: 0, running: new Set(), shrinkHoldMs: 60_000 }).state,
    from,
  );
const played = (...events: readonly ExpectationEvent[]) => play(EMPTY_EXPECTED, ...events);
const ids = (state: ExpectedState) => [...state.workloads.keys()].sort();
const unclaimed = (state: ExpectedState) => [...state.sessions.unclaimed];
const withheld = (state: ExpectedState) => [...state.sessions.withheld];

const forgotten = played(snapshot("e1", 9, [session("web"), stream("cam")]), snapshot("e2", 3, []));

test("a session that a new memory of the hub's does not name is kept, a stream is not", () => {
  expect(ids(forgotten)).toEqual(["web"]);
  expect(unclaimed(forgotten)).toEqual(["web"]);
});

test("within one memory what is not named is gone", () => {
  const state = played(snapshot("e1", 9, [session("web")]), snapshot("e1", 10, []));
  expect(ids(state)).toEqual([]);
  expect(unclaimed(state)).toEqual([]);
});

test("what the hub does not know stays, whatever else it says, until it is named, removed or confirmed to be unwanted", () => {
  const later = play(forgotten, change(4, [stream("cam-2")], []), snapshot("e2", 5, []), snapshot("e3", 1, []));
  expect(unclaimed(later)).toEqual(["web"]);
  expect(unclaimed(play(forgotten, snapshot("e2", 4, [session("web")])))).toEqual([]);
  expect(ids(play(forgotten, change(4, [session("web")], [])))).toEqual(["web"]);
  expect(unclaimed(play(forgotten, change(4, [session("web")], [])))).toEqual([]);
  expect(ids(play(forgotten, change(4, [], ["web"])))).toEqual([]);
  expect(ids(play(forgotten, snapshot("e2", 4, [], true)))).toEqual([]);
  expect(ids(endUnclaimed(forgotten, "web"))).toEqual([]);
  expect(endUnclaimed(played(snapshot("e1", 1, [session("web")])), "web").workloads.size).toBe(1);
});

test("a session that ended since the hub's memory is named, and not started until there is a later word", () => {
  const stopped = played(snapshot("e1", 8, [session("web", 4)]), change(9, [], ["web"]));
  const restored = play(stopped, snapshot("e2", 8, [session("web", 4)]));
  expect(withheld(restored)).toEqual(["web"]);
  expect(awaitsLaterWord(restored.sessions, "web")?.text).toContain("it was stopped here");
  expect(awaitsLaterWord(restored.sessions, "other")).toBeUndefined();
  expect(withheld(play(restored, snapshot("e2", 8, [session("web", 4)])))).toEqual(["web"]);
  expect(withheld(play(restored, snapshot("e3", 1, [session("web", 4)])))).toEqual(["web"]);
  expect(withheld(play(restored, change(9, [stream("cam")], [])))).toEqual(["web"]);

  expect(withheld(play(restored, change(9, [session("web", 4)], [])))).toEqual([]);
  expect(withheld(play(restored, snapshot("e2", 9, [session("web", 5)])))).toEqual([]);
  expect(withheld(play(restored, snapshot("e2", 9, [session("web", 4)], true)))).toEqual([]);
  expect(withheld(play(stopped, snapshot("e2", 8, [session("web", 5)])))).toEqual([]);
  expect(ids(play(restored, change(9, [], ["web"])))).toEqual([]);
});

test("a stop within the same memory holds nothing back", () => {
  const again = played(
    snapshot("e1", 1, [session("web", 4)]),
    change(2, [], ["web"]),
    change(3, [session("web", 4)], []),
  );
  expect(withheld(again)).toEqual([]);
  expect(withheld(play(again, snapshot("e2", 1, [session("web", 1)])))).toEqual([]);
});

test("memory of what ended is bounded, the latest kept", () => {
  const many = Array.from({ length: STOPPED_KEPT + 5 }, (_, index) => session(`s-${index}`));
  const { stopped } = played(snapshot("e1", 1, many), snapshot("e1", 2, [], true)).sessions;
  expect(stopped.size).toBe(STOPPED_KEPT);
  expect(stopped.has("s-0")).toBe(false);
  expect(stopped.has(`s-${STOPPED_KEPT + 4}`)).toBe(true);
});

test("a hub that learnt of a session from the box sends masks back, and the box knows what they mean", () => {
  const held = session("web", 1, { DB_PASSWORD: "hunter-22" });
  const masked = session("web", 1, { DB_PASSWORD: "***" });
  const kept = played(snapshot("e1", 1, [held]), snapshot("e2", 1, []));
  expect(play(kept, change(2, [masked], [])).workloads.get("web")).toEqual(held);
  expect(play(kept, change(2, [masked], []), snapshot("e2", 3, [masked])).workloads.get("web")).toEqual(held);
  const other = session("web", 1, { DB_PASSWORD: "***", GREETING: "hi" });
  expect(play(kept, change(2, [other], [])).workloads.get("web")).toMatchObject({
    spec: { template: { env: { DB_PASSWORD: "hunter-22", GREETING: "hi" } } },
  });
});

test("whatever hubs come and go, nothing is unclaimed or withheld that is not in the set, and no session is both", () => {
  const named = fc.uniqueArray(fc.constantFrom("a", "b", "c"));
  const event = fc.oneof(
    fc.record({ epoch: fc.constantFrom("e1", "e2", "e3"), named }).map(({ epoch, named: list }) => ({ epoch, list })),
    fc.record({ put: named, remove: named }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 12 }), (events) => {
      let revision = 0;
      let state = EMPTY_EXPECTED;
      for (const one of events) {
        revision++;
        const before = state;
        const next =
          "epoch" in one
            ? snapshot(
                one.epoch,
                revision,
                one.list.map((id) => session(id)),
              )
            : change(
                (state.revision ?? 0) + 1,
                one.put.map((id) => session(id)),
                one.remove,
              );
        state = play(state, next);
        for (const id of [...unclaimed(state), ...withheld(state)]) expect(state.workloads.has(id)).toBe(true);
        expect(unclaimed(state).filter((id) => state.sessions.withheld.has(id))).toEqual([]);
        for (const id of state.sessions.stopped.keys()) {
          expect(!state.workloads.has(id) || state.sessions.withheld.has(id)).toBe(true);
        }
        // Nothing that was there is lost by a hub's new memory.
        if ("epoch" in one && before.epoch !== undefined && one.epoch !== before.epoch) {
          for (const id of before.workloads.keys()) expect(state.workloads.has(id)).toBe(true);
        }
      }
    }),
  );
});
