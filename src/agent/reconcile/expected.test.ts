import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Workload } from "../../contract/workload.ts";
import {
  type ApplyContext,
  applyEvent,
  EMPTY_EXPECTED,
  type ExpectationEvent,
  type ExpectedState,
  releaseHeld,
} from "./expected.ts";

const stream = (id: string, url = `rtsp://camera/${id}`): Workload => ({
  kind: "stream",
  id,
  spec: { input: { url }, outputs: [{ url: `rtmp://host/live/${id}` }] },
});
const snapshot = (revision: number, ids: readonly string[], extra: object = {}): ExpectationEvent => ({
  kind: "snapshot",
  epoch: "e1",
  revision,
  workloads: ids.map((id) => stream(id)),
  rejected: [],
  confirm: false,
  ...extra,
});
const change = (revision: number, put: readonly string[], remove: readonly string[]): ExpectationEvent => ({
  kind: "change",
  epoch: undefined,
  revision,
  put: put.map((id) => stream(id)),
  remove,
  rejected: [],
});
const context = (running: readonly string[] = [], nowMs = 0): ApplyContext => ({
  nowMs,
  running: new Set(running),
  shrinkHoldMs: 60_000,
});
const ids = (state: ExpectedState) => [...state.workloads.keys()].sort();
const played = (...events: ExpectationEvent[]) =>
  events.reduce((state, event) => applyEvent(state, event, context()).state, EMPTY_EXPECTED);

describe("applyEvent", () => {
  test("a mask for a tunnel's shared key stands for the key that is held under its identity", () => {
    const end = (keys: Record<string, string>): Workload => ({
      kind: "tunnel",
      id: "t-1.consumer",
      spec: {
        uid: "t-1",
        role: "consumer",
        legs: [{ listen: { address: "127.0.0.1", port: 5100 }, connect: { host: "192.0.2.1", port: 20_000 } }],
        security: { kind: "psk", keys: Object.entries(keys).map(([identity, secret]) => ({ identity, secret })) },
      },
    });
    const [first, second] = ["a1".repeat(32), "b2".repeat(32)];
    const told = (keys: Record<string, string>) => snapshot(4, [], { workloads: [end(keys)] });
    const held = played(told({ "t-1.1": first }));
    const again = applyEvent(held, told({ "t-1.1": "***" }), context()).state;
    expect(again.workloads.get("t-1.consumer")).toBe(held.workloads.get("t-1.consumer"));
    const put = { ...change(5, [], []), put: [end({ "t-1.1": "***", "t-1.2": second })] } as ExpectationEvent;
    const rotated = applyEvent(again, put, context()).state;
    expect(rotated.workloads.get("t-1.consumer")).toEqual(end({ "t-1.1": first, "t-1.2": second }));
    expect(played(told({ "t-1.1": "***" })).workloads.get("t-1.consumer")).toEqual(end({ "t-1.1": "***" }));
  });

  test("a snapshot replaces the set, a change edits it", () => {
    const state = played(snapshot(4, ["a", "b"]), change(5, ["c"], ["a"]));
    expect(ids(state)).toEqual(["b", "c"]);
    expect(state).toMatchObject({ epoch: "e1", revision: 5 });
  });

  test("a change that does not follow the held revision asks for a snapshot and changes nothing", () => {
    const held = played(snapshot(4, ["a"]));
    const applied = applyEvent(held, change(6, ["b"], []), context());
    expect(applied.needsSnapshot).toBe("change 6 does not follow revision 4");
    expect(applied.state).toBe(held);
  });

  test("a change before any snapshot or of another epoch asks for a snapshot", () => {
    expect(applyEvent(EMPTY_EXPECTED, change(1, ["a"], []), context()).needsSnapshot).toMatch(/before any snapshot/);
    const other = { ...change(5, ["b"], []), epoch: "e2" } as ExpectationEvent;
    expect(applyEvent(played(snapshot(4, ["a"])), other, context()).needsSnapshot).toMatch(/another epoch/);
  });

  test("an old snapshot of the same epoch changes nothing, one of a new epoch replaces all", () => {
    const held = played(snapshot(4, ["a"]));
    expect(applyEvent(held, snapshot(3, ["z"]), context()).state).toBe(held);
    expect(ids(applyEvent(held, snapshot(1, ["z"], { epoch: "e2" }), context()).state)).toEqual(["z"]);
  });

  test("a workload that could not be read keeps the one held under its id", () => {
    const held = played(snapshot(4, ["a", "b"]));
    const event = snapshot(5, ["b"], {
      rejected: [
        { id: "a", reason: "bad" },
        { id: undefined, reason: "bad" },
      ],
    });
    expect(ids(applyEvent(held, event, context()).state)).toEqual(["a", "b"]);
  });

  test("the simple form starts and stops one stream without touching the revision", () => {
    const state = played(
      snapshot(4, ["a"]),
      { kind: "start", workload: stream("b") },
      { kind: "stop", workloadId: "a" },
    );
    expect(ids(state)).toEqual(["b"]);
    expect(state.revision).toBe(4);
  });
});

