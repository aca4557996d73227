import { describe, expect, test } from "vitest";
import type { FakeClock } from "../../base/clock.fake.ts";
import type { Assignment } from "../../contract/transfer/assignment.ts";
import type { SyncProgress } from "../../contract/transfer/sync-progress.ts";
import type { Store } from "../store/store.ts";
import { newCountedStore, openTransferHub } from "./open-transfer-hub.fake.ts";
import { failing, filesOf, need, playTransfers } from "./play-transfers.fake.ts";
import { TRANSFER_KIND } from "./transfer-record.ts";
import { type FakeWorker, fileEntry, type TransferHub } from "./transfer-world.fake.ts";

const MIB = 1024 * 1024;
const DAY_MS = 86_400_000;
let hub: TransferHub;
let clock: FakeClock;
let store: Store;

const begin = (given: Parameters<typeof openTransferHub>[0] = {}) => {
  ({ hub, clock, store } = openTransferHub(given));
};
const { submit, look, makeWorkers, work, listIt } = playTransfers(() => ({ hub, clock }));

test("who asks for what is recent has what goes on first, however it is called, and then what ended last", async () => {
  begin();
  await makeWorkers(filesOf(1));
  for (const id of ["a-first", "m-then", "z-last"]) {
    await submit(id, { deadline: new Date(clock.wallMs() + 60_000).toISOString() });
    await clock.advance(10_000);
  }
  const order = async (query = "") =>
    ((await hub.ask("GET", `/sync?order=recent${query}`)) as readonly SyncProgress[]).map((one) => one.request_id);
  expect(await order()).toEqual(["z-last", "m-then", "a-first"]);
  expect(await order("&limit=1")).toEqual(["z-last"]);
  // The first and the second are past their deadlines.
  for (let second = 0; second < 45; second++) await clock.advance(1000);
  expect((await look("m-then")).state).toBe("FAILED");
  expect((await look("z-last")).state).toBe("QUEUED");
  expect(await order()).toEqual(["z-last", "m-then", "a-first"]);
  await submit("b-new");
  expect(await order()).toEqual(["b-new", "z-last", "m-then", "a-first"]);
});

describe("what is told more than once", () => {
  test("because its answer was lost counts once: the others are duplicates, and nothing changes with them", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(3));
    const to = worker("dst-1");
    await to.heartbeat();
    await submit("r");
    await listIt(source);
    const result = (await to.carryOut(need(await to.poll()))) ?? {};
    expect(await to.tell(result)).toBe("ack");
    const { updated_at: _, rate_bytes_s: _rate, seconds_left: _left, ...after } = await look("r");
    for (let again = 0; again < 5; again++) expect(await to.tell(result)).toBe("duplicate");
    const { updated_at: __, rate_bytes_s: __rate, seconds_left: __left, ...now } = await look("r");
    expect(now).toEqual(after);
    expect(now).toMatchObject({ transferred_bytes: 30 });
  });

  test("is a duplicate also when its unit has gone on since, and when its request is over or deleted; what was never taken is not", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(3));
    const to = worker("dst-1");
    await to.heartbeat();
    await submit("r");
    await listIt(source);
    const failed = failing(need(await to.poll()), "unreachable", "it is away");
    expect(await to.tell(failed)).toBe("ack");
    await clock.advance(1000);
    // The next attempt has it, and has told nothing yet.
    const again = need(await to.poll());
    expect([again.attempt, await to.tell(failed)]).toEqual([2, "duplicate"]);
    expect((await to.heartbeat()).revoked).toEqual([]);
    const copied = (await to.carryOut(again)) ?? {};
    expect(await to.tell(copied)).toBe("ack");
    await clock.advance(3000);
    await to.heartbeat();
    const closed = (await to.carryOut(need(await to.poll()))) ?? {};
    const before = await look("r");
    expect(await to.tell(closed)).toBe("ack");
    await clock.advance(3000);
    const done = await look("r");
    expect([before.state, done.state]).toEqual(["PROGRESS", "COMPLETED"]);
    const never = { ...copied, lease_id: String(again.lease_id).replace(/2$/, "7"), attempt: 7 };
    for (const told of [failed, copied, closed]) expect(await to.tell(told)).toBe("duplicate");
    // Somebody else was not given it.
    for (const told of [never, { ...copied, worker_id: "src-1" }]) expect(await to.tell(told)).toBe("stale");
    expect(await look("r")).toEqual(done);
    // A hub that was begun anew knows what the store says.
    await hub.stop();
    begin({ store, clock, hubId: "hub-2" });
    expect([await to.tell(closed), await to.tell(copied)]).toEqual(["duplicate", "stale"]);
    expect(await look("r")).toEqual(done);

    await hub.ask("DELETE", "/sync/r");
    await expect(to.tell(copied)).rejects.toMatchObject({ code: "gone" });
    // Of one that is cancelled: what was taken by then, and what was not.
    await submit("half");
    await source.heartbeat();
    await to.heartbeat();
    await listIt(source);
    const last = failing(need(await to.poll()), "unreachable");
    expect(await to.tell(last)).toBe("ack");
    await clock.advance(1000);
    const late = (await to.carryOut(need(await to.poll()))) ?? {};
    await hub.ask("DELETE", "/sync/half");
    expect(await to.tell(last)).toBe("duplicate");
    await expect(to.tell(late)).rejects.toMatchObject({ code: "gone" });
    await work(source, to);
    await expect(hub.ask("GET", "/sync/half")).rejects.toMatchObject({ code: "not-found" });
    expect(await to.tell(last)).toBe("duplicate");
    await expect(to.tell(late)).rejects.toMatchObject({ code: "gone" });
  });
});

