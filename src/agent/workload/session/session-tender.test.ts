import { afterEach, expect, test } from "vitest";
import { createFakeClock } from "../../../base/clock.fake.ts";
import { AppError } from "../../../base/errors.ts";
import { createMemoryLog } from "../../../base/log.ts";
import type { LocalSocket } from "../../../base/tcp-table.ts";
import type { SessionPlatformName, SessionPower, SessionRunSpec } from "../../../contract/session-spec.ts";
import type { SessionWorkload } from "../../../contract/workload.ts";
import { NO_MEMORY, type SessionMemory } from "../../registry/session-file.ts";
import type { SessionRun } from "../../runtime/run-handle.ts";
import { createSessionTender } from "./session-tender.ts";

const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

const MARK = { boxId: "b", workloadId: "app", kind: "session", generation: 1, nonce: "n", specHash: "h" };
const asleep = (turn: number): SessionPower => ({ state: "hibernated", turn });
const awake = (turn: number): SessionPower => ({ state: "running", turn });

/** As a cluster tells it. */
const TROUBLE = { cause: "image-missing", message: "ImagePullBackOff", needsRestart: false } as const;

function createWorld(spec: Partial<SessionRunSpec> = {}, platform: SessionPlatformName = "process") {
  const clock = createFakeClock();
  const log = createMemoryLog();
  const told: string[] = [];
  const state = {
    memory: NO_MEMORY as SessionMemory,
    commits: 0,
    wakes: 0,
    power: awake(1) as SessionPower,
    run: undefined as SessionRun | undefined,
    isIdle: true,
    accepts: true,
    sockets: [] as LocalSocket[] | undefined,
    networkPid: undefined as number | undefined,
    datagrams: undefined as number | undefined,
    trouble: undefined as AppError<"unavailable"> | undefined,
    isFrozen: false,
    cpuMs: 0,
  };
  const workload = (): SessionWorkload => ({
    kind: "session",
    id: "app",
    power: state.power,
    spec: { user: "anna", template: { command: ["/bin/app"], ports: [{ port: 80 }] }, ...spec },
  });
  const asked = async <Value>(value: () => Value): Promise<Value> => {
    if (state.trouble !== undefined) throw state.trouble;
    return value();
  };
  const run: SessionRun & { told?: SessionRun["told"] } = {
    label: "container 1",
    mark: MARK,
    isAdopted: false,
    exited: new Promise(() => undefined),
    stat: () => undefined,
    signal: () => true,
    stop: async () => "gone",
    platform,
    instance: "1",
    canFreeze: platform !== "kubernetes",
    freeze: () => asked(() => void Object.assign(state, { isFrozen: true })),
    thaw: () => asked(() => void Object.assign(state, { isFrozen: false })),
    isFrozen: () => asked(() => state.isFrozen),
    endpoints: () =>
      asked(
        () =>
          [
            {
              port: 80,
              protocol: "tcp",
              address: "127.0.0.1",
              hostPort: 21_000,
              isElsewhere: platform === "kubernetes",
            },
          ] as const,
      ),
    usage: () => asked(() => ({ cpuMs: state.cpuMs, memoryBytes: 1000 })),
    networkPid: () => state.networkPid,
  };
  const tender = createSessionTender("app", {
    clock,
    log,
    graceMs: 0,
    file: {
      memory: () => state.memory,
      remember: (memory) => {
        state.memory = memory;
      },
      commit: async () => {
        state.commits += 1;
      },
    },
    workload,
    unit: () => ({ run: state.run, isIdle: state.isIdle }),
    platformOf: () => platform,
    tellEndpoints: () => [],
    accepts: async () => state.accepts,
    sockets: () => state.sockets,
    datagrams: () => state.datagrams,
    wake: () => {
      state.wakes += 1;
    },
    onReady: () => undefined,
    onChange: () => undefined,
    onOccurrence: ({ kind }) => void told.push(kind),
  });
  const stop = new AbortController();
  stops.push(stop);
  void tender.run(stop.signal);
  const settle = async (ms = 0) => {
    tender.poke();
    await clock.advance(ms);
    await clock.advance(0);
  };
  const start = async () => {
    state.isIdle = false;
    await tender.launching(workload());
    state.run = run;
    await settle(100);
  };
  const vanish = async () => {
    Object.assign(state, { run: undefined, isIdle: true, isFrozen: false });
    await settle(100);
  };
  return {
    clock,
    log,
    told,
    state,
    run,
    tender,
    workload,
    settle,
    start,
    vanish,
    status: () => tender.status(workload()),
  };
}

test("a session works once its ports accept, and not before", async () => {
  const box = createWorld();
  box.state.accepts = false;
  await box.start();
  expect(box.tender.health()).toEqual({ isWorking: false, finding: undefined });
  await box.settle(61_000);
  expect(box.tender.health().finding).toMatchObject({ cause: "not-listening", needsRestart: false });
  box.state.accepts = true;
  await box.settle(1000);
  expect(box.tender.health()).toEqual({ isWorking: true, finding: undefined });
  expect(box.status()).toMatchObject({ turn: 1 });
});