describe("the shrink guard", () => {
  const running = ["a", "b", "c", "d"];
  const held = played(snapshot(1, running));

  test("holds a snapshot that would stop more than half and more than two", () => {
    const { state } = applyEvent(held, snapshot(2, ["x"]), context(running, 1000));
    expect(ids(state)).toEqual(["a", "b", "c", "d", "x"]);
    expect(state.held).toEqual({
      ids: running,
      dueAtMs: 61_000,
      reason: "a snapshot would stop 4 of 4 running workloads",
    });
  });

  test("lets two go, and half of four, and what does not run", () => {
    expect(ids(applyEvent(held, snapshot(2, ["a", "b"]), context(running)).state)).toEqual(["a", "b"]);
    expect(ids(applyEvent(played(snapshot(1, ["a", "b"])), snapshot(2, []), context(["a", "b"])).state)).toEqual([]);
    expect(ids(applyEvent(held, snapshot(2, []), context([])).state)).toEqual([]);
  });

  test("applies at once when the snapshot confirms it", () => {
    expect(ids(applyEvent(held, snapshot(2, [], { confirm: true }), context(running)).state)).toEqual([]);
  });

  test("applies when the hold ends, not before", () => {
    const { state } = applyEvent(held, snapshot(2, ["x"]), context(running, 0));
    expect(releaseHeld(state, 59_999)).toBe(state);
    expect(ids(releaseHeld(state, 60_000))).toEqual(["x"]);
    expect(releaseHeld(state, 60_000).held).toBeUndefined();
  });

  test("keeps its time when the same snapshot comes again, starts anew when another comes, ends when they return", () => {
    const first = applyEvent(held, snapshot(2, ["x"]), context(running, 0)).state;
    expect(applyEvent(first, snapshot(3, ["x"]), context(running, 30_000)).state.held?.dueAtMs).toBe(60_000);
    expect(applyEvent(first, snapshot(3, ["a"]), context(running, 30_000)).state.held).toMatchObject({
      ids: ["b", "c", "d", "x"],
      dueAtMs: 90_000,
    });
    expect(applyEvent(first, snapshot(3, running), context(running, 30_000)).state.held).toBeUndefined();
  });

  test("never holds what a change says", () => {
    const first = applyEvent(held, snapshot(2, ["x"]), context(running)).state;
    const { state } = applyEvent(first, change(3, [], ["a", "b", "c"]), context(running));
    expect(ids(state)).toEqual(["d", "x"]);
    expect(state.held?.ids).toEqual(["d"]);
  });
});

describe("any order of events", () => {
  const id = fc.constantFrom("a", "b", "c", "d", "e");
  const log = fc
    .array(fc.record({ put: fc.uniqueArray(id, { maxLength: 3 }), remove: fc.uniqueArray(id, { maxLength: 2 }) }), {
      minLength: 1,
      maxLength: 8,
    })
    .map((edits) => edits.map(({ put, remove }, index) => change(index + 2, put, remove)));

  test("permuted, duplicated and replayed, ends in the set that the server means", () => {
    fc.assert(
      fc.property(log, fc.infiniteStream(fc.nat()), (changes, chance) => {
        const first = snapshot(1, ["a"]);
        const truth = played(first, ...changes);
        const final = snapshot(changes.length + 1, ids(truth));
        const order = [first, ...changes, ...changes, first, ...changes.slice(0, 3)]
          .map((event) => ({ event, order: chance.next().value ?? 0 }))
          .sort((left, right) => left.order - right.order)
          .map(({ event }) => event);
        let state = EMPTY_EXPECTED;
        let isAsking = false;
        for (const event of order) {
          const applied = applyEvent(state, event, context());
          state = applied.state;
          isAsking ||= applied.needsSnapshot !== undefined;
          // The server may answer at any time after it was asked; here: when the next event is about to come.
          if (isAsking && (chance.next().value ?? 0) % 2 === 0) {
            state = applyEvent(state, final, context()).state;
            isAsking = false;
          }
        }
        if (isAsking) state = applyEvent(state, final, context()).state;
        expect(ids(state)).toEqual(ids(truth));
        expect(state.revision).toBe(changes.length + 1);
      }),
      { numRuns: 500 },
    );
  });

  test("starts and stops of different streams commute, and repeats change nothing", () => {
    const step = fc.record({ id, isStart: fc.boolean() });
    fc.assert(
      fc.property(fc.uniqueArray(step, { selector: (entry) => entry.id }), fc.nat(), (steps, rotation) => {
        const events = steps.map(
          (entry): ExpectationEvent =>
            entry.isStart ? { kind: "start", workload: stream(entry.id) } : { kind: "stop", workloadId: entry.id },
        );
        const pivot = events.length === 0 ? 0 : rotation % events.length;
        const permuted = [...events.slice(pivot), ...events.slice(0, pivot)];
        expect(ids(played(...permuted, ...events, ...permuted))).toEqual(ids(played(...events)));
      }),
    );
  });
});
