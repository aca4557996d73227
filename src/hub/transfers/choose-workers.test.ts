import { describe, expect, test } from "vitest";
import { seededRandom } from "../../base/random.ts";
import { absolutePathSchema } from "../../contract/transfer/transfer-path.ts";
import { workerHeartbeatSchema } from "../../contract/transfer/worker-heartbeat.ts";
import { chooseSide, inOrder, poolOf, type SideWish, shareOf } from "./choose-workers.ts";
import type { Worker } from "./worker-record.ts";

const HOW = ": a box has one once its configuration names transfer.storages";

interface Given {
  readonly path?: string;
  readonly storage?: string;
  readonly write?: boolean;
  readonly mark?: string;
  readonly sees?: readonly string[];
}

function worker(
  id: string,
  { path = "/data", storage = "storage-1", write = true, mark, sees = [] }: Given = {},
): Worker {
  const heartbeat = workerHeartbeatSchema.parse({
    worker_id: id,
    status: "IDLE",
    storages: [{ id: storage, path, read: true, write, ...(mark === undefined ? {} : { mark }), seen_marks: sees }],
  });
  return { id, revision: 1, heardMs: 0, heartbeat };
}

function withStorage({ heartbeat, ...one }: Worker, storage: { readonly id: string; readonly path: string }): Worker {
  const more = { ...storage, read: true, write: true, seen_marks: [] };
  return { ...one, heartbeat: { ...heartbeat, storages: [...(heartbeat.storages ?? []), more] } };
}

function plainWorker(id: string, paths: readonly string[]): Worker {
  const heartbeat = workerHeartbeatSchema.parse({ worker_id: id, status: "IDLE", storage_paths: paths });
  return { id, revision: 1, heardMs: 0, heartbeat };
}

const wish = (more: Partial<SideWish> = {}): SideWish => ({
  name: "source",
  path: "/data/x",
  box: undefined,
  access: "read",
  needs: [],
  ...more,
});
const choose = (
  workers: readonly Worker[],
  more: Partial<SideWish> = {},
  away: readonly string[] = [],
  mode: "full" | "plain" = "full",
) => chooseSide(wish(more), workers, { mode, isActive: ({ id }) => !away.includes(id) });

describe("the storage that a path means", () => {
  test("is that of the innermost root, name by name", () => {
    expect(choose([worker("a", { path: "/data2" }), worker("b")])).toEqual({
      side: { storage: "storage-1", path: "x", anchor: "b" },
    });
    const inner = { id: "storage-9", path: "/data/x" };
    for (const roots of [withStorage(worker("a"), inner), withStorage(worker("a", { path: "/" }), inner)]) {
      expect(choose([roots], { path: "/data/x/y" })).toEqual({
        side: { storage: "storage-9", path: "y", anchor: "a" },
      });
    }
    expect(choose([worker("a", { path: "/dat" })])).toMatchObject({
      problem: "no worker has a storage with the source /data/x",
    });
  });

  test.each([
    ["nobody was ever heard", [], {}, [], `no worker has ever been heard${HOW}`],
    ["nobody of that box", [worker("a")], { box: "b" }, [], `no worker of box b has ever been heard${HOW}`],
    [
      "it may not write",
      [worker("a", { write: false })],
      { access: "write" as const },
      [],
      "a has /data/x, and may not write it",
    ],
    ["it is away", [worker("a")], {}, ["a"], "a, which has /data/x, is not heard"],
    [
      "two that are not known to be one",
      [worker("a", { storage: "storage-1" }), worker("b", { storage: "storage-2" })],
      {},
      [],
      "the storages of a and b both have /data/x, and are not known to be one: name source_box",
    ],
    [
      "two with one id, of which neither sees the other's mark: a disk was cloned",
      [worker("a", { mark: "mark-of-a" }), worker("b", { mark: "mark-of-b" })],
      {},
      [],
      "the storages of a and b both have /data/x, and are not known to be one: name source_box",
    ],
  ])("is none, with the reason: %s", (_, workers, more, away, problem) => {
    expect(choose(workers, more, away)).toMatchObject({ problem });
  });

  test("is one where one of them sees what the other left, also through a third", () => {
    const chain = [
      worker("a", { mark: "mark-of-a", sees: ["mark-of-b"] }),
      worker("b", { mark: "mark-of-b", sees: ["mark-of-c"] }),
      worker("c", { mark: "mark-of-c" }),
    ];
    expect(choose(chain)).toEqual({ side: { storage: "storage-1", path: "x", anchor: "a" } });
    const side = { storage: "storage-1", path: "x", anchor: "a" };
    const pool = (workers: readonly Worker[], box?: string) =>
      poolOf(side, workers, { access: "read", box, needs: [], isActive: () => true }).map((member) => member.worker.id);
    expect(pool(chain)).toEqual(["a", "b", "c"]);
    expect(pool(chain, "c")).toEqual(["c"]);
    // Whichever of them left the mark, and whoever is first.
    const back = [
      worker("a", { mark: "mark-of-a" }),
      worker("b", { mark: "mark-of-b", sees: ["mark-of-a"] }),
      worker("c", { mark: "mark-of-c", sees: ["mark-of-b"] }),
    ];
    expect([choose(back), pool(back)]).toEqual([choose(chain), ["a", "b", "c"]]);
    // Not what its worker may not read, and nothing else that a worker has.
    const [first, second, third] = chain;
    if (first === undefined || second === undefined || third === undefined) throw new TypeError("there are three");
    const writes = poolOf(side, [first, worker("b", { mark: "mark-of-b", sees: ["mark-of-a"], write: false })], {
      access: "write",
      box: undefined,
      needs: [],
      isActive: () => true,
    });
    expect(writes.map((member) => member.worker.id)).toEqual(["a"]);
    const more = withStorage(first, { id: "storage-9", path: "/other" });
    expect(pool([more, second, third])).toEqual(["a", "b", "c"]);
    // The clone of the disk is never taken for it.
    expect(pool([...chain, worker("clone", { mark: "mark-of-clone" })])).toEqual(["a", "b", "c"]);
  });

  test.each([
    ["another identity, though one sees a mark of the other", { storage: "storage-2", sees: ["mark-of-a"] }],
    ["the same storage at another place, so that the path is another one", { path: "/", sees: ["mark-of-a"] }],
  ])("is not one with %s", (_, other) => {
    const both = [worker("a", { mark: "mark-of-a" }), worker("b", { mark: "mark-of-b", ...other })];
    expect(choose(both)).toMatchObject({ problem: expect.stringContaining("are not known to be one") });
  });

  test("of a box is that of its workers, and of no box whose name goes on", () => {
    expect(choose([worker("north-10"), worker("north-1.disk2", { storage: "storage-2" })], { box: "north-1" })).toEqual(
      {
        side: { storage: "storage-2", path: "x", anchor: "north-1.disk2" },
      },
    );
  });

  test("of plain workers is the path, whoever has it", () => {
    const workers = [plainWorker("a", ["/data"]), plainWorker("b", ["/data"]), worker("c")];
    expect(choose(workers, {}, [], "plain")).toEqual({ side: { storage: "path:/data", path: "x", anchor: "a" } });
    expect(choose(workers)).toEqual({ side: { storage: "storage-1", path: "x", anchor: "c" } });
  });
});

