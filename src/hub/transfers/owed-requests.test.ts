import { expect, test } from "vitest";
import { startTestHub, type TestHub } from "../hub-world.fake.ts";
import { owedFor, owedWith } from "./owed-requests.ts";
import { createFakeStorage, createFakeWorker, type FakeWorker, fileEntry } from "./transfer-world.fake.ts";

const UID = "a-transfer";

test("work that is given out for the first time owes who asked, and who serves its result too", () => {
  expect(owedWith({ attempt: 1, work: { kind: "copy" } })).toBe(1);
  expect(owedWith({ attempt: 1, work: { kind: "serve" } })).toBe(2);
});

test("nothing, work that was given out before, and work that is given again as it is owe nobody", () => {
  expect(owedWith(undefined)).toBe(0);
  expect(owedWith({ attempt: 2, work: { kind: "copy" } })).toBe(0);
  expect(owedWith({ attempt: 2, work: { kind: "serve" } })).toBe(0);
  expect(owedWith({ attempt: 1, work: { kind: "plain" } })).toBe(0);
});

test("a result that is taken owes who told it, and not one that may be told again", () => {
  expect(owedFor({ lease_id: `${UID}:0.1:3` }, "ack")).toBe(1);
  expect(owedFor({}, "ack")).toBe(1);
  expect(owedFor({ lease_id: `${UID}:0.1:3` }, "duplicate")).toBe(0);
  expect(owedFor({ lease_id: `${UID}:0.1:3` }, "stale")).toBe(0);
  expect(owedFor({ lease_id: `${UID}:serve-0.1:1` }, "ack")).toBe(0);
});

/** So many requests at once, and hardly any more. */
const LIMITS = { operatorPerSecond: 1000, boxPerSecond: 1000, workerPerSecond: 1, addressPerSecond: 1000 };
const BURST = 8;
const MIB = 1024 * 1024;
const FILES = 60;

interface Busy {
  readonly worker: FakeWorker;
  readonly token: string;
  /** What the hub has answered to all that it was asked. */
  readonly statuses: number[];
}

/** A worker that has a transfer of many short pieces to do, with the key of its box. */
async function beginBusy(hub: TestHub): Promise<Busy> {
  const token = await hub.enrol("box-1");
  const statuses: number[] = [];
  const ask = async (method: string, path: string, body?: unknown) => {
    const { status, body: answer } = await hub.ask(method, path, { token, body });
    statuses.push(status);
    return answer;
  };
  const worker = createFakeWorker("box-1", {
    ask: () => ask,
    storages: [
      { id: "storage-1", path: "/from" },
      { id: "storage-2", path: "/to" },
    ],
    source: Array.from({ length: FILES }, (_, index) => fileEntry(`f${index}`, MIB)),
    target: createFakeStorage(),
  });
  await worker.heartbeat();
  await hub.ask("POST", "/sync", {
    body: { request_id: "many", source_path: "/from", destination_path: "/to/copy", chunk_size_mb: 1 },
  });
  return { worker, token, statuses };
}

test("a worker that does what it is given is not told to wait, however quick it is", async () => {
  await using hub = await startTestHub({ limits: LIMITS });
  const { worker, statuses } = await beginBusy(hub);
  let done = 0;
  for (let idle = 0; idle < 4; ) {
    const assignment = await worker.poll();
    if (assignment === null) {
      idle++;
      continue;
    }
    const result = await worker.carryOut(assignment);
    await worker.tell(result ?? {});
    done++;
  }
  expect(done).toBeGreaterThanOrEqual(FILES);
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
});

const inVain = {
  "for more, where it gets nothing": () => ["/workers/box-1/assignment?wait=0", { free: 0 }],
  "for what it has, as if it were lost": () => [
    "/workers/box-1/assignment?wait=0",
    { free: 1, boot_id: "b", leases: [] },
  ],
  "that the same be taken once more": (result) => ["/workers/result", result],
} satisfies Record<string, (result: unknown) => readonly [path: string, body: unknown]>;

test.each(Object.entries(inVain))("a worker that asks on and on %s is told to wait", async (_, next) => {
  await using hub = await startTestHub({ limits: LIMITS });
  const { worker, token } = await beginBusy(hub);
  const listing = await worker.poll();
  await worker.tell((listing === null ? undefined : await worker.carryOut(listing)) ?? {});
  const copying = await worker.poll();
  const result = copying === null ? undefined : await worker.carryOut(copying);
  expect(result).toBeDefined();

  const statuses: number[] = [];
  while (statuses.length < FILES && !statuses.includes(429)) {
    const [path, body] = next(result);
    statuses.push((await hub.ask("POST", path, { token, body })).status);
  }
  expect(statuses.slice(0, -1).every((status) => status === 200)).toBe(true);
  expect(statuses.at(-1)).toBe(429);
  expect(statuses.length).toBeLessThanOrEqual(2 * BURST);
});