test("what an engine accepts in its place does not count before something listens in its own network, where that can be seen", async () => {
  const listening: LocalSocket[] = [
    { inode: 1, address: "0.0.0.0", port: 80, isListening: true, isEstablished: false },
  ];
  const box = createWorld({}, "docker");
  box.state.networkPid = 42;
  await box.start();
  expect(box.tender.health()).toEqual({ isWorking: false, finding: undefined });
  box.state.sockets = listening;
  await box.settle(1000);
  expect(box.tender.health().isWorking).toBe(true);

  const unseen = createWorld({}, "docker");
  Object.assign(unseen.state, { networkPid: 42, sockets: undefined });
  await unseen.start();
  expect(unseen.tender.health().isWorking).toBe(true);
});

test("frozen, it keeps its run; woken, it is the same, and the time until it worked is told", async () => {
  const box = createWorld({ hibernation: "frozen" });
  await box.start();
  box.state.power = asleep(2);
  expect(box.tender.rests(box.workload())).toBeUndefined();
  await box.settle(100);
  expect(box.state.isFrozen).toBe(true);
  expect(box.tender.isAtRest()).toBe(true);
  expect(box.status()).toMatchObject({ turn: 2, sleep: { depth: "frozen", because: "asked" }, hibernations: 1 });
  box.state.accepts = false;
  box.state.power = awake(3);
  await box.settle(500);
  box.state.accepts = true;
  await box.settle(1000);
  expect(box.state.isFrozen).toBe(false);
  expect(box.status().sleep).toBeUndefined();
  expect(box.status()).toMatchObject({ turn: 3, wakes: 1 });
  expect(box.status().wakeMs?.frozen).toBeGreaterThanOrEqual(500);
});

test("stopped, nothing may run until it is woken; a run that dies in its sleep is stopped by then", async () => {
  const cold = createWorld();
  await cold.start();
  cold.state.power = asleep(2);
  expect(cold.tender.rests(cold.workload())).toBe("hibernated");
  await cold.settle(100);
  expect(cold.state.wakes).toBeGreaterThan(0);
  expect(cold.status().sleep).toBeUndefined();
  await cold.vanish();
  expect(cold.status()).toMatchObject({ turn: 2, sleep: { depth: "stopped" } });

  const warm = createWorld({ hibernation: "frozen" });
  await warm.start();
  warm.state.power = asleep(2);
  await warm.settle(100);
  await warm.vanish();
  expect(warm.tender.rests(warm.workload())).toBe("hibernated");
  expect(warm.status()).toMatchObject({ sleep: { depth: "stopped" } });
});

test("in a cluster nothing is frozen: it is scaled to zero", async () => {
  const box = createWorld({ hibernation: "frozen" }, "kubernetes");
  await box.start();
  box.state.power = asleep(2);
  expect(box.tender.rests(box.workload())).toBe("hibernated");
  await box.vanish();
  expect(box.status().sleep?.depth).toBe("scaled-to-zero");
});

test("a platform that cannot be asked is said once, and asked again", async () => {
  const box = createWorld({ hibernation: "frozen" });
  await box.start();
  box.state.trouble = new AppError("unavailable", "the engine is away");
  box.state.power = asleep(2);
  await box.settle(5000);
  expect(box.status().sleep).toBeUndefined();
  expect(box.log.lines.filter((line) => line.includes("the engine is away"))).toHaveLength(1);
  box.state.trouble = undefined;
  await box.settle(2000);
  expect(box.status().sleep?.depth).toBe("frozen");
});

test("unused for its time it falls asleep, which is on disk before anything is done; only a later turn wakes it", async () => {
  const box = createWorld({ idleTimeout: "10s" });
  await box.start();
  await box.settle(5000);
  expect(box.tender.touch()).toBe(true);
  await box.settle(8000);
  expect(box.tender.rests(box.workload())).toBeUndefined();
  expect(box.status().idle?.lastActivity.source).toBe("call");
  const commits = box.state.commits;
  await box.settle(3000);
  expect(box.state.commits).toBe(commits + 1);
  expect(box.tender.rests(box.workload())).toBe("hibernated");
  expect(box.tender.touch()).toBe(false);
  await box.vanish();
  expect(box.status().sleep).toMatchObject({ depth: "stopped", because: "idle" });
  box.state.power = awake(2);
  expect(box.tender.rests(box.workload())).toBeUndefined();
});

