import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createFakeClock, type FakeClock } from "../../base/clock.fake.ts";
import { systemClock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { RemoteAdmission } from "../../contract/fleet/remote.ts";
import type { CarrierEnd } from "../../remote/carrier.ts";
import { type CarrierPair, createCarrierPair } from "../../remote/carrier-pair.fake.ts";
import type { JoinTarget } from "../../remote/router-dialler.ts";
import { askKeeper, findLinks } from "./ask-keeper.ts";
import { type LinkKeeperDeps, runLinkKeeper } from "./keep-link.ts";
import { connectKeptLink, type KeptLink } from "./kept-link.ts";

const never = new AbortController().signal;
/** Sockets are the system's: how soon they tell of what happened is no matter of the injected clock. */
const seen = (look: () => unknown) => vi.waitFor(look, { timeout: 20_000, interval: 5 });
const ROUTER = { id: "r-1", url: "https://router.test" };
const TARGET: JoinTarget = { router: ROUTER, ticket: "secret", traffic: "bulk", isSealed: false };
const ADMISSION: RemoteAdmission = {
  id: "s-1",
  box: "north-1",
  ticket: "secret",
  router: ROUTER,
  expiresAt: "2026-01-15T10:30:45.000Z",
  attempt: 1,
  limits: { idleSeconds: 1800, maxSeconds: 28_800, resumeSeconds: 300 },
};

let directory = "";
let path = "";
let clock: FakeClock;
let stop: AbortController;
let links: KeptLink[];
let running: Promise<void>[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-keep-"));
  path = join(directory, `${"a".repeat(24)}.link`);
  clock = createFakeClock();
  stop = new AbortController();
  links = [];
  running = [];
});
afterEach(async () => {
  for (const link of links) link.close();
  stop.abort();
  await Promise.all(running);
  rmSync(directory, { recursive: true, force: true });
});

interface World {
  readonly asked: string[];
  readonly prepared: string[];
  readonly pairs: CarrierPair[];
  readonly ended: Promise<void>;
  /** What the hub answers everything with from here on. */
  fail(fault: AppError): void;
}

let pids = 100;
async function keeper(options: { readonly idleSeconds?: number } = {}): Promise<World> {
  const world = { asked: [] as string[], prepared: [] as string[], pairs: [] as CarrierPair[] };
  let fault: AppError | undefined;
  const say = async <Value>(what: string, value: Value): Promise<Value> => {
    world.asked.push(what);
    if (fault !== undefined) throw fault;
    return value;
  };
  pids += 1;
  const pid = pids;
  const deps: LinkKeeperDeps = {
    clock,
    pid,
    client: {
      create: (box) => say(`create ${box}`, ADMISSION),
      rejoin: (id) => say(`rejoin ${id}`, { ...ADMISSION, attempt: 2 }),
      get: (id) => say(`get ${id}`, { state: "open", reason: "both ends are there" }),
      check: async () => void (await say("check", undefined)),
    },
    dialler: {
      join: async ({ ticket }) => {
        await say(`join ${ticket}`, undefined);
        const pair = createCarrierPair();
        world.pairs.push(pair);
        return pair.operator;
      },
      prepare: ({ router, traffic }) => void world.prepared.push(`${traffic} ${router.id}`),
      close: () => undefined,
    },
    findBox: (given) => say(`find ${given}`, "north-1"),
  };
  const ended = runLinkKeeper(
    { path, hub: "https://hub.test", version: "1.2.3", idleSeconds: options.idleSeconds ?? 600, routers: [TARGET] },
    deps,
    stop.signal,
  );
  running.push(ended);
  // It is there once its socket has its name, and not that of its process.
  await Promise.race([
    ended,
    seen(() => expect(readdirSync(directory)).not.toContain(`${"a".repeat(24)}.link.${pid}`)),
  ]);
  await seen(() => expect(existsSync(path)).toBe(true));
  const fail = (given: AppError) => {
    fault = given;
  };
  return { ...world, ended, fail };
}

async function connect(idleSeconds = 600): Promise<KeptLink> {
  const link = await connectKeptLink(path, { idleSeconds, clock: systemClock });
  if (link === undefined) throw new AppError("unavailable", "nobody keeps a link");
  links.push(link);
  return link;
}

test("commands ask the hub through it, and hear the hub's own word", async () => {
  const world = await keeper();
  const link = await connect();
  expect(await link.call({ name: "create", box: "north-1", body: {} as never }, never)).toEqual(ADMISSION);
  expect(await link.call({ name: "find", given: "north" }, never)).toBe("north-1");
  world.fail(new AppError("exhausted", "16 sessions are open", { field: "box" }));
  await expect(link.call({ name: "rejoin", session: "s-1", key: "k" }, never)).rejects.toMatchObject({
    code: "exhausted",
    message: "16 sessions are open",
    field: "box",
  });
  expect(world.prepared).toEqual(["bulk r-1"]);
});

