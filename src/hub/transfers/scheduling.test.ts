import { describe, expect, test } from "vitest";
import type { FakeClock } from "../../base/clock.fake.ts";
import type { Assignment, WorkOf } from "../../contract/transfer/assignment.ts";
import type { SyncProgress } from "../../contract/transfer/sync-progress.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import { openTransferHub } from "./open-transfer-hub.fake.ts";
import {
  createFakeStorage,
  createFakeWorker,
  type FakeWorker,
  fileEntry,
  type TransferHub,
} from "./transfer-world.fake.ts";

const MIB = 1024 * 1024;
const BARRED = { data_plane_endpoints: [] };
const ROUTED = { ...BARRED, ways: ["direct", "router"], certificate_sha256: "0".repeat(64) };

/** No two to one place: they would wait for each other. */
let submitted = 0;

const MANY = Array.from({ length: 60 }, (_, at) => fileEntry(`f${String(at).padStart(2, "0")}`, MIB));

interface World {
  readonly hub: TransferHub;
  readonly clock: FakeClock;
  readonly src: FakeWorker;
  readonly dst: readonly [FakeWorker, FakeWorker];
  /** All workers are heard, every second, for so long. */
  pass(seconds: number): Promise<void>;
  submit(request?: object): Promise<string>;
  progress(id: string): Promise<SyncProgress>;
  /** Until the source has listed it. */
  list(): Promise<void>;
}

/** One source, and two workers that have the destination's storage. */
async function begin(
  given: { readonly tree?: readonly TransferEntry[]; readonly tells?: object; readonly hasRouter?: boolean } = {},
): Promise<World> {
  const { hub, clock } = openTransferHub({ hasRouter: given.hasRouter ?? false });
  const shared = {
    ask: () => hub.ask,
    source: given.tree ?? [fileEntry("", 10)],
    target: createFakeStorage(),
    tells: given.tells ?? {},
  };
  const make = (id: string, storage: { readonly id: string; readonly path: string }, other?: string) =>
    createFakeWorker(id, {
      ...shared,
      storages: [{ ...storage, ...(other === undefined ? {} : { seen_marks: [`mark-${other}`] }) }],
    });
  const src = make("src-1", { id: "storage-in", path: "/in" });
  const out = { id: "storage-out", path: "/out" };
  const dst = [make("dst-1", out, "dst-2"), make("dst-2", out, "dst-1")] as const;
  const world: World = {
    hub,
    clock,
    src,
    dst,
    pass: async (seconds) => {
      for (let second = 0; second < seconds; second++) {
        await clock.advance(1000);
        for (const worker of [src, ...dst]) await worker.heartbeat();
      }
    },
    submit: async (request = {}) => {
      const body = { source_path: "/in/x", destination_path: `/out/${++submitted}`, chunk_size_mb: 1, ...request };
      const answer = (await hub.ask("POST", "/sync", body)) as { readonly request_id: string };
      await clock.advance(100);
      return answer.request_id;
    },
    progress: async (id) => (await hub.ask("GET", `/sync/${id}`)) as SyncProgress,
    list: async () => {
      const assignment = await src.poll();
      if (assignment?.work.kind !== "list") throw new TypeError("nothing is to be listed");
      const result = await src.carryOut(assignment);
      await src.tell(result ?? {});
      await clock.advance(100);
    },
  };
  await world.pass(1);
  return world;
}

async function required(polled: Promise<Assignment | null>): Promise<Assignment> {
  const assignment = await polled;
  if (assignment === null) throw new TypeError("there is no work");
  return assignment;
}

const failed = ({ request_id, worker_id, lease_id, attempt }: Assignment, more: object = {}) => ({
  request_id,
  worker_id,
  lease_id,
  attempt,
  success: false,
  message: "the disk is gone",
  ...more,
});