describe("a destination", () => {
  test.each(["no-space", "read-only", "no-storage"])(
    "that says %s is waited for with the reason, however long, and it goes on by itself",
    async (code) => {
      begin();
      const { source, worker } = await makeWorkers(filesOf(2));
      const to = worker("dst-1");
      await to.heartbeat();
      await submit("r");
      await listIt(source);
      let tries = 0;
      for (let second = 0; second < 300; second++) {
        const assignment = await to.poll();
        if (assignment !== null) {
          tries += 1;
          await to.tell(failing(assignment, code, "of the disk"));
          expect(await look("r")).toMatchObject({ state: "PROGRESS", reason: `it waits: dst-1: ${code}: of the disk` });
        }
        await clock.advance(1000);
        await to.heartbeat();
        await source.heartbeat();
      }
      // Every 5 s, or as a worker that fails at once is let try.
      expect(tries).toBeGreaterThan(4);
      expect(tries).toBeLessThan(61);
      for (let wait = 0; wait < 700 && (await look("r")).state !== "COMPLETED"; wait++) await work(source, to);
      expect(await look("r")).toMatchObject({ state: "COMPLETED", failures: [] });
    },
  );

  test("that another transfer writes to is waited for, and what lies beside it is not", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(2));
    const to = worker("dst-1");
    await to.heartbeat();
    await submit("first", { destination_path: "/out/tree" });
    await clock.advance(3000);
    for (const [id, path] of [
      ["same", "/out/tree"],
      ["inside", "/out/tree/sub"],
      ["around", "/out"],
      ["beside", "/out/tree2"],
    ]) {
      await submit(String(id), { destination_path: path });
    }
    await clock.advance(3000);
    for (const id of ["same", "inside", "around"]) {
      expect(await look(id)).toMatchObject({
        state: "QUEUED",
        reason: "first writes there; this begins when that is over",
      });
    }
    expect((await look("beside")).reason).not.toMatch(/writes there/);
    for (let round = 0; round < 12; round++) {
      await work(source, to);
      await clock.advance(10_000);
      await source.heartbeat();
      await to.heartbeat();
    }
    for (const id of ["first", "same", "inside", "around", "beside"]) {
      expect(`${id} ${(await look(id)).state}`).toBe(`${id} COMPLETED`);
    }
  });

  test("within its own source is refused: it would copy its own copy", async () => {
    begin();
    const { worker } = await makeWorkers(filesOf(2));
    await worker("dst-1").heartbeat();
    await submit("r", { source_path: "/out/tree", destination_path: "/out/tree/copy" });
    await clock.advance(3000);
    expect(await look("r")).toMatchObject({
      state: "FAILED",
      reason: expect.stringMatching(/would copy its own copy/),
    });
  });
});