test("the countdown goes on where the agent before left it, and its use is written down seldom", async () => {
  const first = createWorld({ idleTimeout: "10m" });
  const socket = { inode: 1, address: "127.0.0.1", port: 21_000, isListening: false, isEstablished: true };
  first.state.sockets = [socket];
  await first.start();
  const uses = new Set<number>();
  for (let second = 0; second < 300; second += 2) {
    await first.settle(2000);
    uses.add(first.state.memory.used?.atMs ?? 0);
  }
  expect(uses.size).toBeLessThanOrEqual(6);
  first.state.sockets = [{ ...socket, isEstablished: false, isListening: true }];
  await first.settle(120_000);
  const before = first.status().idle;

  const next = createWorld({ idleTimeout: "10m" });
  next.state.sockets = first.state.sockets;
  next.state.memory = {
    ...first.state.memory,
    used: { ...first.state.memory.used, atMs: next.clock.wallMs() - 400_000 } as never,
  };
  next.state.isIdle = false;
  next.state.run = { ...next.run, isAdopted: true };
  await next.settle(100);
  const { idle } = next.status();
  expect([before?.lastActivity.source, idle?.lastActivity.source]).toEqual(["connection", "connection"]);
  // What was written is up to a tenth of its time late.
  const leftMs = Date.parse(idle?.hibernatesAt ?? "") - next.clock.wallMs();
  expect(leftMs).toBeGreaterThan(259_000);
  expect(leftMs).toBeLessThanOrEqual(260_000);
  await next.settle(261_000);
  expect(next.tender.rests(next.workload())).toBe("hibernated");
});

test("a try of its own to reach the ports is no use", async () => {
  const box = createWorld({ idleTimeout: "10m" });
  const socket = { inode: 1, address: "127.0.0.1", port: 21_000, isListening: true, isEstablished: false };
  const atMs = box.clock.wallMs() - 400_000;
  box.state.memory = { ...box.state.memory, used: { atMs, source: "call" } };
  box.state.isIdle = false;
  box.state.run = { ...box.run, isAdopted: true };
  // A reading of the sockets that was made while it tried.
  box.state.sockets = [socket, { ...socket, inode: 2, isListening: false, isEstablished: true }];
  await box.settle(100);
  box.state.sockets = [socket];
  await box.settle(5000);
  expect(box.status().idle?.lastActivity.source).toBe("call");
});

test("a connection from outside keeps it awake, and ports that no longer listen are named", async () => {
  const box = createWorld({ idleTimeout: "10s" });
  const socket = { inode: 1, address: "127.0.0.1", port: 21_000, isListening: false, isEstablished: true };
  box.state.sockets = [socket];
  await box.start();
  await box.settle(40_000);
  expect(box.status()).toMatchObject({ openConnections: 1, idle: { lastActivity: { source: "connection" } } });
  expect(box.tender.rests(box.workload())).toBeUndefined();
  expect(box.tender.health().finding).toMatchObject({ cause: "not-listening" });
  box.state.sockets = [{ ...socket, isListening: true }, socket];
  await box.settle(12_000);
  expect(box.tender.health().finding).toBeUndefined();
});

test("it has its time from its first start, asleep or awake, is warned before, and begins anew with a later turn", async () => {
  const box = createWorld({ maxDuration: "10m" });
  await box.start();
  const { endsAt } = box.status();
  await box.settle(301_000);
  expect(box.told).toContain("lifetime");
  box.state.power = asleep(2);
  await box.vanish();
  await box.settle(300_000);
  expect(box.tender.rests(box.workload())).toBe("ended");
  expect(box.status()).toMatchObject({ endsAt, ended: { reason: "it has had its time: maxDuration is 10m" } });
  box.state.power = awake(3);
  expect(box.tender.rests(box.workload())).toBeUndefined();
  await box.start();
  expect(box.status().ended).toBeUndefined();
  expect(Date.parse(box.status().endsAt ?? "")).toBeGreaterThan(Date.parse(endsAt ?? ""));
});

test("a launch that came to nothing is not taken for one that ended while no agent looked", async () => {
  const box = createWorld({ restart: "never" });
  box.state.isIdle = false;
  await box.tender.launching(box.workload());
  await box.settle(100);
  expect(box.state.memory.launched).toBeDefined();
  box.state.isIdle = true;
  await box.settle(100);
  expect(box.state.memory.launched).toBeUndefined();
});

test("one whose platform tells how it does is asked nothing itself, and has its place once it serves", async () => {
  const box = createWorld({}, "kubernetes");
  const report = { isReady: false as boolean, finding: TROUBLE as typeof TROUBLE | undefined };
  box.run.told = () => report;
  box.state.accepts = false;
  await box.start();
  expect(box.tender.health()).toEqual({ isWorking: false, finding: TROUBLE });
  Object.assign(report, { isReady: true, finding: undefined });
  await box.settle(100);
  expect(box.tender.health()).toEqual({ isWorking: true, finding: undefined });
  // A port elsewhere is none of this box's.
  expect(box.tender.hostPorts()).toEqual([]);
  report.isReady = false;
  await box.settle(100);
  expect(box.tender.health().isWorking).toBe(false);
});