test("what takes long while nothing else is left is given to a second worker, and the first comes too late", async () => {
  const world = await begin();
  const [slow, quick] = world.dst;
  const id = await world.submit();
  await world.list();
  const first = await required(slow.poll());
  await world.pass(29);
  expect(await quick.poll()).toBeNull();
  await world.pass(2);
  const second = await required(quick.poll());
  expect([first.attempt, second.attempt, second.work.kind]).toEqual([1, 2, "copy"]);
  const { revoked } = await slow.heartbeat();
  expect(revoked).toEqual([{ lease_id: first.lease_id, reason: "attempt 2 has it" }]);
  const [late, done] = [await slow.carryOut(first), await quick.carryOut(second)];
  expect(await slow.tell(late ?? failed(first, { success: true }))).toBe("stale");
  expect(await quick.tell(done ?? {})).toBe("ack");
  await world.clock.advance(100);
  expect(await world.progress(id)).toMatchObject({ transferred_bytes: 10, files_done: 1 });
});

test("what takes long is not given out again while anything else is left, or is still to be listed, nor to who has it, and next after twice the time", async () => {
  const world = await begin({ tree: [fileEntry("a", MIB), fileEntry("b", MIB)] });
  const [slow, quick] = world.dst;
  await world.submit();
  const listing = await required(world.src.poll());
  const page = { worker_id: "src-1", request_id: listing.request_id, lease_id: listing.lease_id, attempt: 1 };
  const tell = (number: number, entries: readonly TransferEntry[], is_last: boolean) =>
    world.hub.ask("POST", "/workers/plan", { ...page, page: number, entries, is_last });
  await tell(0, [fileEntry("a", MIB), fileEntry("b", MIB)], false);
  const first = await required(slow.poll());
  const pathOf = ({ work }: Assignment) => (work.kind === "copy" ? work.items[0]?.entry.path : work.kind);
  await world.pass(31);
  const other = await required(quick.poll());
  expect([pathOf(first), pathOf(other)]).toEqual(["a", "b"]);
  expect(await quick.tell((await quick.carryOut(other)) ?? {})).toBe("ack");
  expect(await quick.poll()).toBeNull();
  await tell(1, [], true);
  world.src.held.clear();
  await world.clock.advance(100);
  expect(await slow.poll()).toBeNull();
  const second = await required(quick.poll());
  expect([pathOf(second), second.attempt]).toEqual(["a", 2]);
  await world.pass(59);
  expect(await slow.poll()).toBeNull();
  await world.pass(2);
  expect((await required(slow.poll())).attempt).toBe(3);
});

test("a worker whose leases fail at once is kept apart with the cause, twice as long the next time, and others go on", async () => {
  const world = await begin();
  const [bad, good] = world.dst;
  const ids = [await world.submit({ request_id: "one" }), await world.submit({ request_id: "two" })];
  await world.list();
  await world.list();
  const failThree = async () => {
    for (let count = 0; count < 3; ) {
      const assignment = await bad.poll();
      if (assignment === null) await world.pass(1);
      else {
        await bad.tell(failed(assignment));
        count += 1;
      }
    }
  };
  const keptApart = async () => {
    const { active } = (await world.hub.ask("GET", "/workers")) as {
      readonly active: readonly { readonly worker_id: string; readonly kept_apart?: object }[];
    };
    return active.find(({ worker_id }) => worker_id === "dst-1")?.kept_apart;
  };
  await failThree();
  expect(await keptApart()).toMatchObject({ cause: "io: the disk is gone" });
  await world.pass(25);
  expect(await bad.poll()).toBeNull();
  await world.pass(6);
  await failThree();
  await world.pass(31);
  expect(await bad.poll()).toBeNull();
  for (let count = 0; count < 2; count++) {
    const assignment = await required(good.poll());
    expect(await good.tell((await good.carryOut(assignment)) ?? {})).toBe("ack");
  }
  await world.clock.advance(100);
  for (const id of ids) expect(await world.progress(id)).toMatchObject({ files_done: 1 });
});

test("one that failed slowly, or for want of a way or of room, is not kept apart", async () => {
  const world = await begin();
  const [worker] = world.dst;
  await world.submit();
  await world.list();
  const causes = [{}, { dial_failed: true }, { failures: [{ path: "", code: "no-space", message: "full" }] }];
  for (const [index, more] of [...causes, ...causes].entries()) {
    const assignment = await required(worker.poll());
    if (index % 3 === 0) await world.pass(3);
    await worker.tell(failed(assignment, more));
    await world.pass(31);
  }
  expect(await worker.poll()).not.toBeNull();
});