describe("a worker", () => {
  test("that fails at once with everything is kept apart with the cause, and the other does all of it", async () => {
    begin();
    const { source, worker, target } = await makeWorkers(filesOf(20, MIB));
    const [hole, good] = [worker("dst-1", ["dst-2"]), worker("dst-2", ["dst-1"])];
    await hole.heartbeat();
    await good.heartbeat();
    await submit("r");
    await listIt(source);
    let swallowed = 0;
    for (let turn = 0; turn < 20; turn++) {
      await hole.heartbeat();
      for (let given = await hole.poll(); given !== null; given = await hole.poll()) {
        swallowed += 1;
        await hole.tell(failing(given, "io", "no such device"));
      }
      await good.heartbeat();
      const given = await good.poll();
      if (given !== null) await good.tell((await good.carryOut(given)) ?? {});
      await clock.advance(200);
    }
    expect(swallowed).toBe(3);
    const workers = (await hub.ask("GET", "/workers")) as { worker_id: string }[];
    expect(JSON.stringify(workers)).toContain("io: no such device");
    await work(source, good);
    expect(await look("r")).toMatchObject({ state: "COMPLETED", failures: [] });
    expect(target.named.size).toBe(21);
    // Its time is over, whatever a clock that was set back says.
    clock.stepWall(-DAY_MS);
    await clock.advance(31_000);
    await hole.heartbeat();
    await submit("next");
    await clock.advance(3000);
    await work(source);
    await hole.heartbeat();
    expect((await hole.poll())?.request_id).toBe("next");
  });

  test("that fails everything it holds at once is kept apart for once, and for longer when it fails again after that", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(40, MIB));
    const [bad, good] = [worker("dst-1", ["dst-2"]), worker("dst-2", ["dst-1"])];
    await bad.heartbeat();
    await good.heartbeat();
    await submit("r");
    await listIt(source);
    const takeAndFail = async () => {
      const given: Assignment[] = [];
      for (let next = await bad.poll(); next !== null && given.length < 12; next = await bad.poll()) given.push(next);
      expect(given.length).toBeGreaterThanOrEqual(9);
      for (const one of given) await bad.tell(failing(one, "no-storage", "it is gone"));
      const { active } = (await hub.ask("GET", "/workers")) as {
        active: readonly { worker_id: string; kept_apart?: { until: string } }[];
      };
      const until = active.find(({ worker_id: id }) => id === "dst-1")?.kept_apart?.until;
      return Date.parse(until ?? "") - clock.wallMs();
    };
    const pass = async (seconds: number) => {
      for (let second = 0; second < seconds; second++) {
        await clock.advance(1000);
        for (const each of [source, bad, good]) await each.heartbeat();
      }
    };
    expect(await takeAndFail()).toBe(30_000);
    await pass(31);
    expect(await takeAndFail()).toBe(60_000);
  });

  test.each(["denied", "not-found", "unsupported"])(
    "that meets %s is not kept apart: that is said of what was asked for, and others go on",
    async (code) => {
      begin();
      const { source, worker } = await makeWorkers(filesOf(1));
      const to = worker("dst-1");
      await to.heartbeat();
      await submit("bad");
      await listIt(source);
      for (let second = 0; second < 30; second++) {
        await clock.advance(1000);
        for (const each of [source, to]) await each.heartbeat();
        for (let given = await to.poll(); given !== null; given = await to.poll())
          await to.tell(failing(given, code, "there is something in the way"));
      }
      expect(await look("bad")).toMatchObject({ state: "FAILED" });
      expect(JSON.stringify(await hub.ask("GET", "/workers"))).not.toContain("kept_apart");
      await submit("good");
      await listIt(source);
      expect((await to.poll())?.request_id).toBe("good");
    },
  );

  test("that does not get on with the last of it is helped by a second one, and what it tells late is not taken", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(1, MIB));
    const [slow, quick] = [worker("dst-1", ["dst-2"]), worker("dst-2", ["dst-1"])];
    await slow.heartbeat();
    await quick.heartbeat();
    await submit("r");
    await listIt(source);
    const first = need(await slow.poll());
    const late = (await slow.carryOut(first)) ?? {};
    for (let second = 0; second < 30; second++) {
      expect(await quick.poll()).toBeNull();
      await clock.advance(1000);
      expect((await slow.heartbeat()).revoked).toEqual([]);
      await quick.heartbeat();
      await source.heartbeat();
    }
    await clock.advance(1000);
    const second = need(await quick.poll());
    expect(second.work).toMatchObject({ kind: "copy", unit: first.work.kind === "copy" ? first.work.unit : "" });
    expect(second.attempt).toBe(first.attempt + 1);
    expect((await slow.heartbeat()).revoked).toMatchObject([{ lease_id: first.lease_id }]);
    expect(await slow.tell(late)).toBe("stale");
    expect(await quick.tell((await quick.carryOut(second)) ?? {})).toBe("ack");
    await work(source, quick);
    expect(await look("r")).toMatchObject({ state: "COMPLETED", transferred_bytes: MIB });
  });

  test("keeps its lease whatever clocks on the wall do, and loses it ten seconds after its last word", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(1, MIB));
    const [holder, other] = [worker("dst-1", ["dst-2"]), worker("dst-2", ["dst-1"])];
    await holder.heartbeat();
    await other.heartbeat();
    await submit("r");
    await listIt(source);
    const first = need(await holder.poll());
    for (const step of [DAY_MS, -2 * DAY_MS, DAY_MS]) {
      clock.stepWall(step);
      for (let second = 0; second < 6; second++) {
        await clock.advance(1000);
        await other.heartbeat();
        await source.heartbeat();
        expect(await other.poll()).toBeNull();
      }
      expect((await holder.heartbeat()).revoked).toEqual([]);
    }
    await clock.advance(9900);
    await other.heartbeat();
    await source.heartbeat();
    expect(await other.poll()).toBeNull();
    await clock.advance(200);
    await other.heartbeat();
    const second = need(await other.poll());
    expect(second.attempt).toBe(first.attempt + 1);
    // It wakes.
    expect((await holder.heartbeat()).revoked).toMatchObject([{ lease_id: first.lease_id }]);
  });

  test("keeps its lease over a store that was away for longer than leases live, once the hub hears of the store again", async () => {
    const heard = newCountedStore();
    const listeners: Parameters<Store["onHint"]>[0][] = [];
    const onHint: Store["onHint"] = (listener) => {
      listeners.push(listener);
      return heard.onHint(listener);
    };
    begin({ store: { ...heard, onHint } });
    const { source, worker } = await makeWorkers(filesOf(1, MIB));
    const [holder, other] = [worker("dst-1", ["dst-2"]), worker("dst-2", ["dst-1"])];
    await holder.heartbeat();
    await other.heartbeat();
    await submit("r");
    await listIt(source);
    const given = need(await holder.poll());
    await clock.advance(25_000);
    for (const listener of listeners) listener({ kind: "all" });
    await clock.advance(0);
    await other.heartbeat();
    await source.heartbeat();
    expect(await other.poll()).toBeNull();
    expect((await holder.heartbeat()).revoked).toEqual([]);
    expect(await holder.tell((await holder.carryOut(given)) ?? {})).toBe("ack");
  });

  test("that asks again without what it was given has never heard of it: it has it at once, through whichever hub, and others have not", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(1, MIB));
    const [holder, other] = [worker("dst-1", ["dst-2"]), worker("dst-2", ["dst-1"])];
    await holder.heartbeat();
    await other.heartbeat();
    await submit("r");
    await listIt(source);
    const ask = { free: 1, boot_id: "b", leases: [] };
    const lost = (await hub.ask("POST", "/workers/dst-1/assignment?wait=0", ask)) as Assignment;
    expect(lost.work.kind).toBe("copy");
    // Its answer may still be on its way, as far as others are concerned.
    expect(await other.poll()).toBeNull();
    await hub.stop();
    begin({ store, clock, hubId: "hub-2" });
    await other.heartbeat();
    await holder.heartbeat();
    expect(await other.poll()).toBeNull();
    // Another process of it cannot know what this one has.
    expect(await hub.ask("POST", "/workers/dst-1/assignment?wait=0", { ...ask, boot_id: "other" })).toBeNull();
    const again = need(await holder.poll());
    expect([again.lease_id === lost.lease_id, again.attempt]).toEqual([false, lost.attempt + 1]);
    expect(await holder.poll()).toBeNull();
    expect(await holder.tell((await holder.carryOut(lost)) ?? {})).toBe("stale");
    expect(await holder.tell((await holder.carryOut(again)) ?? {})).toBe("ack");
    await work(source, holder);
    expect(await look("r")).toMatchObject({ state: "COMPLETED", transferred_bytes: MIB });
  });

  test("that lists may tell each page to another hub, also to one that has heard of no page, and of an earlier request of that name", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(3));
    const to = worker("dst-1");
    await to.heartbeat();
    await submit("r");
    const { hub: other } = openTransferHub({ store, clock, hubId: "hub-2" });
    for (const round of ["first", "second"]) {
      await other.ask("GET", "/sync");
      if (round === "second") {
        await hub.ask("DELETE", "/sync/r");
        await work(to);
        await clock.advance(10_000);
        await work(to);
        await submit("r", { source_path: "/in/second" });
      }
      // It begins once both its workers are heard.
      await source.heartbeat();
      await clock.advance(3000);
      await source.heartbeat();
      const { lease_id, attempt } = need(await source.poll());
      const tell = (through: TransferHub, page: number) =>
        through.ask("POST", "/workers/plan", {
          worker_id: "src-1",
          request_id: "r",
          lease_id,
          attempt,
          page,
          entries: [fileEntry(`f${page}`, 1)],
          is_last: page === 3,
        });
      for (const [page, through] of [hub, other, hub, other].entries()) {
        expect([round, page, await tell(through, page)]).toEqual([round, page, { status: "ack" }]);
      }
      source.held.clear();
      expect(await other.ask("GET", "/sync/r")).toMatchObject({ files_total: 4, is_listed: true });
    }
  });

  test("that closes is given the plan by whichever hub, also by one that has heard nothing of its lease, and others are not", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(3));
    const to = worker("dst-1");
    await to.heartbeat();
    await submit("r");
    // It knows the request, and little of its plan.
    const { hub: other } = openTransferHub({ store, clock, hubId: "hub-2" });
    await other.ask("GET", "/sync");
    await listIt(source);
    await to.tell((await to.carryOut(need(await to.poll()))) ?? {});
    await clock.advance(3000);
    await to.heartbeat();
    expect(need(await to.poll()).work).toMatchObject({ kind: "close", pages: 1 });
    const page = await other.askAs("dst-1")("GET", "/workers/plan/r?page=0");
    expect(page).toMatchObject({ entries: { length: 4 } });
    for (const box of ["src-1", "dst-2"]) {
      const asked = other.askAs(box)("GET", "/workers/plan/r?page=0");
      await expect(asked).rejects.toMatchObject({ code: "refused" });
    }
  });

  test("that was killed has what it held again with the first heartbeat of its next process, and not when the lease runs out", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(1, MIB));
    const old = worker("dst-1", [], { boot_id: "first" });
    await old.heartbeat();
    await submit("r", { bandwidth_mbps: 8 });
    await listIt(source);
    const first = need(await old.poll());
    const late = (await old.carryOut(first)) ?? {};
    await old.heartbeat();
    // Whoever asks without having said so is taken for the process that has it.
    expect(await worker("dst-1").poll()).toBeNull();
    const next = worker("dst-1", [], { boot_id: "second" });
    await next.heartbeat();
    const again = need(await next.poll());
    expect(again.attempt).toBe(first.attempt + 1);
    // What the dead one had takes no part of the rate either.
    expect(again.work).toMatchObject({ kind: "copy", rate_bytes_s: 1_000_000 });
    // A word of the earlier process that was long on its way renews nothing, and takes nothing back.
    expect((await old.heartbeat()).revoked).toMatchObject([
      { lease_id: first.lease_id, reason: "a later process of this worker is there" },
    ]);
    expect(await old.tell(late)).toBe("stale");
    expect((await next.heartbeat()).revoked).toEqual([]);
    expect(await next.poll()).toBeNull();
    expect(await next.tell((await next.carryOut(again)) ?? {})).toBe("ack");
    await work(source, next);
    expect(await look("r")).toMatchObject({ state: "COMPLETED", transferred_bytes: MIB });
  });
});

