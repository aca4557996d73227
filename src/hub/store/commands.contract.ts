import { describe, expect, test } from "vitest";
import { FINISHED_OFFERS_KEPT, OPEN_COMMANDS } from "./command-list.ts";
import { enrol, NOW } from "./store.fake.ts";
import type { Store } from "./store.ts";
import { codeOf } from "./store-error-code.fake.ts";

/** The commands of boxes, whatever the store is made of. */
export function describeCommands(begin: () => Promise<{ readonly store: Store; readonly other: Store }>): void {
  describe("commands", () => {
    const command = (id: string, key?: string) => ({
      id,
      name: "restart",
      args: { n: 1 },
      deadlineMs: NOW + 1000,
      key,
    });

    test("one of many takers gets a command, and the same taker gets it again", async () => {
      const { store, other } = await begin();
      await enrol(store, "b");
      const made = await store.commands.create("b", command("c1"), { nowMs: NOW });
      expect(made).toMatchObject({ generation: 1, state: "waiting" });
      expect(await other.commands.create("b", command("c1"), { nowMs: NOW })).toEqual(made);
      const takers = Array.from({ length: 8 }, (_, n) => `t${n}`);
      const taken = await Promise.all(
        takers.map((taker, n) => (n % 2 ? store : other).commands.take("b", "c1", { taker, nowMs: NOW })),
      );
      expect(taken.filter((one) => one !== undefined)).toHaveLength(1);
      const winner = takers[taken.findIndex((one) => one !== undefined)] ?? "";
      expect(await store.commands.take("b", "c1", { taker: winner, nowMs: NOW })).toMatchObject({ state: "taken" });
      expect(await store.commands.complete("b", "c1", { ok: true, text: "done", nowMs: NOW })).toMatchObject({
        state: "done",
      });
      expect(await store.commands.complete("b", "c1", { ok: false, text: "no", nowMs: NOW })).toMatchObject({
        state: "done",
        answer: "done",
      });
      expect(await store.commands.take("b", "c1", { taker: winner, nowMs: NOW })).toBeUndefined();
    });

    test("a command that is claimed when it is written is its taker's alone, and expires with it", async () => {
      const { store, other } = await begin();
      await enrol(store, "b");
      await store.commands.create("b", command("c0", "k"), { nowMs: NOW });
      const made = await store.commands.create("b", command("c1", "k"), { nowMs: NOW, taker: "t" });
      expect(made).toMatchObject({ state: "taken", takenBy: "t", takenMs: NOW });
      expect(await other.commands.create("b", command("c1"), { nowMs: NOW, taker: "u" })).toEqual(made);
      expect(await other.commands.take("b", "c1", { taker: "u", nowMs: NOW })).toBeUndefined();
      expect(await store.commands.take("b", "c1", { taker: "t", nowMs: NOW })).toEqual(made);
      expect((await store.commands.list("b", NOW)).map(({ state }) => state)).toEqual(["replaced", "taken"]);
      expect((await store.commands.expire("b", NOW + 1000)).map(({ id, answer }) => [id, answer])).toEqual([
        ["c1", "no answer before the deadline"],
      ]);
    });

    test("a command past its deadline is never handed out, and a late answer does not change it", async () => {
      const { store } = await begin();
      await enrol(store, "b");
      await store.commands.create("b", command("c1"), { nowMs: NOW });
      expect(await store.commands.take("b", "c1", { taker: "t", nowMs: NOW + 1000 })).toBeUndefined();
      expect((await store.commands.list("b", NOW + 1000)).map(({ state }) => state)).toEqual(["expired"]);
      expect(await store.commands.complete("b", "c1", { ok: true, text: "", nowMs: NOW + 1001 })).toMatchObject({
        state: "expired",
      });
      expect(await codeOf(store.commands.create("b", command("c2"), { nowMs: NOW + 1000 }))).toBe("invalid");
      await store.commands.create("b", { ...command("c3"), deadlineMs: NOW + 5000 }, { nowMs: NOW + 1000 });
      expect((await store.commands.expire("b", NOW + 5000)).map(({ id }) => id)).toEqual(["c3"]);
      expect(await store.commands.expire("b", NOW + 5000)).toEqual([]);
    });

    test("a deadline that passes unanswered is one event, by whichever hub and verb it is seen first", async () => {
      const { store, other } = await begin();
      await enrol(store, "b");
      await enrol(store, "d");
      const { cursor } = await store.events.after(undefined, 1);
      for (const [boxId, id, ms] of [
        ["b", "sent", 1000],
        ["b", "waits", 2000],
        ["d", "done", 1000],
        ["d", "seen", 3000],
      ] as const) {
        await store.commands.create(boxId, { ...command(id), deadlineMs: NOW + ms }, { nowMs: NOW });
      }
      await store.commands.take("b", "sent", { taker: "t", nowMs: NOW });
      await store.commands.complete("d", "done", { ok: true, text: "", nowMs: NOW + 10 });
      expect(await store.commands.expireDue(NOW + 999, 10)).toBe(0);
      await Promise.all([store, other, store, other].map((hub) => hub.commands.expireDue(NOW + 2000, 10)));
      // Another verb of the box comes before anybody looks.
      await other.commands.create("d", { ...command("late"), deadlineMs: NOW + 9000 }, { nowMs: NOW + 3500 });
      await store.commands.expireDue(NOW + 4000, 10);
      expect(await store.commands.expireDue(NOW + 4000, 10)).toBe(0);
      const answer = await other.events.after(cursor, 50);
      const told = answer.kind === "events" ? answer.events.filter(({ kind }) => kind === "command.expired") : [];
      expect(told.map(({ boxId, data, text, atMs }) => [boxId, data, text, atMs - NOW])).toEqual([
        ["b", { id: "sent", name: "restart", wasSent: true }, expect.stringContaining("no answer"), 1000],
        ["b", { id: "waits", name: "restart", wasSent: false }, expect.stringContaining("not sent"), 2000],
        ["d", { id: "seen", name: "restart", wasSent: false }, expect.stringContaining("not sent"), 3000],
      ]);
    });

    test("what was answered has no deadline any more, and takes none from what is still open until then", async () => {
      const { store } = await begin();
      await enrol(store, "b");
      const create = (id: string, ms: number) =>
        store.commands.create("b", { ...command(id), deadlineMs: NOW + ms }, { nowMs: NOW });
      for (const id of ["c1", "c2"]) await create(id, 1000);
      const answer = (id: string) => store.commands.complete("b", id, { ok: true, text: "", nowMs: NOW });
      await answer("c1");
      expect(await store.commands.expireDue(NOW + 1000, 10)).toBe(1);
      expect((await store.commands.list("b", NOW)).map(({ state }) => state)).toEqual(["done", "expired"]);
      await create("c3", 2000);
      await answer("c3");
      expect(await store.commands.expireDue(NOW + 2000, 10)).toBe(0);
    });

    test("a later command for the same thing replaces one that still waits", async () => {
      const { store } = await begin();
      await enrol(store, "b");
      await store.commands.create("b", command("c1", "cam"), { nowMs: NOW });
      await store.commands.create("b", command("c2", "cam"), { nowMs: NOW });
      expect((await store.commands.list("b", NOW)).map(({ state }) => state)).toEqual(["replaced", "waiting"]);
      expect(await codeOf(store.commands.complete("b", "c9", { ok: true, text: "", nowMs: NOW }))).toBe("not-found");
      expect(await codeOf(store.commands.create("nobody", command("c"), { nowMs: NOW }))).toBe("not-found");
    });

    test("of offers of remote sessions that are over the last few are kept, without what either end joined with", async () => {
      const { store } = await begin();
      await enrol(store, "b");
      await store.commands.create("b", command("other"), { nowMs: NOW });
      await store.commands.complete("b", "other", { ok: true, text: "", nowMs: NOW });
      const facts = { session: "s", attempt: 1, operator: "anna", operation: { kind: "exec", argv: ["true"] } };
      const args = { ...facts, ticket: "secret", router: { id: "r", url: "https://r", ca: "PEM" } };
      for (let n = 0; n <= FINISHED_OFFERS_KEPT; n++) {
        await store.commands.create("b", { ...command(`o${n}`), name: "remote", args }, { nowMs: NOW });
        await store.commands.complete("b", `o${n}`, { ok: true, text: "joining", nowMs: NOW });
      }
      const [first, ...offers] = await store.commands.list("b", NOW);
      expect(first?.id).toBe("other");
      expect(offers.map(({ id }) => id)).toEqual(
        Array.from({ length: FINISHED_OFFERS_KEPT }, (_none, n) => `o${n + 1}`),
      );
      expect(offers[0]?.args).toEqual({ ...facts, ticket: "***" });
    });

    test("a box that never answers takes a bounded number", async () => {
      const { store } = await begin();
      await enrol(store, "b");
      for (let n = 0; n < OPEN_COMMANDS; n++) await store.commands.create("b", command(`c${n}`), { nowMs: NOW });
      expect(await codeOf(store.commands.create("b", command("more"), { nowMs: NOW }))).toBe("exhausted");
    });
  });
}