test("one that fails now and then, or slowly, is not kept apart", async () => {
  const world = await begin({ tree: MANY });
  const [worker] = world.dst;
  await world.submit();
  await world.list();
  const tellFast = async () => worker.tell(failed(await required(worker.poll())));
  const tellSlow = async () => {
    const assignment = await required(worker.poll());
    await world.pass(3);
    await worker.tell(failed(assignment));
  };
  for (let count = 0; count < 3; count++) await tellSlow();
  const tellWell = async () => {
    const assignment = await required(worker.poll());
    expect(await worker.tell((await worker.carryOut(assignment)) ?? {})).toBe("ack");
  };
  // Never three at once in a row: one took long between, or one went well.
  for (const between of [tellSlow, tellWell]) {
    await tellFast();
    await tellFast();
    await between();
    await tellFast();
    await tellFast();
    await tellWell();
  }
});

test("one that may not write a storage that another may write is kept apart, and the transfer goes on meanwhile", async () => {
  const world = await begin({ tree: MANY });
  const [bad, good] = world.dst;
  await world.submit();
  await world.list();
  for (let count = 0; count < 3; count++) {
    const assignment = await required(bad.poll());
    const path = assignment.work.kind === "copy" ? assignment.work.items[0]?.entry.path : "";
    await bad.tell(failed(assignment, { failures: [{ path, code: "read-only", message: "EROFS" }] }));
    expect(await good.tell((await good.carryOut(await required(good.poll()))) ?? {})).toBe("ack");
  }
  expect(await bad.poll()).toBeNull();
  await required(good.poll());
});

test("one that may not write one place, which another may write, leaves that transfer to it and works on for others", async () => {
  const world = await begin({ tree: MANY });
  const [bad, good] = world.dst;
  const barred = await world.submit();
  await world.list();
  const deny = async (worker: FakeWorker) => {
    const assignment = await required(worker.poll());
    const items = assignment.work.kind === "copy" ? assignment.work.items : [];
    const failures = items.map(({ entry }) => ({ path: entry.path, code: "denied", message: "EACCES" }));
    await worker.tell(failed(assignment, { failures }));
    return assignment.request_id;
  };
  expect(await deny(bad)).toBe(barred);
  expect(await bad.poll()).toBeNull();
  const other = await world.submit();
  await world.list();
  // However often, for that is said of this place alone.
  for (let count = 0; count < 4; count++) {
    const assignment = await required(bad.poll());
    expect(assignment.request_id).toBe(other);
    expect(await bad.tell((await bad.carryOut(assignment)) ?? {})).toBe("ack");
  }
  // Where the other one may not either, nobody is spared: the failure is the transfer's.
  await world.hub.ask("DELETE", `/sync/${other}`);
  await deny(good);
  await world.pass(1);
  expect(await deny(good)).toBe(barred);
  await world.pass(30);
  expect(await deny(bad)).toBe(barred);
});

test("one that does a part of what it is given is not kept apart", async () => {
  const world = await begin({ tree: [fileEntry("a", 10), fileEntry("b", 10)] });
  const [worker] = world.dst;
  for (let count = 0; count < 4; count++) {
    await world.submit();
    await world.list();
    const assignment = await required(worker.poll());
    const { items, ...result } = (await worker.carryOut(assignment)) ?? {};
    const told = (items as readonly { readonly path: string }[]).filter(({ path }) => path === "a");
    const failures = [{ path: "b", code: "denied", message: "EACCES" }];
    expect(await worker.tell({ ...result, success: false, items: told, failures })).toBe("ack");
  }
});

test("one that fails at once again and again is let try every ten minutes, and after a success as for the first time", async () => {
  const world = await begin({ tree: MANY });
  const [bad] = world.dst;
  await world.submit();
  await world.list();
  const failThree = async () => {
    for (let count = 0; count < 3; count++) await bad.tell(failed(await required(bad.poll())));
    expect(await bad.poll()).toBeNull();
  };
  const expectApart = async (seconds: number) => {
    await world.pass(seconds - 1);
    expect(await bad.poll()).toBeNull();
    await world.pass(2);
  };
  for (const seconds of [30, 60, 120, 240, 480, 600, 600]) {
    await failThree();
    await expectApart(seconds);
  }
  expect(await bad.tell((await bad.carryOut(await required(bad.poll()))) ?? {})).toBe("ack");
  await failThree();
  await expectApart(30);
  expect(await bad.poll()).not.toBeNull();
});

