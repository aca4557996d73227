import { expect, test } from "vitest";
import { memoryStore } from "../live-hub.fake.ts";
import { enrol, NOW, stream } from "../store/store.fake.ts";
import type { Hint } from "../store/store.ts";
import { createDirtyBoxes, type DirtyBoxes } from "./dirty-boxes.ts";

function clean(): DirtyBoxes {
  const dirty = createDirtyBoxes();
  dirty.take();
  return dirty;
}

/** The hint of the step to each of these revisions. */
async function stepsTo(last: number): Promise<readonly Hint[]> {
  const store = memoryStore();
  await enrol(store, "b");
  const hints: Hint[] = [];
  store.onHint((hint) => hint.kind === "expected" && hints.push(hint));
  for (let n = 1; n <= last; n++) await store.expected.change("b", { put: [stream(`s${n}`)] }, { nowMs: NOW });
  expect(hints).toHaveLength(last);
  return hints;
}

test("what was written by who looks is no reason to look again", async () => {
  const dirty = clean();
  for (const hint of await stepsTo(2)) dirty.note(hint);
  dirty.wrote("b", 2);
  expect(dirty.take()).toEqual([]);
});

test("a step after the own one, one that tells no revision, and a change of the box are looked at", async () => {
  const [first = { kind: "all" }, second = { kind: "all" }] = await stepsTo(2);
  const after = clean();
  for (const hint of [first, second]) after.note(hint);
  after.wrote("b", 1);
  expect(after.take()).toEqual(["b"]);
  for (const other of [
    { kind: "expected", boxId: "b" },
    { kind: "box", boxId: "b" },
  ] as const) {
    for (const hints of [
      [first, other],
      [other, first],
    ]) {
      const dirty = clean();
      for (const hint of hints) dirty.note(hint);
      dirty.wrote("b", 1);
      expect(dirty.take()).toEqual(["b"]);
    }
  }
});
