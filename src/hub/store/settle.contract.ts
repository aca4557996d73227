import { describe, expect, test } from "vitest";
import type { Box } from "./box.ts";
import type { ExpectedEntry, ExpectedSet } from "./expected-set.ts";
import type { SetNews } from "./set-news.ts";
import { SETTLED_AT_ONCE } from "./settle-boxes.ts";
import { enrol, NOW, stream } from "./store.fake.ts";
import type { Hint, Store } from "./store.ts";

const OWNER = "rollout/doors";

/** As a rollout does: one entry, with the words that go with it. */
function place(entry: (box: Box, set: ExpectedSet) => ExpectedEntry) {
  return (box: Box, set: ExpectedSet) => ({
    writes: [
      {
        owner: OWNER,
        entries: [entry(box, set)],
        audit: { actor: "hub", action: "rollout.place", subject: `box/${box.id}`, outcome: "done" } as const,
        event: { kind: "expected.changed", boxId: box.id, text: "placed" },
      },
    ],
  });
}

/** The sets of many boxes in one step, whatever the store is made of. */
export function describeSettling(begin: () => Promise<{ readonly store: Store; readonly other: Store }>): void {
  describe("the sets of many boxes in one step", () => {
    test("each box gets revision, log, event, audit entry and hint of its own, planned from its own record and set", async () => {
      const { store, other } = await begin();
      const ids = ["b1", "b2", "b3"];
      for (const id of ids) await enrol(store, id, { camera: `of-${id}` });
      await store.expected.change("b2", { put: [stream("mine")] }, { nowMs: NOW });
      const { cursor } = await store.events.after(undefined, 1);
      const hints: Hint[] = [];
      other.onHint((hint) => hints.push(hint));
      await other.ping();
      const plan = place(({ labels }) => stream("door", `rtsp://${labels["camera"]}/1`));
      const settled = await store.expected.settle(ids, plan, NOW + 5);
      expect(settled).toMatchObject([
        { boxId: "b1", answer: { revision: 1, changed: true } },
        { boxId: "b2", answer: { revision: 2, changed: true } },
        { boxId: "b3", answer: { revision: 1, changed: true } },
      ]);
      for (const [index, id] of ids.entries()) {
        const set = await other.expected.get(id);
        const answer = settled[index];
        expect(answer !== undefined && "answer" in answer && answer.answer.epoch).toBe(set.epoch);
        expect(set.entries[0]).toMatchObject({
          owner: OWNER,
          workload: { spec: { input: { url: `rtsp://of-${id}/1` } } },
        });
        const after = await other.expected.after(id, `${set.epoch}.${set.revision - 1}`, 10);
        expect(after).toMatchObject({ changes: [{ atMs: NOW + 5, put: [{ workload: { id: "door" } }], remove: [] }] });
        await expect.poll(() => hints).toContainEqual(expect.objectContaining({ kind: "expected", boxId: id }));
      }
      const { items } = await other.audit.list({ action: "rollout" }, { limit: 10 });
      expect(items.map(({ subject }) => subject)).toEqual(["box/b3", "box/b2", "box/b1"]);
      const told = await other.events.after(cursor, 10);
      expect(told.kind === "events" && told.events.map(({ boxId }) => boxId)).toEqual(ids);
    });

    test("news that come with a hint are what the log holds, with the box of that step, each once and in order", async () => {
      const { store } = await begin();
      const ids = ["b1", "b2"];
      for (const id of ids) await enrol(store, id);
      const told: (SetNews | undefined)[] = [];
      store.onHint((hint) => hint.kind === "expected" && told.push(hint.news));
      await store.ping();
      const doors = place(() => stream("door"));
      const cameras = ids.map((id) => store.expected.change(id, { put: [stream("mine")] }, { nowMs: NOW }));
      await Promise.all([store.expected.settle(ids, doors, NOW + 5), ...cameras]);
      await expect.poll(() => told.length).toBeGreaterThanOrEqual(4);
      for (const id of ids) {
        const { epoch, revision } = await store.expected.get(id);
        const after = await store.expected.after(id, `${epoch}.0`, 10);
        const news = told.filter((one) => one?.box.id === id);
        // A store of several hubs tells none: then there is the log.
        if (news.length === 0) continue;
        expect(after).toMatchObject({ kind: "changes", changes: news.map((one) => one?.change) });
        expect(news).toHaveLength(revision);
        expect(news.map((one) => one?.epoch)).toEqual(news.map(() => epoch));
        expect(news.at(-1)).toMatchObject({ box: await store.boxes.get(id), change: { revision } });
      }
    });

    test("what does not differ is not written, and a box that is not there or belongs to another holds up nobody", async () => {
      const { store } = await begin();
      for (const id of ["b1", "b2", "b3"]) await enrol(store, id);
      const plan = place(() => stream("door"));
      await store.expected.settle(["b1"], plan, NOW);
      await store.expected.change("b2", { put: [stream("door")] }, { nowMs: NOW });
      const settled = await store.expected.settle(["b1", "b2", "nobody", "b3"], plan, NOW);
      expect(settled).toMatchObject([
        { boxId: "b1", answer: { revision: 1, changed: false } },
        { boxId: "b2", error: { code: "conflict" } },
        { boxId: "nobody", error: { code: "not-found" } },
        { boxId: "b3", answer: { revision: 1, changed: true } },
      ]);
      expect((await store.expected.get("b2")).entries[0]?.owner).toBeUndefined();
      expect((await store.audit.list({}, { limit: 10 })).items).toHaveLength(2);
    });

    test("several writes of one box follow one another, each with a revision", async () => {
      const { store } = await begin();
      await enrol(store, "b");
      await store.expected.replace("b", { owner: "rollout/old", entries: [stream("door")] }, { nowMs: NOW });
      const writes = [
        { owner: "rollout/old", entries: [] },
        { owner: "rollout/new", entries: [stream("door")] },
        { owner: "rollout/new", entries: [stream("door")] },
      ];
      const [settled] = await store.expected.settle(["b"], () => ({ writes }), NOW);
      expect(settled).toMatchObject({ answer: { revision: 3, changed: true } });
      const { epoch, entries } = await store.expected.get("b");
      expect(entries.map(({ owner }) => owner)).toEqual(["rollout/new"]);
      expect(await store.expected.after("b", `${epoch}.1`, 10)).toMatchObject({
        changes: [
          { revision: 2, put: [], remove: ["door"] },
          { revision: 3, put: [{ owner: "rollout/new" }], remove: [] },
        ],
      });
      const untouched = await store.expected.settle(["b"], () => ({ writes: [] }), NOW);
      expect(untouched).toMatchObject([{ answer: { revision: 3, changed: false } }]);
    });

    test("steps and single changes at the same time through all hubs lose nothing, and each has its own revision", async () => {
      const { store, other } = await begin();
      const ids = Array.from({ length: 12 }, (_, n) => `b${n}`);
      for (const id of ids) await enrol(store, id);
      const plan =
        (owner: string) =>
        (_box: Box, { entries }: ExpectedSet) => {
          const mine = entries.filter((entry) => entry.owner === owner);
          return { writes: [{ owner, entries: [...mine, stream(`${owner}-${mine.length}`)] }] };
        };
      const settles = Array.from({ length: 4 }, (_, n) =>
        (n % 2 ? store : other).expected.settle(ids, plan(n % 2 ? "x" : "y"), NOW),
      );
      const changes = ids.map((id) => other.expected.change(id, { put: [stream("mine")] }, { nowMs: NOW }));
      await Promise.all([...settles, ...changes]);
      for (const id of ids) {
        const { epoch, revision, entries } = await store.expected.get(id);
        expect(entries.map(({ workload }) => workload.id)).toEqual(["mine", "x-0", "x-1", "y-0", "y-1"]);
        const after = await other.expected.after(id, `${epoch}.0`, 100);
        expect([revision, after.kind === "changes" && after.changes.map((change) => change.revision)]).toEqual([
          5,
          [1, 2, 3, 4, 5],
        ]);
      }
    });

    test("a whole step is one of many boxes, and more or the same box twice is refused", async () => {
      const { store, other } = await begin();
      const ids = Array.from({ length: SETTLED_AT_ONCE }, (_, n) => `b-${n}`);
      await Promise.all(ids.map((id) => enrol(store, id)));
      const settled = await store.expected.settle(
        ids,
        place(() => stream("door")),
        NOW,
      );
      expect(settled.every((one) => "answer" in one && one.answer.changed)).toBe(true);
      expect((await other.audit.list({ action: "rollout" }, { limit: 1000 })).items).toHaveLength(SETTLED_AT_ONCE);
      const none = () => ({ writes: [] });
      await expect(store.expected.settle([...ids, "one-more"], none, NOW)).rejects.toMatchObject({ code: "invalid" });
      await expect(store.expected.settle(["b-1", "b-1"], none, NOW)).rejects.toMatchObject({ code: "invalid" });
      expect(await store.expected.settle([], none, NOW)).toEqual([]);
    });
  });
}