test("a higher priority is served first, and equals in turn", async () => {
  const tree = Array.from({ length: 3 }, (_, index) => fileEntry(`f${index}`, MIB));
  const world = await begin({ tree });
  for (const [request_id, priority] of [
    ["low", "low"],
    ["a", "normal"],
    ["b", "normal"],
    ["high", "high"],
  ])
    await world.submit({ request_id, priority });
  for (let count = 0; count < 4; count++) await world.list();
  const order: string[] = [];
  for (let count = 0; count < 12; count++) order.push((await required(world.dst[0].poll())).request_id);
  expect(order).toEqual(["high", "high", "high", "a", "b", "a", "b", "a", "b", "low", "low", "low"]);
});

test("what is not done by its deadline has failed, whether it waits or is under way, and its leases are taken back", async () => {
  const world = await begin();
  const deadline = (seconds: number) => new Date(world.clock.wallMs() + seconds * 1000).toISOString();
  const waits = await world.submit({ source_path: "/nowhere/x", deadline: deadline(10) });
  const runs = await world.submit({ deadline: deadline(10) });
  await world.list();
  const assignment = await required(world.dst[0].poll());
  await world.pass(9);
  expect((await world.progress(runs)).state).toBe("PROGRESS");
  await world.clock.advance(2000);
  for (const id of [waits, runs]) {
    expect(await world.progress(id)).toMatchObject({
      state: "FAILED",
      reason: expect.stringMatching(/^it was not done by its deadline, /),
    });
  }
  expect((await world.dst[0].heartbeat()).revoked).toEqual([
    { lease_id: assignment.lease_id, reason: "its request has failed" },
  ]);
  const retried = world.hub.ask("POST", `/sync/${runs}/retry`);
  await expect(retried).rejects.toMatchObject({
    code: "conflict",
    message: expect.stringContaining("past its deadline"),
  });
});

test("a deadline that is over is refused, but not of a request that was taken in time and is asked for again", async () => {
  const world = await begin();
  const deadline = new Date(world.clock.wallMs() + 10_000).toISOString();
  await world.submit({ request_id: "same", destination_path: "/out/same", deadline });
  await world.pass(11);
  expect(await world.submit({ request_id: "same", destination_path: "/out/same", deadline })).toBe("same");
  const refused = { code: "invalid", field: "deadline" };
  await expect(world.submit({ request_id: "other", deadline })).rejects.toMatchObject(refused);
  await expect(world.progress("other")).rejects.toMatchObject({ code: "not-found" });
});

test.each([
  [{ source_path: "/elsewhere" }, "no worker has a storage with the source /elsewhere"],
  [
    { source_path: "/etc", source_box: "src-1" },
    "no worker of box src-1 has a storage with the source /etc; it has /in",
  ],
  [
    { destination_path: "/etc", destination_box: "dst-1" },
    "no worker of box dst-1 has a storage with the destination /etc; it has /out",
  ],
  [
    { source_box: "src-9" },
    "no worker of box src-9 has ever been heard: a box has one once its configuration names transfer.storages",
  ],
])(
  "what waits is told what is missing, though workers that know only the plain forms are missing too: %j",
  async (more, reason) => {
    const world = await begin();
    expect(await world.progress(await world.submit(more))).toMatchObject({ state: "QUEUED", reason });
  },
);

describe("a worker that has both sides", () => {
  const both = async (tells: object, seen: readonly string[] = []) => {
    const world = await begin({ tells: BARRED });
    const storages = [
      { id: "storage-in", path: "/mount", seen_marks: seen },
      { id: "storage-here", path: "/here" },
    ];
    const shared = { ask: () => world.hub.ask, source: [fileEntry("", 10)], target: createFakeStorage() };
    const worker = createFakeWorker("both", { ...shared, storages, tells });
    await worker.heartbeat();
    return { world, worker };
  };
  const here = { source_path: "/mount/x", destination_path: "/here/x" };

  test("copies between them without any way to anybody, and is paced like any", async () => {
    const { world, worker } = await both(BARRED);
    const id = await world.submit({ ...here, bandwidth_mbps: 8 });
    const listing = await required(worker.poll());
    await worker.tell((await worker.carryOut(listing)) ?? {});
    await world.clock.advance(100);
    const { work } = await required(worker.poll());
    expect(work).toMatchObject({ kind: "copy", local: true, sources: [], rate_bytes_s: 1_000_000 });
    expect(await world.progress(id)).toMatchObject({ state: "PROGRESS", reason: "it is being copied" });
  });

  test.each([
    [{}, { local: true }],
    [{ source_box: "src-1" }, { local: false, dial: "source" }],
  ])("of which one is another box's too reads it itself, unless that box is named: %o", async (named, expected) => {
    const { world, worker } = await both({ ...BARRED, data_plane_endpoints: ["both:1"] }, ["mark-src-1"]);
    await world.submit({ ...here, source_path: "/in/x", ...named });
    await world.list();
    expect((await required(worker.poll())).work).toMatchObject({ kind: "copy", ...expected });
  });
});