test("frames go through it both ways as they are, and the router's word for the end", async () => {
  const world = await keeper();
  const link = await connect();
  const carrier = await link.join(TARGET, {}, never);
  const there: string[] = [];
  const here: string[] = [];
  const end = Promise.withResolvers<CarrierEnd>();
  const [pair] = world.pairs;
  pair?.box.listen({
    onFrame: (pieces) => void there.push(Buffer.concat(pieces).toString("latin1")),
    onDrain: () => undefined,
    onEnd: () => undefined,
  });
  carrier.listen({
    onFrame: (pieces) => void here.push(Buffer.concat(pieces).toString("latin1")),
    onDrain: () => undefined,
    onEnd: end.resolve,
  });
  const big = "\0\xff".repeat(400_000);
  carrier.send([Buffer.from("a"), Buffer.from(big, "latin1")]);
  pair?.box.send([Buffer.from(big, "latin1")]);
  pair?.box.send([Buffer.from("b")]);
  await seen(() => expect([there.length, here.length]).toEqual([1, 2]));
  expect([there[0] === `a${big}`, here[0] === big, here[1]]).toEqual([true, true, "b"]);
  pair?.box.finish();
  expect((await end.promise).reason).toBe("peer-done");
});

test("a keeper that is killed breaks the carrier, and answers nothing any more", async () => {
  await keeper();
  const link = await connect();
  const carrier = await link.join(TARGET, {}, never);
  const end = new Promise<CarrierEnd>((resolve) =>
    carrier.listen({ onFrame: () => undefined, onDrain: () => undefined, onEnd: resolve }),
  );
  stop.abort();
  expect(await end).toMatchObject({ reason: "broken" });
  await seen(() => expect(link.isGone).toBe(true));
  await expect(link.call({ name: "get", session: "s-1" }, never)).rejects.toMatchObject({ code: "unavailable" });
});

test("it ends so long after its last use as the last command said, and takes its socket away", async () => {
  const world = await keeper({ idleSeconds: 600 });
  const link = await connect(90);
  await clock.advance(3_600_000);
  expect(existsSync(path)).toBe(true);
  link.close();
  await seen(async () => expect((await askKeeper(path, "status", systemClock))?.kind).toBe("status"));
  await seen(async () => expect(await askKeeper(path, "status", systemClock)).toMatchObject({ endsInSeconds: 90 }));
  await clock.advance(89_000);
  expect(existsSync(path)).toBe(true);
  await clock.advance(1000);
  await world.ended;
  expect(readdirSync(directory)).toEqual([]);
});

test("a look at it is no use of it", async () => {
  const world = await keeper({ idleSeconds: 60 });
  await clock.advance(59_000);
  expect(await findLinks(directory, systemClock)).toMatchObject([
    { hub: "https://hub.test", version: "1.2.3", commands: 0, ageSeconds: 59, endsInSeconds: 1 },
  ]);
  await clock.advance(1000);
  await world.ended;
});

test("told to stop it is found no more, and ends with the last command that uses it", async () => {
  const world = await keeper();
  const link = await connect();
  expect(await askKeeper(path, "stop", systemClock)).toEqual({ kind: "stopped" });
  expect(existsSync(path)).toBe(false);
  expect(await link.call({ name: "get", session: "s-1" }, never)).toMatchObject({ state: "open" });
  link.close();
  await world.ended;
});

test("a token that is none any more ends it: by a command's request, and by its own look", async () => {
  for (const comesUpon of ["call", "look"]) {
    const world = await keeper();
    const link = await connect();
    world.fail(new AppError("unauthorized", "the token was revoked"));
    if (comesUpon === "look") await clock.advance(45_000);
    else await link.call({ name: "get", session: "s-1" }, never).catch(() => undefined);
    await seen(() => expect(existsSync(path)).toBe(false));
    link.close();
    await world.ended;
  }
});

test("of two that begin, one is found; the other ends", async () => {
  const first = await keeper();
  const second = await keeper();
  await second.ended;
  expect(await findLinks(directory, systemClock)).toHaveLength(1);
  // As one that began in the same moment would: it takes the name.
  rmSync(path);
  const third = await keeper();
  await clock.advance(45_000);
  await first.ended;
  expect(await (await connect()).call({ name: "find", given: "x" }, never)).toBe("north-1");
  expect(third.asked).toContain("find x");
});

test("what a keeper that was killed left behind holds up nobody", async () => {
  writeFileSync(path, "");
  expect(await connectKeptLink(path, { idleSeconds: 1, clock: systemClock })).toBeUndefined();
  await keeper();
  await connect();
});

test("one that does not greet is none: its socket may be a stopped process's", async () => {
  const { createServer } = await import("node:net");
  const server = createServer(() => undefined);
  await new Promise<void>((done) => server.listen(path, done));
  const mute = createFakeClock();
  const waiting = connectKeptLink(path, { idleSeconds: 1, clock: mute });
  await mute.advance(1000);
  expect(await waiting).toBeUndefined();
  server.close();
});
