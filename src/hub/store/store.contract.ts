import { randomUUID } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";
import { describeCommands } from "./commands.contract.ts";
import { CHANGES_KEPT } from "./expected-write.ts";
import { createMemoryStore } from "./memory/memory-store.ts";
import type { OperatorToken } from "./operator-tokens.ts";
import { describeSettling } from "./settle.contract.ts";
import { enrol, NOW, reportOf, stream } from "./store.fake.ts";
import type { Hint, Store } from "./store.ts";
import { codeOf } from "./store-error-code.fake.ts";
import { answerOf, randomSteps } from "./store-steps.fake.ts";

/** One empty store, seen through as many hubs as it can have. */
export interface StoreWorld {
  readonly store: Store;
  /** The same store through another hub; the same `Store` where there can be only one. */
  readonly other: Store;
  close(): Promise<void>;
}

const DAY = 86_400_000;

function operatorToken(id: string): OperatorToken {
  return { id, name: id, role: "admin", hash: `hash-${id}`, createdMs: NOW };
}

/** What every store does, whatever it is made of. */
export function describeStore(name: string, open: () => Promise<StoreWorld>): void {
  describe(name, () => {
    let world: StoreWorld | undefined;
    const begin = async (): Promise<StoreWorld> => {
      world = await open();
      return world;
    };
    afterEach(async () => {
      await world?.close();
      world = undefined;
    });

    describe("boxes", () => {
      test("an enrolment token makes one box, once, and gives the same answer to the same box again", async () => {
        const { store, other } = await begin();
        const box = await enrol(store, "north-1", { site: "north" });
        expect(box).toMatchObject({ id: "north-1", revision: 1, state: "approved", labels: { site: "north" } });
        const same = {
          tokenHash: "token-of-north-1",
          boxId: "north-1",
          name: "n",
          labels: {},
          keyHash: "key-of-north-1",
        };
        expect(await other.boxes.enrol(same, { nowMs: NOW + 1 })).toEqual(box);
        expect(await codeOf(other.boxes.enrol({ ...same, keyHash: "k2" }, { nowMs: NOW + 1 }))).toBe("unauthorized");
        expect(await codeOf(other.boxes.enrol({ ...same, boxId: "b2" }, { nowMs: NOW + 1 }))).toBe("unauthorized");
        expect((await store.boxes.findByKey("key-of-north-1"))?.box.id).toBe("north-1");
        expect(await store.boxes.findByKey("k2")).toBeUndefined();
      });

      test("their ids come in pages, in the order of the list", async () => {
        const { store, other } = await begin();
        for (const id of ["c", "a", "d", "b"]) await enrol(store, id);
        const first = await other.boxes.listIds({ limit: 3 });
        expect(first.items).toEqual(["a", "b", "c"]);
        const second = await other.boxes.listIds({ after: first.next, limit: 3 });
        expect(second).toEqual({ items: ["d"], next: undefined });
        expect((await other.boxes.list({}, { limit: 10 })).items.map(({ id }) => id)).toEqual(["a", "b", "c", "d"]);
      });

      test("of many that use one enrolment token at the same time one gets a box", async () => {
        const { store, other } = await begin();
        const token = { hash: "t", id: "t", createdMs: NOW, expiresMs: NOW + DAY, labels: {}, approve: false };
        await store.enrolmentTokens.create(token, { nowMs: NOW });
        const tries = [1, 2, 3, 4, 5, 6].map((n) =>
          codeOf(
            (n % 2 === 0 ? store : other).boxes.enrol(
              { tokenHash: "t", boxId: `b${n}`, name: "", labels: {}, keyHash: `k${n}` },
              { nowMs: NOW },
            ),
          ),
        );
        const outcomes = await Promise.all(tries);
        expect(outcomes.filter((code) => code === "resolved")).toHaveLength(1);
        expect((await store.boxes.list({}, { limit: 10 })).items.map(({ state }) => state)).toEqual(["pending"]);
      });

      test("an expired, unknown, revoked or foreign enrolment token makes no box", async () => {
        const { store } = await begin();
        const token = { createdMs: NOW, expiresMs: NOW + 10, labels: {}, approve: true };
        await store.enrolmentTokens.create({ ...token, hash: "t1", id: "t1" }, { nowMs: NOW });
        await store.enrolmentTokens.create({ ...token, hash: "t2", id: "t2", boxId: "mine" }, { nowMs: NOW });
        await store.enrolmentTokens.create({ ...token, hash: "t3", id: "t3" }, { nowMs: NOW });
        expect(await codeOf(store.enrolmentTokens.create({ ...token, hash: "t4", id: "t1" }, { nowMs: NOW }))).toBe(
          "conflict",
        );
        expect(await store.enrolmentTokens.revoke("t3", { nowMs: NOW })).toBe(true);
        const as = (tokenHash: string) => ({ tokenHash, boxId: "b", name: "", labels: {}, keyHash: "k" });
        expect(await codeOf(store.boxes.enrol(as("t1"), { nowMs: NOW + 10 }))).toBe("unauthorized");
        expect(await codeOf(store.boxes.enrol(as("t2"), { nowMs: NOW }))).toBe("unauthorized");
        expect(await codeOf(store.boxes.enrol(as("t3"), { nowMs: NOW }))).toBe("unauthorized");
        expect(await codeOf(store.boxes.enrol(as("t9"), { nowMs: NOW }))).toBe("unauthorized");
        expect((await store.boxes.list({}, { limit: 10 })).items).toEqual([]);
      });

      test("a token that is bound to a known box gives it a new key; any other is a conflict", async () => {
        const { store } = await begin();
        await enrol(store, "b");
        const token = { createdMs: NOW, expiresMs: NOW + 10, labels: {}, approve: true };
        await store.enrolmentTokens.create({ ...token, hash: "free", id: "free" }, { nowMs: NOW });
        await store.enrolmentTokens.create({ ...token, hash: "bound", id: "bound", boxId: "b" }, { nowMs: NOW });
        const as = (tokenHash: string) => ({ tokenHash, boxId: "b", name: "", labels: {}, keyHash: "new" });
        expect(await codeOf(store.boxes.enrol(as("free"), { nowMs: NOW }))).toBe("conflict");
        expect((await store.boxes.enrol(as("bound"), { nowMs: NOW })).revision).toBe(2);
        expect(await store.boxes.findByKey("key-of-b")).toBeUndefined();
        expect((await store.boxes.findByKey("new"))?.slot).toBe("current");
      });

      test("a key is rotated without a moment in which none opens", async () => {
        const { store, other } = await begin();
        await enrol(store, "b");
        await store.boxes.stageKey("b", "k2", { nowMs: NOW + 1 });
        expect((await other.boxes.findByKey("key-of-b"))?.slot).toBe("current");
        expect((await other.boxes.findByKey("k2"))?.slot).toBe("next");
        await other.boxes.promoteKey("b", "wrong", { nowMs: NOW + 2 });
        expect((await store.boxes.findByKey("key-of-b"))?.slot).toBe("current");
        await other.boxes.promoteKey("b", "k2", { nowMs: NOW + 2 });
        expect(await store.boxes.findByKey("key-of-b")).toBeUndefined();
        expect((await store.boxes.findByKey("k2"))?.slot).toBe("current");
        await store.boxes.stageKey("b", "k3", { nowMs: NOW + 3 });
        await store.boxes.stageKey("b", "k4", { nowMs: NOW + 4 });
        expect(await store.boxes.findByKey("k3")).toBeUndefined();
        expect((await store.boxes.findByKey("k4"))?.slot).toBe("next");
      });

      test("a change at another revision is a conflict that carries the current one", async () => {
        const { store, other } = await begin();
        await enrol(store, "b");
        const changed = await store.boxes.update(
          "b",
          { draining: true, labels: { a: "1" } },
          { nowMs: NOW, expectedRevision: 1 },
        );
        expect(changed).toMatchObject({ revision: 2, draining: true });
        const late = other.boxes.update("b", { name: "x" }, { nowMs: NOW, expectedRevision: 1 });
        await expect(late).rejects.toMatchObject({ code: "conflict", currentRevision: 2 });
        expect((await other.boxes.update("b", { labels: { a: "1" } }, { nowMs: NOW })).revision).toBe(2);
        expect(
          (await other.boxes.update("b", { quarantine: { reason: "cloned" } }, { nowMs: NOW })).quarantine?.reason,
        ).toBe("cloned");
        expect((await other.boxes.update("b", { quarantine: null }, { nowMs: NOW })).quarantine).toBeUndefined();
        expect(await codeOf(store.boxes.update("nobody", {}, { nowMs: NOW }))).toBe("not-found");
      });

      test("of changes at one revision at the same time one is made", async () => {
        const { store, other } = await begin();
        await enrol(store, "b");
        const codes = await Promise.all(
          [1, 2, 3, 4, 5, 6, 7, 8].map((n) =>
            codeOf((n % 2 ? store : other).boxes.update("b", { name: `n${n}` }, { nowMs: NOW, expectedRevision: 1 })),
          ),
        );
        expect(codes.toSorted()).toEqual([...Array(7).fill("conflict"), "resolved"]);
        expect((await store.boxes.get("b"))?.revision).toBe(2);
      });

      test("lists are paged in order and filtered by labels, state and part of a name", async () => {
        const { store } = await begin();
        for (let n = 0; n < 23; n++) {
          await enrol(store, `b-${String(n).padStart(2, "0")}`, {
            site: n % 2 === 0 ? "north" : "south",
            ...(n === 4 ? { gpu: "" } : {}),
          });
        }
        const ids: string[] = [];
        for (let after: string | undefined, more = true; more; ) {
          const page = await store.boxes.list({}, { limit: 5, after });
          ids.push(...page.items.map(({ id }) => id));
          after = page.next;
          more = page.next !== undefined;
        }
        expect(ids).toEqual([...ids].sort());
        expect(ids).toHaveLength(23);
        const count = async (filter: Parameters<Store["boxes"]["list"]>[0]) =>
          (await store.boxes.list(filter, { limit: 100 })).items.length;
        expect(await count({ labels: [{ key: "site", operator: "in", values: ["north", "x"] }] })).toBe(12);
        expect(await count({ labels: [{ key: "site", operator: "not-in", values: ["north"] }] })).toBe(11);
        expect(await count({ labels: [{ key: "gpu", operator: "exists" }] })).toBe(1);
        expect(
          await count({
            labels: [
              { key: "gpu", operator: "absent" },
              { key: "site", operator: "in", values: ["north"] },
            ],
          }),
        ).toBe(11);
        expect(await count({ text: "BOX B-1" })).toBe(10);
        expect(await count({ state: "revoked" })).toBe(0);
        const full = await store.boxes.list({ text: "b-2" }, { limit: 3 });
        expect([full.items.length, full.next]).toEqual([3, undefined]);
      });

      test("forgetting a box forgets its keys, its set, its log, its report, its commands and its figures", async () => {
        const { store } = await begin();
        await enrol(store, "b");
        await store.expected.change("b", { put: [stream("cam")] }, { nowMs: NOW });
        await store.reports.put("b", reportOf("b", "s", 1), NOW);
        await store.reports.noteContacts([{ boxId: "b", lastContactMs: NOW, hubId: "h" }]);
        await store.telemetry.append("b", [{ atMs: NOW, values: { cpu: 1 } }], NOW);
        await store.commands.create("b", { id: "c", name: "x", args: {}, deadlineMs: NOW + DAY }, { nowMs: NOW });
        const { epoch } = await store.expected.get("b");
        expect(await store.boxes.forget("b", { nowMs: NOW })).toBe(true);
        expect(await store.boxes.forget("b", { nowMs: NOW })).toBe(false);
        expect(await store.boxes.findByKey("key-of-b")).toBeUndefined();
        expect(await codeOf(store.expected.get("b"))).toBe("not-found");
        expect(await store.reports.get("b")).toBeUndefined();
        expect(await store.reports.contact("b")).toBeUndefined();
        expect(await store.commands.list("b", NOW)).toEqual([]);
        expect(await store.reports.put("b", reportOf("b", "s", 2), NOW)).toBe("unknown-box");
        await store.enrolmentTokens.create(
          { hash: "again", id: "again", createdMs: NOW, expiresMs: NOW + DAY, labels: {}, approve: true },
          { nowMs: NOW },
        );
        await store.boxes.enrol({ tokenHash: "again", boxId: "b", name: "", labels: {}, keyHash: "k" }, { nowMs: NOW });
        expect(await store.expected.after("b", `${epoch}.1`, 10)).toMatchObject({
          kind: "snapshot",
          reason: "other-epoch",
        });
        expect(await store.expected.get("b")).toMatchObject({ revision: 0, entries: [] });
        expect(await store.telemetry.read("b", { step: "15s", fromMs: 0, toMs: NOW + DAY, limit: 10 })).toEqual([]);
      });
    });

    describe("expected sets", () => {
      test("each change is one revision and one event, and a cursor replays what came after it on any hub", async () => {
        const { store, other } = await begin();
        await enrol(store, "b");
        const { epoch } = await store.expected.get("b");
        expect(await store.expected.change("b", { put: [stream("a"), stream("c")] }, { nowMs: NOW })).toEqual({
          epoch,
          revision: 1,
          changed: true,
        });
        expect(await other.expected.change("b", { put: [stream("b")], remove: ["a"] }, { nowMs: NOW + 1 })).toEqual({
          epoch,
          revision: 2,
          changed: true,
        });
        const set = await store.expected.get("b");
        expect(set.entries.map(({ workload }) => workload.id)).toEqual(["b", "c"]);
        const after = await other.expected.after("b", `${epoch}.0`, 10);
        expect(after).toMatchObject({
          kind: "changes",
          epoch,
          changes: [
            { revision: 1, put: [{ workload: { id: "a" } }, { workload: { id: "c" } }], remove: [] },
            { revision: 2, put: [{ workload: { id: "b" } }], remove: ["a"], atMs: NOW + 1 },
          ],
        });
        expect(await store.expected.after("b", `${epoch}.2`, 10)).toMatchObject({ kind: "changes", changes: [] });
        expect(await store.expected.after("b", `${epoch}.0`, 1)).toMatchObject({ changes: [{ revision: 1 }] });
      });

      test("what changes nothing writes nothing", async () => {
        const { store } = await begin();
        await enrol(store, "b");
        await store.expected.change("b", { put: [stream("a")] }, { nowMs: NOW });
        const audit = { actor: "a", action: "workload.put", subject: "box/b", outcome: "done" } as const;
        const again = await store.expected.change("b", { put: [stream("a")], remove: ["zzz"] }, { nowMs: NOW, audit });
        expect(again).toMatchObject({ revision: 1, changed: false });
        expect((await store.audit.list({}, { limit: 10 })).items).toEqual([]);
      });

      test("of writers at one revision at the same time one wins, and the others learn the revision", async () => {
        const { store, other } = await begin();
        await enrol(store, "b");
        const results = await Promise.allSettled(
          Array.from({ length: 10 }, (_, n) =>
            (n % 2 ? store : other).expected.change(
              "b",
              { put: [stream(`s${n}`)] },
              { nowMs: NOW, expectedRevision: 0 },
            ),
          ),
        );
        expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
        for (const result of results) {
          if (result.status === "rejected")
            expect(result.reason).toMatchObject({ code: "conflict", currentRevision: 1 });
        }
      });

      test("of unconditional writers at the same time none is lost and each has its own revision", async () => {
        const { store, other } = await begin();
        await enrol(store, "b");
        const answers = await Promise.all(
          Array.from({ length: 20 }, (_, n) =>
            (n % 2 ? store : other).expected.change("b", { put: [stream(`s${n}`)] }, { nowMs: NOW }),
          ),
        );
        expect(new Set(answers.map(({ revision }) => revision)).size).toBe(20);
        const set = await store.expected.get("b");
        expect([set.revision, set.entries.length]).toEqual([20, 20]);
        const after = await other.expected.after("b", `${set.epoch}.0`, 100);
        expect(after.kind === "changes" && after.changes.map(({ revision }) => revision)).toEqual(
          Array.from({ length: 20 }, (_, n) => n + 1),
        );
      });

      test("a request that is repeated is one change; with another body it is a conflict, until a day has passed", async () => {
        const { store, other } = await begin();
        await enrol(store, "b");
        const request = { id: "r1", bodyHash: "h1" };
        const first = await store.expected.change("b", { put: [stream("a")] }, { nowMs: NOW, request });
        await store.expected.change("b", { put: [stream("b")] }, { nowMs: NOW });
        expect(await other.expected.change("b", { put: [stream("a")] }, { nowMs: NOW, request })).toEqual(first);
        expect((await store.expected.get("b")).revision).toBe(2);
        const otherBody = { nowMs: NOW, request: { id: "r1", bodyHash: "h2" } };
        expect(await codeOf(store.expected.change("b", { put: [stream("x")] }, otherBody))).toBe("conflict");
        const later = { ...otherBody, nowMs: NOW + DAY + 1 };
        expect(await store.expected.change("b", { put: [stream("x")] }, later)).toMatchObject({ revision: 3 });
      });

      test("the same request at the same time through two hubs is one change", async () => {
        const { store, other } = await begin();
        await enrol(store, "b");
        const context = { nowMs: NOW, request: { id: "r", bodyHash: "h" } };
        const answers = await Promise.all(
          [store, other, store, other].map((hub) => hub.expected.change("b", { put: [stream("a")] }, context)),
        );
        expect(answers.map(({ revision, changed }) => [revision, changed])).toEqual(Array(4).fill([1, true]));
      });

      test("entries belong to their owner: another's are not touched, unless taken over", async () => {
        const { store } = await begin();
        await enrol(store, "b");
        const owner = "rollout/doors";
        await store.expected.change("b", { put: [stream("mine")] }, { nowMs: NOW });
        await store.expected.replace("b", { owner, entries: [stream("d1"), stream("d2")] }, { nowMs: NOW });
        expect(await codeOf(store.expected.change("b", { remove: ["d1"] }, { nowMs: NOW }))).toBe("conflict");
        expect(
          await codeOf(store.expected.change("b", { put: [stream("mine", "rtsp://x/")], owner }, { nowMs: NOW })),
        ).toBe("conflict");
        await store.expected.replace("b", { owner, entries: [stream("d2"), stream("d3")] }, { nowMs: NOW });
        const owners = async () =>
          (await store.expected.get("b")).entries.map(({ workload, owner: by }) => `${workload.id}:${by ?? ""}`);
        expect(await owners()).toEqual([`d2:${owner}`, `d3:${owner}`, "mine:"]);
        await store.expected.replace("b", { entries: [stream("d3")], takeOver: true }, { nowMs: NOW });
        expect(await owners()).toEqual(["d3:"]);
      });

      test("a cursor that is of no use gets the whole set, with the reason", async () => {
        const { store } = await begin();
        await enrol(store, "b");
        for (let n = 0; n < CHANGES_KEPT + 5; n++) {
          await store.expected.change("b", { put: [stream("a", `rtsp://camera/${n}`)] }, { nowMs: NOW });
        }
        const { epoch, revision } = await store.expected.get("b");
        const reasonOf = async (cursor: string | undefined) => {
          const after = await store.expected.after("b", cursor, 1000);
          return after.kind === "snapshot" ? [after.reason, after.set.revision] : after.changes.length;
        };
        expect(await reasonOf(undefined)).toEqual(["no-cursor", revision]);
        expect(await reasonOf(`${epoch}.4`)).toEqual(["too-old", revision]);
        expect(await reasonOf(`${epoch}.5`)).toBe(CHANGES_KEPT);
        expect(await reasonOf(`${epoch}.${revision + 1}`)).toEqual(["ahead", revision]);
        expect(await reasonOf("other.5")).toEqual(["other-epoch", revision]);
        expect(await reasonOf("garbage")).toEqual(["other-epoch", revision]);
        expect(await reasonOf(`${epoch}.1e3`)).toEqual(["other-epoch", revision]);
        const renewed = await store.expected.renewEpoch("b", epoch, { nowMs: NOW });
        expect(renewed.epoch).not.toBe(epoch);
        expect((await store.expected.renewEpoch("b", epoch, { nowMs: NOW })).epoch).toBe(renewed.epoch);
        expect(await reasonOf(`${epoch}.${revision}`)).toEqual(["other-epoch", revision]);
      });
    });

    describeSettling(begin);

    describe("reports", () => {
      test("a report that is not newer is refused, and an agent that was followed by another stays so", async () => {
        const { store, other } = await begin();
        await enrol(store, "b");
        expect(await store.reports.put("b", reportOf("b", "s1", 2), NOW)).toBe("accepted");
        expect(await other.reports.put("b", reportOf("b", "s1", 2), NOW)).toBe("stale");
        expect(await other.reports.put("b", reportOf("b", "s1", 1), NOW)).toBe("stale");
        expect(await other.reports.put("b", reportOf("b", "s2", 1), NOW + 5)).toBe("accepted");
        expect(await store.reports.put("b", reportOf("b", "s1", 3), NOW + 6)).toBe("superseded");
        const held = await store.reports.get("b");
        expect(held).toMatchObject({ receivedMs: NOW + 5, report: { session: "s2" }, pastSessions: ["s1"] });
        expect(held?.starts.map(({ session }) => session)).toEqual(["s2", "s1"]);
      });

      test("the last contact never goes back and is not kept of a stranger", async () => {
        const { store, other } = await begin();
        await enrol(store, "b");
        await store.reports.noteContacts([
          { boxId: "b", lastContactMs: NOW + 5, hubId: "h1" },
          { boxId: "stranger", lastContactMs: NOW, hubId: "h1" },
        ]);
        await other.reports.noteContacts([{ boxId: "b", lastContactMs: NOW + 4, hubId: "h2" }]);
        expect((await store.reports.listContacts({ limit: 10 })).items).toEqual([
          { boxId: "b", lastContactMs: NOW + 5, hubId: "h1" },
        ]);
      });

      test("incidents and gaps are added once and closed once", async () => {
        const { store } = await begin();
        await enrol(store, "b");
        const open = { kind: "uplink", cause: "lost", startMs: NOW };
        await store.history.note("b", { incidents: [open], gaps: [] });
        await store.history.note("b", {
          incidents: [{ ...open, endMs: NOW + 9 }],
          gaps: [{ workloadId: "c", cause: "x", startMs: 1 }],
        });
        await store.history.note("b", { incidents: [open], gaps: [] });
        expect(await store.history.get("b")).toMatchObject({
          incidents: [{ endMs: NOW + 9 }],
          gaps: [{ workloadId: "c" }],
        });
        expect((await store.history.get("b")).incidents).toHaveLength(1);
      });
    });

    test("figures are thinned with age, and the newest are there at once", async () => {
      const { store } = await begin();
      await enrol(store, "b");
      const from = Math.ceil(NOW / 900_000) * 900_000;
      for (let n = 0; n < 130; n++) {
        const atMs = from + n * 15_000;
        await store.telemetry.append("b", [{ atMs, values: { cpu: n } }], atMs);
      }
      const read = (step: "15s" | "1m" | "15m", limit = 1000) =>
        store.telemetry.read("b", { step, fromMs: from, toMs: from + DAY, limit });
      expect(await read("15s")).toHaveLength(130);
      expect((await read("15s", 2)).map(({ values }) => values["cpu"]?.mean)).toEqual([128, 129]);
      expect((await read("1m"))[0]).toEqual({ atMs: from, values: { cpu: { mean: 1.5, min: 0, max: 3 } } });
      expect((await read("15m")).map(({ values }) => values["cpu"])).toEqual([
        { mean: 29.5, min: 0, max: 59 },
        { mean: 89.5, min: 60, max: 119 },
        { mean: 124.5, min: 120, max: 129 },
      ]);
      await store.telemetry.append("b", [{ atMs: from + DAY, values: { cpu: 1 } }], from);
      expect(await read("15s")).toHaveLength(130);
    });

    describeCommands(begin);

    test("operator tokens: one first, found by hash, revoked once, use noted", async () => {
      const { store, other } = await begin();
      const firsts = await Promise.all(
        [store, other, store, other].map((hub, n) =>
          hub.operatorTokens.createFirst(operatorToken(`f${n}`), { nowMs: NOW }),
        ),
      );
      expect(firsts.filter(Boolean)).toHaveLength(1);
      await store.operatorTokens.create(operatorToken("t2"), { nowMs: NOW });
      expect(
        await codeOf(other.operatorTokens.create({ ...operatorToken("t3"), hash: "hash-t2" }, { nowMs: NOW })),
      ).toBe("conflict");
      expect((await other.operatorTokens.findByHash("hash-t2"))?.id).toBe("t2");
      expect(await other.operatorTokens.findByHash("nothing")).toBeUndefined();
      expect((await other.operatorTokens.revoke("t2", { nowMs: NOW + 1 })).revokedMs).toBe(NOW + 1);
      expect((await store.operatorTokens.revoke("t2", { nowMs: NOW + 2 })).revokedMs).toBe(NOW + 1);
      await store.operatorTokens.noteUsed([{ id: "t2", atMs: NOW + 5 }]);
      await other.operatorTokens.noteUsed([{ id: "t2", atMs: NOW + 3 }]);
      const listed = (await store.operatorTokens.list({ limit: 10 })).items;
      expect(listed.find(({ id }) => id === "t2")).toMatchObject({ lastUsedMs: NOW + 5, revokedMs: NOW + 1 });
    });

    test("objects are written on a condition, listed by kind, and never take an old revision again", async () => {
      const { store, other } = await begin();
      const put = (id: string, body: unknown, expectedRevision?: number) =>
        store.objects.put({ kind: "rollout", id, body }, { nowMs: NOW, expectedRevision });
      expect(await put("a", { x: [1] }, 0)).toMatchObject({ revision: 1, body: { x: [1] } });
      await expect(put("a", {}, 0)).rejects.toMatchObject({ code: "conflict", currentRevision: 1 });
      expect(await put("a", { x: 2 }, 1)).toMatchObject({ revision: 2, createdMs: NOW });
      await other.objects.put({ kind: "rollouts", id: "z", body: 1 }, { nowMs: NOW });
      await put("b", null);
      await put("c", "text");
      const first = await other.objects.list("rollout", { limit: 2 });
      expect(first.items.map(({ id }) => id)).toEqual(["a", "b"]);
      expect((await other.objects.list("rollout", { limit: 2, after: first.next })).items.map(({ id }) => id)).toEqual([
        "c",
      ]);
      expect(await codeOf(other.objects.delete("rollout", "a", { nowMs: NOW, expectedRevision: 1 }))).toBe("conflict");
      expect(await other.objects.delete("rollout", "a", { nowMs: NOW, expectedRevision: 2 })).toBe(true);
      expect(await other.objects.delete("rollout", "a", { nowMs: NOW })).toBe(false);
      expect(await store.objects.get("rollout", "a")).toBeUndefined();
      expect((await put("a", {})).revision).toBe(3);
    });

    test("an object moves to another kind in one step, with what is told of it in its order, and only once", async () => {
      const { store, other } = await begin();
      const { cursor } = await store.events.after(undefined, 1);
      await store.objects.put({ kind: "live", id: "a", body: 1 }, { nowMs: NOW });
      const event = ["opened", "ended"].map((kind) => ({ kind, text: kind }));
      const move = (hub: Store) => hub.objects.move("live", { kind: "past", id: "a", body: 2 }, { nowMs: NOW, event });
      const moves = await Promise.allSettled([move(store), move(other)]);
      expect(moves.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
      expect(await other.objects.get("live", "a")).toBeUndefined();
      expect(await other.objects.get("past", "a")).toMatchObject({ id: "a", revision: 1, body: 2 });
      const told = await other.events.after(cursor, 10);
      expect(told.kind === "events" && told.events.map(({ kind }) => kind)).toEqual(["opened", "ended"]);
      expect(await store.objects.put({ kind: "live", id: "a", body: 3 }, { nowMs: NOW })).toMatchObject({
        revision: 2,
      });
    });

    test("an alert moves once, with its messages, and each message is claimed by one hub at a time", async () => {
      const { store, other } = await begin();
      const state = {
        ruleId: "offline",
        subject: "box/b",
        phase: "firing",
        sinceMs: NOW,
        text: "b is offline",
      } as const;
      const move = (hub: Store) =>
        codeOf(
          hub.alerts.transition(state, {
            nowMs: NOW,
            expectedRevision: 0,
            deliveries: [{ id: "d1", target: "w", body: { a: 1 } }],
          }),
        );
      expect((await Promise.all([move(store), move(other)])).toSorted()).toEqual(["conflict", "resolved"]);
      await store.deliveries.enqueue({ id: "d1", target: "w", body: "again" }, NOW);
      await store.deliveries.enqueue({ id: "d2", target: "w", body: 2 }, NOW + 50);
      const claims = await Promise.all(
        [store, other].map((hub) => hub.deliveries.claim({ nowMs: NOW, leaseMs: 1000, limit: 10 })),
      );
      expect(claims.flat()).toMatchObject([{ id: "d1", attempt: 1, body: { a: 1 } }]);
      const later = await other.deliveries.claim({ nowMs: NOW + 1000, leaseMs: 1000, limit: 10 });
      expect(later.map(({ id, attempt }) => [id, attempt])).toEqual([
        ["d1", 2],
        ["d2", 1],
      ]);
      expect(await store.deliveries.succeed("d1", 1, NOW)).toBe(false);
      expect(await store.deliveries.retry("d1", 2, { dueMs: NOW + 9000, error: "500" })).toBe(true);
      expect(await store.deliveries.giveUp("d2", 1, { nowMs: NOW, error: "gone" })).toBe(true);
      expect(await store.deliveries.claim({ nowMs: NOW + 8999, leaseMs: 1, limit: 10 })).toEqual([]);
      expect(await store.deliveries.claim({ nowMs: NOW + 9000, leaseMs: 1, limit: 10 })).toMatchObject([
        { id: "d1", attempt: 3, lastError: "500" },
      ]);
      expect(await store.deliveries.succeed("d1", 3, NOW)).toBe(true);
      expect((await store.deliveries.list({ limit: 9 })).items.map((one) => one.state)).toEqual(["sent", "given-up"]);
      expect((await store.alerts.list({ limit: 9, ruleId: "offline" })).items).toMatchObject([{ revision: 1 }]);
      expect(await store.alerts.clear("offline", "box/b", 1)).toBe(true);
    });

    test("a lease has one holder, a fence that grows with each, and ends by the time that it is told", async () => {
      const { store, other } = await begin();
      const by = (holder: string, nowMs: number) => ({ holder, ttlMs: 1000, nowMs });
      const answers = await Promise.all(
        ["h1", "h2", "h3", "h4"].map((holder, n) => (n % 2 ? store : other).leases.acquire("alerts", by(holder, NOW))),
      );
      expect(answers.filter(({ held }) => held)).toHaveLength(1);
      const holder = answers.find(({ held }) => held)?.lease.holder ?? "";
      expect(await store.leases.acquire("alerts", by(holder, NOW + 900))).toMatchObject({
        held: true,
        lease: { fence: 1, expiresMs: NOW + 1900 },
      });
      expect(await store.leases.acquire("alerts", by("hx", NOW + 1899))).toMatchObject({
        held: false,
        lease: { holder },
      });
      expect(await store.leases.acquire("alerts", by("hx", NOW + 1900))).toMatchObject({
        held: true,
        lease: { fence: 2 },
      });
      expect(await store.leases.release("alerts", 1)).toBe(false);
      expect(await store.leases.release("alerts", 2)).toBe(true);
      expect(await store.leases.acquire("alerts", by("hy", NOW))).toMatchObject({ held: true, lease: { fence: 3 } });
    });

    test("events have one order and cursors that hold on every hub", async () => {
      const { store, other } = await begin();
      const start = await store.events.after(undefined, 10);
      await enrol(store, "b");
      await store.boxes.update(
        "b",
        { draining: true },
        { nowMs: NOW, event: { kind: "box.drain", boxId: "b", text: "b drains" } },
      );
      await other.events.append({ kind: "x", text: "two" }, NOW + 1);
      expect(await store.events.recent(1)).toMatchObject({ events: [{ text: "two", atMs: NOW + 1 }] });
      const recent = await store.events.recent(100);
      expect(recent.events.slice(-2).map(({ text }) => text)).toEqual(["b drains", "two"]);
      expect(await store.events.after(recent.cursor, 10)).toMatchObject({ events: [], cursor: recent.cursor });
      const after = await other.events.after(start.cursor, 1);
      expect(after).toMatchObject({ kind: "events", events: [{ kind: "box.drain", boxId: "b" }] });
      expect(await store.events.after(after.cursor, 10)).toMatchObject({ events: [{ text: "two", atMs: NOW + 1 }] });
      expect(await store.events.after("other.1", 10)).toMatchObject({ kind: "gone", reason: "other-store" });
      const [epoch] = after.cursor.split(".");
      expect(await store.events.after(`${epoch}.99`, 10)).toMatchObject({ kind: "gone", reason: "ahead" });
    });

    test("a change, its audit entry and its event are written together or not at all", async () => {
      const { store } = await begin();
      await enrol(store, "b");
      const audit = (action: string) => ({ actor: "operator:1", action, subject: "box/b", outcome: "done" as const });
      await store.boxes.update("b", { name: "new" }, { nowMs: NOW, audit: audit("box.rename") });
      await codeOf(
        store.boxes.update("b", { name: "x" }, { nowMs: NOW, expectedRevision: 9, audit: audit("box.rename") }),
      );
      for (let n = 0; n < 5; n++) await store.audit.append({ ...audit("login"), subject: `token/${n}` }, NOW + n);
      expect((await store.audit.list({ action: "box" }, { limit: 10 })).items).toMatchObject([
        { action: "box.rename", sequence: 1 },
      ]);
      const first = await store.audit.list({ subject: "token" }, { limit: 3 });
      expect(first.items.map(({ subject }) => subject)).toEqual(["token/4", "token/3", "token/2"]);
      const second = await store.audit.list({ subject: "token" }, { limit: 3, after: first.next });
      expect([second.items.map(({ subject }) => subject), second.next]).toEqual([["token/1", "token/0"], undefined]);
      expect((await store.audit.list({ fromMs: NOW + 1, toMs: NOW + 3 }, { limit: 10 })).items).toHaveLength(2);
    });

    test("every change wakes the listeners of every hub", async () => {
      const { store, other } = await begin();
      const seen: Hint[] = [];
      const stop = other.onHint((hint) => seen.push(hint));
      await other.ping();
      await enrol(store, "b");
      await expect.poll(() => seen).toContainEqual({ kind: "box", boxId: "b" });
      await store.expected.change("b", { put: [stream("a")] }, { nowMs: NOW });
      await expect.poll(() => seen).toContainEqual(expect.objectContaining({ kind: "expected", boxId: "b" }));
      await store.objects.put({ kind: "rollout", id: "r", body: 1 }, { nowMs: NOW });
      await expect.poll(() => seen).toContainEqual({ kind: "objects", of: "rollout" });
      await store.events.append({ kind: "x", text: "" }, NOW);
      await expect.poll(() => seen).toContainEqual({ kind: "events" });
      stop();
      const count = seen.length;
      await store.events.append({ kind: "x", text: "" }, NOW);
      await other.ping();
      expect(seen).toHaveLength(count);
    });

    test("what has expired is removed by the time that is told, and nothing else", async () => {
      const { store } = await begin();
      await enrol(store, "b");
      await store.expected.change("b", { put: [stream("a")] }, { nowMs: NOW, request: { id: "r", bodyHash: "h" } });
      expect(await store.maintain(NOW + DAY - 1)).toEqual({ removed: 0 });
      expect(await store.maintain(NOW + DAY)).toEqual({ removed: 1 });
      expect(await store.maintain(NOW + 3 * DAY)).toEqual({ removed: 2 });
      expect((await store.enrolmentTokens.list({ limit: 10 })).items).toEqual([]);
      expect((await store.boxes.get("b"))?.id).toBe("b");
    });

    test.each([1, 2, 3])("any row of verbs gets the answers that the store in memory gives (seed %i)", async (seed) => {
      const { store, other } = await begin();
      const oracle = createMemoryStore({ newId: randomUUID });
      const steps = randomSteps(seed, 250);
      for (const [index, { name: step, run }] of steps.entries()) {
        const expected = await answerOf(run(oracle));
        const answer = await answerOf(run(index % 2 === 0 ? store : other));
        expect(answer, `step ${index}: ${step}`).toBe(expected);
      }
    });

    test("a closed store refuses", async () => {
      const { store } = await begin();
      await store.close();
      expect(await codeOf(store.boxes.get("b"))).toBe("store-unavailable");
      expect(await codeOf(store.events.append({ kind: "x", text: "" }, NOW))).toBe("store-unavailable");
    });
  });
}