describe("two workers of which neither listens", () => {
  const copyOf = ({ work }: Assignment): WorkOf<"copy"> => {
    if (work.kind !== "copy") throw new TypeError(`it is ${work.kind}`);
    return work;
  };
  const serveOf = async (world: World): Promise<Assignment & { readonly work: WorkOf<"serve"> }> => {
    const given = (await world.hub.ask("POST", "/workers/src-1/assignment?wait=0", { free: 0 })) as Assignment;
    if (given?.work.kind !== "serve") throw new TypeError("there is nothing to serve");
    return { ...given, work: given.work };
  };
  const claimsOf = (ticket = "") => JSON.parse(Buffer.from(ticket.split(".")[1] ?? "", "base64url").toString());

  test("wait, with the reason, where there is no router or one of them may not use it", async () => {
    for (const tells of [ROUTED, { ...BARRED, ways: ["direct"] }]) {
      const world = await begin({ tells, hasRouter: tells !== ROUTED });
      const id = await world.submit();
      await world.list();
      expect(await world.dst[0].poll()).toBeNull();
      const why = tells === ROUTED ? "there is no router" : "dst-1 may not use a router \\(transfer.ways\\)";
      expect((await world.progress(id)).reason).toMatch(
        new RegExp(`neither dst-1 nor src-1 can dial the other .*, and ${why}`),
      );
    }
  });

  test("are sent to one router, each with a ticket of its own for this attempt and the other's certificate", async () => {
    const world = await begin({ tells: ROUTED, hasRouter: true });
    const id = await world.submit();
    await world.list();
    const copy = await required(world.dst[0].poll());
    const { dial, meeting } = copyOf(copy);
    const serve = await serveOf(world);
    expect(dial).toBe("router");
    const claims = [claimsOf(meeting?.ticket), claimsOf(serve.work.meeting?.ticket)];
    expect(claims.map(({ side }) => side)).toEqual(["operator", "box"]);
    for (const one of claims) {
      expect(one).toMatchObject({
        sid: copy.lease_id.replaceAll(":", "."),
        att: 1,
        box: "src-1",
        sub: "transfer:dst-1",
        aud: "router-1",
        exp: one.iat + 60,
      });
    }
    expect(claims[0]?.jti).not.toBe(claims[1]?.jti);
    expect([meeting?.worker_id, serve.work.meeting?.worker_id]).toEqual(["src-1", "dst-1"]);
    // The ticket that opens the bytes is for the destination alone.
    expect(JSON.stringify(serve)).not.toContain(copyOf(copy).sources[0]?.ticket);

    const result = await world.dst[0].carryOut(copy);
    expect(await world.dst[0].tell({ ...result, way: "router" })).toBe("ack");
    expect((await world.progress(id)).ways).toEqual(["router"]);
    // Nobody waits for what it serves any more.
    world.src.held.set(serve.lease_id, serve);
    expect((await world.src.heartbeat()).revoked).toMatchObject([{ lease_id: serve.lease_id }]);
  });

  test("where the source cannot get there, the destination need not wait for it: it is told, and tried again", async () => {
    const world = await begin({ tells: ROUTED, hasRouter: true });
    const id = await world.submit();
    await world.list();
    const copy = await required(world.dst[0].poll());
    const serve = await serveOf(world);
    const message = "dst-1 through the router router-1: no answer";
    await world.src.tell(failed(serve, { dial_failed: true, way: "router", message }));
    expect((await world.dst[0].heartbeat()).revoked).toEqual([
      { lease_id: copy.lease_id, reason: "its result was taken" },
    ]);
    expect(await world.progress(id)).toMatchObject({
      ways_given_up: [{ worker_id: "dst-1", way: "router", reason: message }],
    });
    await world.pass(1);
    // It is the one way that there is.
    const again = await required(world.dst[0].poll());
    expect([again.attempt, copyOf(again).dial]).toEqual([2, "router"]);
    expect((await serveOf(world)).attempt).toBe(2);
  });
});