test("a path is of a storage only where its names are, whatever is made of them", () => {
  const random = seededRandom(30);
  const names = ["data", "data2", "dat", "source", "source2", "x", "..x", "a b", "%41"];
  const some = (most: number) =>
    Array.from({ length: 1 + Math.floor(random() * most) }, () => names[Math.floor(random() * names.length)] ?? "");
  let inside = 0;
  for (let round = 0; round < 3000; round++) {
    const root = some(3);
    const asked = random() < 0.5 ? [...root, ...some(3)] : some(5);
    // Written in any of the ways that mean the same, and in some that are refused.
    const text = `/${asked.join(random() < 0.3 ? "//" : "/")}${random() < 0.3 ? "/" : ""}`;
    const path = absolutePathSchema.safeParse(
      random() < 0.1 ? text.replace("/x", "/../x") : text.replace("/x", "/./x"),
    );
    expect(absolutePathSchema.safeParse(`${text}/../${text}`).success).toBe(false);
    if (!path.success) continue;
    expect(path.data).not.toMatch(/\/(\/|\.\/|\.\.\/|\.?\.?$)/);
    const parts = path.data.split("/").slice(1);
    const isInside = root.every((name, at) => parts[at] === name.replace("%41", "A"));
    const chosen = choose([worker("a", { path: absolutePathSchema.parse(`/${root.join("/")}`) })], { path: path.data });
    if (isInside) inside += 1;
    expect([root, path.data, "side" in chosen ? chosen.side.path : undefined]).toEqual([
      root,
      path.data,
      isInside ? parts.slice(root.length).join("/") : undefined,
    ]);
  }
  expect(inside).toBeGreaterThan(500);
});

test("priority comes first, then who has least, then who came first", () => {
  const turn = (id: string, priority: "low" | "normal" | "high", leases: number, createdMs: number) => ({
    id,
    priority,
    leases,
    createdMs,
  });
  const turns = [
    turn("low", "low", 0, 0),
    turn("busy", "normal", 3, 1),
    turn("later", "normal", 1, 9),
    turn("first", "normal", 1, 2),
    turn("high", "high", 9, 9),
  ];
  expect(inOrder(turns).map(({ id }) => id)).toEqual(["high", "first", "later", "busy", "low"]);
});

test.each([
  [undefined, 3, undefined],
  [80, 1, 10_000_000],
  [80, 4, 2_500_000],
  [80, 0, 10_000_000],
])("%s Mbit/s for %s leases are %s bytes a second each", (mbps, leases, share) => {
  expect(shareOf(mbps, leases)).toBe(share);
});
