import { expect, test } from "vitest";
import { workerHeartbeatSchema } from "../../contract/transfer/worker-heartbeat.ts";
import { chooseWay, type GivenUp } from "./choose-way.ts";
import { createWayBook } from "./way-book.ts";
import type { Worker } from "./worker-record.ts";

interface Given {
  readonly listens?: boolean;
  readonly ways?: readonly ("direct" | "router")[];
  readonly certificate?: boolean;
}

function worker(id: string, { listens = false, ways = ["direct", "router"], certificate = true }: Given = {}): Worker {
  const heartbeat = workerHeartbeatSchema.parse({
    worker_id: id,
    status: "IDLE",
    storages: [],
    ways,
    ...(listens ? { data_plane_endpoints: [`${id}:8470`] } : {}),
    ...(certificate ? { certificate_sha256: "0".repeat(64) } : {}),
  });
  return { id, revision: 1, heardMs: 0, heartbeat };
}

const STORAGE = { id: "storage-1", path: "/data", read: true, write: true, seen_marks: [] };
const choose = (
  to: Given,
  from: Given | readonly Given[],
  more: {
    readonly router?: string;
    readonly givenUp?: readonly GivenUp[];
    readonly nowMs?: number;
    readonly holders?: readonly string[];
  } = {},
) => {
  const all = Array.isArray(from) ? (from as readonly Given[]) : [from as Given];
  const choice = chooseWay({
    destination: worker("to", to),
    sources: all.map((given, index) => ({ worker: worker(`from-${index}`, given), storage: STORAGE })),
    holders: (more.holders ?? []).map((id) => ({ worker: worker(id), storage: STORAGE })),
    routerProblem: more.router,
    givenUp: more.givenUp ?? [],
    nowMs: more.nowMs ?? 0,
  });
  if ("problem" in choice) return choice.problem;
  return [choice.way, ...(choice.way === "local" ? [] : choice.sources.map((member) => member.worker.id))];
};
const given = (way: GivenUp["way"], atMs: number): GivenUp => ({ way, reason: "", atMs, untilMs: 1000, times: 1 });

test("the destination dials, else the source, else both meet in a router", () => {
  expect(choose({ listens: true }, { listens: true })).toEqual(["destination", "from-0"]);
  expect(choose({ listens: true }, {})).toEqual(["source", "from-0"]);
  expect(choose({}, {})).toEqual(["router", "from-0"]);
  expect(choose({}, [{}, { listens: true }])).toEqual(["destination", "from-1"]);
});

test("who has the source itself needs neither another worker nor a way, whatever was given up", () => {
  expect(choose({}, [], { holders: ["other", "to"] })).toEqual(["local"]);
  const givenUp = [given("destination", 1)];
  expect(choose({ listens: true }, { listens: true }, { holders: ["to"], givenUp })).toEqual(["local"]);
  expect(choose({ listens: true }, { listens: true }, { holders: ["other"] })).toEqual(["destination", "from-0"]);
});

test("what was given up comes last, in the order in which it was given up, and first again when its time is over", () => {
  const [to, from] = [{ listens: true }, { listens: true }];
  expect(choose(to, from, { givenUp: [given("destination", 1)] })[0]).toBe("source");
  expect(choose(to, from, { givenUp: [given("destination", 1), given("source", 2)] })[0]).toBe("router");
  const all = [given("destination", 9), given("source", 2), given("router", 5)];
  expect(choose(to, from, { givenUp: all })[0]).toBe("source");
  expect(choose(to, from, { givenUp: all, nowMs: 1000 })[0]).toBe("destination");
  // The one way that there is is tried however often it failed.
  expect(choose({}, {}, { givenUp: [given("router", 1)] })[0]).toBe("router");
});

test("a box that forbids a way is not led there, from either end", () => {
  const direct = "neither to nor from-0 can dial the other (transfer.listen, transfer.ways)";
  expect(choose({ listens: true, ways: ["router"] }, { listens: true })).toEqual(["router", "from-0"]);
  expect(choose({ listens: true }, { ways: ["router"] })).toEqual(["router", "from-0"]);
  expect(choose({ ways: ["direct"] }, {})).toBe(`${direct}, and to may not use a router (transfer.ways)`);
  expect(choose({}, { ways: ["direct"] })).toBe(`${direct}, and from-0 may not use a router (transfer.ways)`);
  expect(choose({ ways: [] }, { listens: true })).toBe(`${direct}, and to may not use a router (transfer.ways)`);
  expect(choose({}, [{ ways: ["direct"] }, {}])).toEqual(["router", "from-1"]);
});

test("without a router, and without a certificate to know the other by, there is none", () => {
  expect(choose({}, {}, { router: "there is no router" })).toMatch(/, and there is no router$/);
  expect(choose({ certificate: false }, {})).toMatch(/to may not use a router/);
});

test("a way rests longer each time that it is tried in vain, and not at all once bytes have come by it", () => {
  let nowMs = 0;
  const book = createWayBook({ clock: { monotonicMs: () => nowMs } });
  const untilMs = () => book.of("to", "s")[0]?.untilMs;
  const fail = () => book.giveUp("to", "s", { way: "destination", reason: "no answer" });
  fail();
  fail();
  // Leases that fail together count once.
  expect(untilMs()).toBe(30_000);
  nowMs = 30_000;
  fail();
  expect(untilMs()).toBe(90_000);
  for (let round = 0; round < 10; round++) {
    nowMs = untilMs() ?? 0;
    fail();
  }
  expect((untilMs() ?? 0) - nowMs).toBe(600_000);
  expect(book.of("to", "other")).toEqual([]);
  book.worked("to", "s", "destination");
  expect(book.of("to", "s")).toEqual([]);
});

test("of the next router that which failed last is to be left out, until bytes have come by it", () => {
  const book = createWayBook({ clock: { monotonicMs: () => 0 } });
  book.sent("to", "s", "router-1");
  expect(book.badRouter("to", "s")).toBeUndefined();
  book.giveUp("to", "s", { way: "router", reason: "broken" });
  expect(book.badRouter("to", "s")).toBe("router-1");
  book.worked("to", "s", "router");
  expect(book.badRouter("to", "s")).toBeUndefined();
});