describe("a destination that waits for who was sent to it", () => {
  const heard = (world: World, boot: string) =>
    world.hub.ask("POST", "/workers/heartbeat", {
      worker_id: "src-1",
      status: "IDLE",
      ...ROUTED,
      storages: [{ id: "storage-in", path: "/in", read: true, write: true, mark: "mark-src-1" }],
      boot_id: boot,
      sequence: 1000,
      leases: [],
    });
  /** Neither can dial the other: who brings it is sent to a router, as it would be to the destination. */
  const sent = async () => {
    const world = await begin({ tells: ROUTED, hasRouter: true });
    const id = await world.submit();
    await world.list();
    const copy = await required(world.dst[0].poll());
    return { world, id, copy };
  };
  const serve = (world: World) => world.hub.ask("POST", "/workers/src-1/assignment?wait=0", { free: 0 });

  test("is told with its next heartbeat when that one has begun anew before it came, and the next attempt is sent for", async () => {
    const { world, copy } = await sent();
    await serve(world);
    expect((await world.dst[0].heartbeat()).revoked).toEqual([]);
    await heard(world, "c");
    expect((await world.dst[0].heartbeat()).revoked).toEqual([
      { lease_id: copy.lease_id, reason: "src-1, which was to bring it, has begun anew" },
    ]);
    await world.dst[0].tell(
      failed(copy, { failures: [{ path: "", code: "fenced", message: "the hub has taken the lease back" }] }),
    );
    await world.clock.advance(1000);
    await heard(world, "c");
    const again = await required(world.dst[0].poll());
    expect(again.attempt).toBe(2);
    expect(await serve(world)).toMatchObject({ work: { kind: "serve", copy_attempt: 2 } });
    expect((await world.dst[0].heartbeat()).revoked).toEqual([]);
  });

  test("waits for its next process too, where that one takes it on, and lets go once it is not heard any more", async () => {
    const { world, copy } = await sent();
    await heard(world, "c");
    await serve(world);
    expect((await world.dst[0].heartbeat()).revoked).toEqual([]);
    for (let second = 0; second < 16; second++) {
      await world.clock.advance(1000);
      if (second < 14) expect((await world.dst[0].heartbeat()).revoked).toEqual([]);
    }
    expect((await world.dst[0].heartbeat()).revoked).toEqual([
      { lease_id: copy.lease_id, reason: "src-1, which was to bring it, is not heard any more" },
    ]);
  });

  test("that has got everything is left alone, whatever becomes of who brought it", async () => {
    const { world } = await sent();
    const served = (await serve(world)) as Assignment;
    await world.src.tell({ ...failed(served), success: true, message: "" });
    await heard(world, "c");
    expect((await world.dst[0].heartbeat()).revoked).toEqual([]);
  });
});

test("a way that leads nowhere is followed by the next one, and is tried again later", async () => {
  const world = await begin({ tells: { ...ROUTED, data_plane_endpoints: ["10.0.0.1:8470"] }, hasRouter: true });
  const [worker] = world.dst;
  const id = await world.submit();
  await world.list();
  const dials: string[] = [];
  const next = async (way: string) => {
    const assignment = await required(worker.poll());
    dials.push(assignment.work.kind === "copy" ? assignment.work.dial : assignment.work.kind);
    await worker.tell(failed(assignment, { dial_failed: true, way, message: `${way}: no answer` }));
    await world.pass(9);
  };
  for (const way of ["destination", "source", "router"]) await next(way);
  expect(dials).toEqual(["destination", "source", "router"]);
  expect((await world.progress(id)).ways_given_up.map(({ way }) => way)).toEqual(["destination", "source", "router"]);
  await next("destination");
  expect(dials.at(-1)).toBe("destination");
});
