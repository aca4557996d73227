import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock } from "../../base/clock.ts";
import type { CopyItem, Meeting, WorkOf } from "../../contract/transfer/assignment.ts";
import type { JoinHooks, JoinTarget } from "../../remote/router-dialler.ts";
import { createRouterDialler } from "../../remote/router-dialler.ts";
import { startLaneMiddle } from "../../router/lane-middle.fake.ts";
import { ROUTER_ID, type RouterUnderTest, startRouter, ticketFor } from "../../router/router.fake.ts";
import { digestTree } from "../digest-tree.fake.ts";
import { openWorkerWorld, type WorkerWorld } from "../worker-world.fake.ts";

const MIB = 1024 * 1024;
const SIDES = { source: "box", destination: "operator" } as const;
type Side = keyof typeof SIDES;

let router: RouterUnderTest;
let world: WorkerWorld;
let from: string;
/** Of each side: whether it says that it can take a lane is for its dialler, unless it is one that knows of none. */
let knowsLanes: Record<Side, boolean>;
let asked: Side[];
const life: (() => unknown)[] = [];

beforeEach(async () => {
  knowsLanes = { source: true, destination: true };
  asked = [];
  router = await startRouter({ hasLanes: true });
  world = await openWorkerWorld({ trusted: false, diallerFor });
  from = join(world.directory, "source/tree");
  mkdirSync(from);
});
afterEach(async () => {
  world.close();
  for (const end of life.splice(0)) end();
  await router.close();
});

/** As a worker's, with a worker before lanes in its place where the test says so. */
function diallerFor(side: Side) {
  const dialler = createRouterDialler({ client: `${side}/1` }, { clock: systemClock, authorities: () => [] });
  return {
    ...dialler,
    join: async (target: JoinTarget, ...rest: [JoinHooks, AbortSignal]) => {
      const carrier = await dialler.join({ ...target, isSealed: knowsLanes[side] }, ...rest);
      if (carrier.lane !== undefined) asked.push(side);
      return carrier;
    },
  };
}

async function startMiddle(onLane: (near: Socket, far: Socket) => void): Promise<string> {
  const middle = await startLaneMiddle(router.port, onLane);
  life.push(middle.close);
  return middle.url;
}

interface Shape {
  readonly attempt?: number;
  /** Where this side finds the router. */
  readonly urls?: Partial<Record<Side, string>>;
  readonly pins?: Partial<Record<Side, string>>;
  readonly rate?: number;
}

/** Both sides of one lease, as the hub gives them out. */
async function move({ attempt = 1, urls = {}, pins = {}, rate }: Shape = {}) {
  const items: CopyItem[] = (await world.list()).map((entry) => ({ entry, offset: 0, length: entry.size }));
  const meeting = (side: Side): Meeting => ({
    ...world.meeting(side),
    router: { id: ROUTER_ID, url: urls[side] ?? router.url },
    ticket: ticketFor({ sid: `s-${attempt}`, side: SIDES[side], op: "transfer", att: attempt }),
    certificate_sha256: pins[side] ?? world.meeting(side).certificate_sha256,
  });
  const ticket = world.ticket(items, { cert: world.destination.sha256 });
  const sources = [{ ...world.peer(items), endpoints: [], ticket }];
  const paced = rate === undefined ? {} : { rate_bytes_s: rate };
  const copy = { dial: "router", meeting: meeting("destination"), sources, ...paced } as const;
  const serve: WorkOf<"serve"> = {
    kind: "serve",
    copy_lease_id: "lease",
    copy_attempt: attempt,
    source: { storage_id: world.source.storage.id, path: "tree" },
    destinations: [],
    meeting: meeting("source"),
  };
  const [copied, served] = await Promise.allSettled([
    world.run(world.copyWork(items, copy), world.destination, { attempt }),
    world.run(serve, world.source, { attempt }),
  ]);
  return { copied, served };
}

