import { expect, test } from "vitest";
import type { Workload } from "../../src/contract/workload.ts";
import { createExpectedSet, type SetStep } from "./expected-set.ts";

const stream = (id: string): Workload => ({
  kind: "stream",
  id,
  spec: { input: { url: "test://bars" }, outputs: [{ url: `rtmp://127.0.0.1/live/${id}` }] },
});

function createSet(keepChanges = 10) {
  let epoch = 0;
  const steps: SetStep[] = [];
  const set = createExpectedSet({ keepChanges }, { newEpoch: () => `e${++epoch}` });
  set.onStep((step) => steps.push(step));
  return { set, steps };
}

test("each put and each removal is one revision, and what was not there is no change", () => {
  const { set, steps } = createSet();
  set.put([stream("a"), stream("b")]);
  expect(set.remove(["a", "a", "ghost"])).toEqual(["a"]);
  expect(set.remove(["ghost"])).toEqual([]);
  expect(steps).toEqual([
    { kind: "change", revision: 1, put: [stream("a"), stream("b")], remove: [] },
    { kind: "change", revision: 2, put: [], remove: ["a"] },
  ]);
  expect(set.snapshot()).toEqual({ epoch: "e1", revision: 2, workloads: [stream("b")] });
});

test("a known cursor gets exactly the changes after it", () => {
  const { set } = createSet();
  set.put([stream("a")]);
  set.put([stream("b")]);
  set.put([stream("c")]);
  expect(set.catchUp("e1.3")).toEqual({ kind: "replay", changes: [] });
  expect(set.catchUp("e1.1")).toMatchObject({ kind: "replay", changes: [{ revision: 2 }, { revision: 3 }] });
  expect(set.catchUp("e1.0")).toMatchObject({ changes: [{ revision: 1 }, { revision: 2 }, { revision: 3 }] });
});

test.each([
  [undefined, "no-cursor"],
  ["", "no-cursor"],
  ["nonsense", "unknown-cursor"],
  ["e1.99", "unknown-cursor"],
  ["e1.-1", "unknown-cursor"],
  ["e9.1", "other-epoch"],
])("the cursor %j gets a snapshot: %s", (cursor, reason) => {
  const { set } = createSet();
  set.put([stream("a")]);
  expect(set.catchUp(cursor)).toEqual({ kind: "snapshot", reason });
});

test("a cursor older than the kept changes gets a snapshot", () => {
  const { set } = createSet(2);
  for (const id of ["a", "b", "c"]) set.put([stream(id)]);
  expect(set.catchUp("e1.0")).toEqual({ kind: "snapshot", reason: "too-old" });
  expect(set.catchUp("e1.1").kind).toBe("replay");
});

test("a replaced set is a new revision that no older cursor can be replayed to", () => {
  const { set, steps } = createSet();
  set.put([stream("a")]);
  set.replace([stream("b")], true);
  expect(set.snapshot()).toMatchObject({ revision: 2, workloads: [{ id: "b" }] });
  expect(set.catchUp("e1.1")).toEqual({ kind: "snapshot", reason: "too-old" });
  expect(set.catchUp("e1.2")).toEqual({ kind: "replay", changes: [] });
  expect(steps.at(-1)).toEqual({ kind: "snapshot", confirm: true });
});

test("a lost state is another epoch with an empty set", () => {
  const { set } = createSet();
  set.put([stream("a")]);
  set.loseState();
  expect(set.snapshot()).toEqual({ epoch: "e2", revision: 0, workloads: [] });
  expect(set.catchUp("e1.1")).toEqual({ kind: "snapshot", reason: "other-epoch" });
});