describe("a transfer", () => {
  test("that nobody can go on with says whose worker is not heard, also while it is being cancelled", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(1, MIB));
    const to = worker("dst-1");
    await to.heartbeat();
    await submit("r");
    await listIt(source);
    const minuteWith = async (heard: FakeWorker) => {
      for (let second = 0; second < 60; second++) {
        await clock.advance(1000);
        await heard.heartbeat();
      }
    };
    await minuteWith(to);
    const why = "it waits: src-1, which has /in/r, is not heard";
    expect(await look("r")).toMatchObject({ state: "PROGRESS", reason: why, workers: [] });
    await minuteWith(source);
    expect((await look("r")).reason).toBe("it waits: dst-1, which has /out/r, is not heard");
    await hub.ask("DELETE", "/sync/r");
    expect((await look("r")).reason).toMatch(/^it was cancelled; .*; it waits: dst-1, which has .*, is not heard$/);
  });

  test("that is cancelled is left with the next heartbeat; late results are gone, then its staging, then itself", async () => {
    begin();
    const { source, worker, target } = await makeWorkers(filesOf(2, MIB));
    const [to, other] = [worker("dst-1", ["dst-2"]), worker("dst-2", ["dst-1"])];
    await to.heartbeat();
    await submit("r");
    await listIt(source);
    const given = need(await to.poll());
    const late = (await to.carryOut(given)) ?? {};
    // Whoever has something asks each second: no later does it hear.
    expect(await to.heartbeat()).toMatchObject({ revoked: [], heartbeat_seconds: 1 });
    // What nobody has begun is gone at once.
    await submit("waits", { source_path: "/elsewhere/x" });
    expect(await hub.ask("DELETE", "/sync/waits")).toMatchObject({ is_confirmed: true });
    await hub.ask("DELETE", "/sync/r");
    expect(await look("r")).toMatchObject({ state: "CANCELLED" });
    // Who asks for the same now would be told of what is about to go.
    await expect(submit("r")).rejects.toMatchObject({ code: "conflict" });
    // Nothing is removed beneath a worker that still writes.
    expect(await to.poll()).toBeNull();
    expect((await to.heartbeat()).revoked).toMatchObject([
      { lease_id: given.lease_id, reason: "its request was cancelled" },
    ]);
    await expect(to.tell(late)).rejects.toMatchObject({ code: "gone" });
    // It has said that it let go: at once, and not when its lease would have run out, also for who has not heard it.
    await other.heartbeat();
    let discard = need(await other.poll());
    // What cannot be removed is not forgotten, however often that fails.
    for (let times = 0; times < 6; times++) {
      await other.tell(failing(discard, "io"));
      for (let turn = 0; turn < 4; turn++) {
        await clock.advance(10_000);
        await other.heartbeat();
      }
      expect(await look("r")).toMatchObject({ state: "CANCELLED" });
      discard = need(await other.poll());
    }
    expect(discard.work.kind).toBe("discard");
    await other.tell((await other.carryOut(discard)) ?? {});
    await clock.advance(0);
    expect(target.isDiscarded).toBe(true);
    await expect(look("r")).rejects.toMatchObject({ code: "not-found" });
    for (const kind of ["transfer-piece", "transfer-units", "transfer-hashes"]) {
      expect([kind, (await store.objects.list(kind, { limit: 10 })).items]).toEqual([kind, []]);
    }
    await expect(to.tell(late)).rejects.toMatchObject({ code: "gone" });
  });

  test("that is over and is forgotten while the hub still writes of its end is gone all the same", async () => {
    const plain = newCountedStore();
    let races = 0;
    const racing: typeof plain.objects = {
      ...plain.objects,
      delete: async (kind, id, context) => {
        const held = kind === TRANSFER_KIND && races < 2 ? await plain.objects.get(kind, id) : undefined;
        if (held !== undefined) {
          races++;
          await plain.objects.put({ kind, id, body: held.body }, { nowMs: clock.wallMs() });
        }
        return plain.objects.delete(kind, id, context);
      },
    };
    begin({ store: { ...plain, objects: racing } });
    const { source, worker } = await makeWorkers(filesOf(1));
    await submit("r");
    await work(source, worker("dst-1"));
    expect(await look("r")).toMatchObject({ state: "COMPLETED" });
    expect(await hub.ask("DELETE", "/sync/r")).toMatchObject({ is_confirmed: true });
    expect(races).toBe(2);
    await expect(look("r")).rejects.toMatchObject({ code: "not-found" });
  });

  test("of high priority is next, however much of a low one is left, and a normal one comes between", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(200, MIB));
    const to = worker("dst-1");
    await to.heartbeat();
    for (const [id, priority] of [
      ["bulk", "low"],
      ["plain", "normal"],
      ["urgent", "high"],
    ] as const) {
      await submit(id, { priority });
      await clock.advance(3000);
      for (let given = await source.poll(); given !== null; given = await source.poll()) await source.carryOut(given);
      await source.heartbeat();
      await to.heartbeat();
      expect((await to.poll())?.request_id).toBe(id);
    }
    for (let turn = 0; turn < 5; turn++) expect((await to.poll())?.request_id).toBe("urgent");
  });

  test("of higher priority is made room for at once by a worker that is full, and by nobody for one that could do nothing", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(200, MIB));
    const to = worker("dst-1");
    await to.heartbeat();
    const isFull = () => hub.ask("POST", "/workers/dst-1/assignment?wait=0", { free: 0 });
    await submit("bulk", { priority: "low" });
    await clock.advance(3000);
    await listIt(source);
    const [first, second] = [need(await to.poll()), need(await to.poll())];
    await isFull();
    // Nothing that is more urgent: not one of the same priority, and not one that waits for a source.
    await submit("equal", { priority: "low" });
    await submit("elsewhere", { priority: "high", source_path: "/nowhere/x" });
    await clock.advance(3000);
    await source.heartbeat();
    expect((await to.heartbeat()).revoked).toEqual([]);
    await submit("urgent", { priority: "high" });
    await clock.advance(3000);
    await source.heartbeat();
    // It is not listed yet: there is nothing to make room for.
    expect((await to.heartbeat()).revoked).toEqual([]);
    for (let given = await source.poll(); given !== null; given = await source.poll()) await source.carryOut(given);
    await isFull();
    const { revoked } = await to.heartbeat();
    expect(revoked).toMatchObject([{ reason: "it makes room for urgent, which is more urgent" }]);
    const [gone] = revoked;
    const let_go = [first, second].find(({ lease_id }) => lease_id === gone?.lease_id);
    // One at a time: it has not asked yet.
    expect((await to.heartbeat()).revoked).toEqual([]);
    expect(await to.tell(failing(need(let_go ?? null), "fenced"))).toBe("ack");
    expect((await to.poll())?.request_id).toBe("urgent");
    await isFull();
    expect((await to.heartbeat()).revoked).toHaveLength(1);
    await isFull();
    // What is left is all urgent.
    for (let beat = 0; beat < 3; beat++) {
      await isFull();
      expect((await to.heartbeat()).revoked).toEqual([]);
    }
    // It costs the other no failure, and it goes on when its turn comes.
    expect(await look("bulk")).toMatchObject({ failures: [], state: "PROGRESS" });
  });

  test("of the same priority that has nothing at a full worker is given a stream of one that holds several for long", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(200, MIB));
    const to = worker("dst-1");
    await to.heartbeat();
    const isFull = () => hub.ask("POST", "/workers/dst-1/assignment?wait=0", { free: 0 });
    await submit("bulk");
    await clock.advance(3000);
    await listIt(source);
    const streams = [need(await to.poll()), need(await to.poll()), need(await to.poll())];
    await submit("other");
    await clock.advance(1000);
    for (let given = await source.poll(); given !== null; given = await source.poll()) await source.carryOut(given);
    await isFull();
    // What is quick makes room by itself.
    expect((await to.heartbeat()).revoked).toEqual([]);
    await clock.advance(4000);
    await source.heartbeat();
    await isFull();
    const { revoked } = await to.heartbeat();
    expect(revoked).toMatchObject([{ reason: "it makes room for other, which has nothing here" }]);
    const gone = streams.find(({ lease_id }) => lease_id === revoked[0]?.lease_id);
    await to.tell(failing(need(gone ?? null), "fenced"));
    expect((await to.poll())?.request_id).toBe("other");
    // Nobody has nothing any more.
    for (let beat = 0; beat < 3; beat++) {
      await clock.advance(6000);
      await source.heartbeat();
      await isFull();
      expect((await to.heartbeat()).revoked).toEqual([]);
    }
    expect(await look("bulk")).toMatchObject({ failures: [], state: "PROGRESS" });
  });

  test("of a source that comes without its listing page, or with a page too many, is refused", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(2));
    await worker("dst-1").heartbeat();
    await submit("r");
    await clock.advance(3000);
    const { lease_id, attempt } = need(await source.poll());
    const page = { worker_id: "src-1", request_id: "r", lease_id, attempt, is_last: true };
    const ask = (entries: readonly unknown[], more: object = {}) =>
      hub.ask("POST", "/workers/plan", { ...page, page: 0, entries, ...more });
    await expect(ask([], { page: 1 })).rejects.toMatchObject({ code: "conflict" });
    for (const path of ["../x", "/etc/passwd", "a//b", "a%00b", ".", "n".repeat(256), "a/".repeat(2100)]) {
      await expect(ask([fileEntry(path, 1)])).rejects.toMatchObject({ code: "invalid" });
    }
    for (const size of [-1, 0.5, Number.MAX_SAFE_INTEGER + 2]) {
      await expect(ask([fileEntry("a", size)])).rejects.toMatchObject({ code: "invalid" });
    }
    await expect(ask(Array.from({ length: 1001 }, (_, at) => fileEntry(`f${at}`, 1)))).rejects.toMatchObject({
      code: "invalid",
    });
    // As large as a number may be: few units all the same.
    expect(await ask([fileEntry("huge", Number.MAX_SAFE_INTEGER)])).toEqual({ status: "ack" });
    const to = worker("dst-1");
    await to.heartbeat();
    expect(need(await to.poll()).chunk_size).toBeGreaterThan(MIB);
  });
});