function writeTree(): void {
  mkdirSync(join(from, "sub"));
  writeFileSync(join(from, "big"), randomBytes(3 * MIB + 17));
  for (let index = 0; index < 70; index++) writeFileSync(join(from, `sub/f${index}`), randomBytes(index * 31));
}

const landed = (name: string) => join(world.directory, "destination/tree", name);
const files = (root: string) => digestTree(root, { times: false }).filter((line) => !/^[^ ]*\/ /.test(line));
const metric = (name: string) =>
  Number(
    router.router
      .metrics()
      .split("\n")
      .find((line) => line.startsWith(`router_grpc_${name} `))
      ?.split(" ")[1],
  );
const bytesToBoxAndBack = (name: "bytes_total" | "lane_bytes_total") =>
  metric(`${name}{direction="to_box"}`) + metric(`${name}{direction="from_box"}`);

function expectWhole({ copied, served }: Awaited<ReturnType<typeof move>>): void {
  expect(copied).toMatchObject({ status: "fulfilled", value: { failures: [], way: "router", isDialFailed: false } });
  expect(served).toMatchObject({ status: "fulfilled", value: { way: "router" } });
  expect(files(landed(""))).toEqual(files(from));
}

it("moves a tree over a lane, of which the router and whoever listens can read nothing, and leaves nothing open", async () => {
  writeTree();
  const seen: Buffer[] = [];
  const url = await startMiddle((near, far) => {
    near.on("data", (bytes: Buffer) => seen.push(bytes));
    far.on("data", (bytes: Buffer) => seen.push(bytes));
  });
  expectWhole(await move({ urls: { destination: url } }));
  const inClear = readFileSync(join(from, "big")).subarray(0, 64);
  expect(Buffer.concat(seen).length).toBeGreaterThan(3 * MIB);
  expect(Buffer.concat(seen).includes(inClear)).toBe(false);
  expect(metric('lane_bytes_total{direction="from_box"}')).toBeGreaterThan(3 * MIB);
  expect(bytesToBoxAndBack("bytes_total") - bytesToBoxAndBack("lane_bytes_total")).toBeLessThan(1000);
  await expect.poll(() => router.router.list()).toEqual([]);
  expect([metric("lanes_active"), metric("sessions_active")]).toEqual([0, 0]);
  expect(router.router.metrics()).not.toMatch(/router_grpc_errors_total\{/);
});

it("moves several leases at once, each over a lane of its own", async () => {
  writeFileSync(join(from, "file"), randomBytes(2 * MIB));
  await Promise.all([1, 2, 3].map((attempt) => move({ attempt })));
  expect(asked.length).toBe(6);
  expect(metric('lane_bytes_total{direction="from_box"}')).toBeGreaterThan(4 * MIB);
  expect(files(landed(""))).toEqual(files(from));
});

it.each(["source", "destination"] as const)(
  "goes over the call where the %s's worker knows of no lanes",
  async (side) => {
    knowsLanes[side] = false;
    writeTree();
    expectWhole(await move());
    expect(asked).toEqual([]);
    expect(bytesToBoxAndBack("lane_bytes_total")).toBe(0);
  },
);

it.each([
  ["ends every lane of the source", "source", (near: Socket) => near.destroy()],
  ["ends every lane of the destination", "destination", (near: Socket) => near.destroy()],
  [
    "answers the source as another server",
    "source",
    (near: Socket, far: Socket) => {
      far.destroy();
      near.write("HTTP/1.1 400 Bad Request\r\n\r\n");
    },
  ],
  [
    "changes the handshake of the destination",
    "destination",
    (near: Socket, far: Socket) => {
      near.removeAllListeners("data");
      near.on("data", (bytes: Buffer) => far.write(bytes.map((byte, index) => (index > 60 ? byte ^ 1 : byte))));
    },
  ],
] as const)("goes over the call where something in between %s", async (_, side, act) => {
  writeTree();
  const urls = { [side]: await startMiddle(act) };
  expectWhole(await move({ urls }));
  expect(metric('lane_bytes_total{direction="from_box"}')).toBeLessThan(10_000);
});

it("asks for no lane for a while at a router whose lanes were of no use to this side", async () => {
  writeFileSync(join(from, "file"), randomBytes(MIB));
  const urls = {
    source: await startMiddle((near, far) => {
      far.destroy();
      near.write("HTTP/1.1 400 Bad Request\r\n\r\n");
    }),
  };
  expectWhole(await move({ urls }));
  expect(asked.splice(0)).toHaveLength(2);
  writeFileSync(join(from, "file"), randomBytes(MIB));
  expectWhole(await move({ urls, attempt: 2 }));
  expect(asked).toEqual([]);
});

it.each(["destination", "source"] as const)("refuses who stands in for the other, at the %s's end", async (side) => {
  writeFileSync(join(from, "file"), randomBytes(MIB));
  const outcome = await move({ pins: { [side]: "0".repeat(64) } });
  expect(side === "destination" ? outcome.copied : outcome.served).toMatchObject({
    status: "rejected",
    reason: { code: "unreachable", message: expect.stringMatching(/certificate is not the one that the hub knows/) },
  });
  expect(existsSync(landed("file"))).toBe(false);
});

it("lets nothing land that was changed on its way, and goes over the call the next time", async () => {
  writeFileSync(join(from, "file"), randomBytes(2 * MIB));
  let changed = 0;
  const url = await startMiddle((near, far) => {
    let passed = 0;
    far.removeAllListeners("data");
    far.on("data", (bytes: Buffer) => {
      passed += bytes.length;
      if (passed > 100_000 && changed === 0) {
        changed += 1;
        bytes.writeUInt8((bytes.at(-20) ?? 0) ^ 0x10, bytes.length - 20);
      }
      near.write(bytes);
    });
  });
  const { copied } = await move({ urls: { destination: url } });
  expect([changed, copied]).toMatchObject([1, { status: "rejected", reason: { code: "unreachable" } }]);
  expect(existsSync(landed("file"))).toBe(false);
  await expect.poll(() => router.router.list()).toEqual([]);
  asked = [];
  expectWhole(await move({ urls: { destination: url }, attempt: 2 }));
  expect(asked).toEqual([]);
});

it.each([
  ["the lane is cut", (cut: () => void) => cut()],
  ["the router drains", () => void router.router.drain(100)],
  ["the session is ended", () => void router.router.terminate("s-1", "by bob")],
] as const)("loses no more than 8 MiB where %s, and the next attempt goes on", async (_, act) => {
  const bytes = 48 * MIB;
  const data = randomBytes(bytes);
  writeFileSync(join(from, "file"), data);
  let cut = () => undefined as unknown;
  const url = await startMiddle((near) => {
    cut = () => near.resetAndDestroy();
  });
  const first = move({ urls: { destination: url }, rate: 25e6 });
  const passed = () => metric('bytes_total{direction="from_box"}');
  await expect.poll(passed, { timeout: 30_000, interval: 5 }).toBeGreaterThan(14 * MIB);
  act(() => void cut());
  expect((await first).copied).toMatchObject({ status: "rejected", reason: { code: "unreachable" } });
  await expect.poll(() => router.router.list()).toEqual([]);
  await expect.poll(() => metric("lanes_active")).toBe(0);
  const before = passed();
  if (router.router.isDraining) {
    await router.close();
    router = await startRouter({ hasLanes: true });
  }
  const again = await move({ attempt: 2 });
  expectWhole(again);
  const sentAgain = passed() - (before > passed() ? 0 : before);
  expect(sentAgain).toBeLessThan(bytes - before + 8 * MIB + bytes / 50);
  expect(readFileSync(landed("file")).equals(data)).toBe(true);
});
