import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { WorkOf } from "../contract/transfer/assignment.ts";
import { digestTree } from "./digest-tree.fake.ts";
import { openWorkerWorld, type WorkerWorld, type WorldOptions } from "./worker-world.fake.ts";

let world: WorkerWorld;
afterEach(() => world.close());

const begin = async (options: WorldOptions = {}) => {
  world = await openWorkerWorld(options);
  const from = join(world.directory, "source/tree");
  const to = join(world.directory, "destination/tree");
  mkdirSync(from);
  mkdirSync(to);
  return { from, to };
};
const close = (more: Partial<WorkOf<"close">> = {}, attempt = 1) =>
  world.run(
    {
      kind: "close",
      unit: "close",
      destination: { storage_id: world.destination.storage.id, path: "tree" },
      pages: world.pages.length,
      has_hardlinks: true,
      delete_extraneous: true,
      preserve: ["mode", "times", "hardlinks", "symlinks", "sparse"],
      ...more,
    },
    undefined,
    { attempt },
  );
const fill = (root: string, count: number, name = "f") => {
  for (let index = 0; index < count; index++) writeFileSync(join(root, `${name}${index}`), "x");
};

describe("what the source does not have", () => {
  it("is not removed where the source has no file at all, as one that is not mounted", async () => {
    const { from, to } = await begin();
    mkdirSync(join(from, "only/directories"), { recursive: true });
    fill(to, 3);
    await world.list();
    const before = digestTree(to);
    await expect(close()).rejects.toMatchObject({
      code: "denied",
      message: expect.stringMatching(/would remove 3 of 4.*no file at all: is it mounted\?/),
    });
    expect(digestTree(to)).toEqual(before);
  });

  it("is not removed where that is more than half, as where one disk of several is not mounted", async () => {
    const { from, to } = await begin();
    fill(from, 90);
    fill(to, 90);
    fill(to, 101, "lost");
    await world.list();
    const before = digestTree(to);
    await expect(close()).rejects.toMatchObject({
      code: "denied",
      message: expect.stringMatching(/would remove 101 of 192 entries; allowed: 100; that is more than half/),
    });
    expect(digestTree(to)).toEqual(before);
  });

  it("is removed where it is less, links themselves and not what they lead to", async () => {
    const { from, to } = await begin();
    fill(from, 20);
    fill(to, 20);
    mkdirSync(join(world.directory, "outside"));
    writeFileSync(join(world.directory, "outside/kept"), "kept");
    mkdirSync(join(to, "gone/deep"), { recursive: true });
    writeFileSync(join(to, "gone/deep/file"), "x");
    symlinkSync(join(world.directory, "outside"), join(to, "link"));
    symlinkSync(join(world.directory, "outside"), join(to, "gone/link"));
    await world.list();
    expect(await close()).toMatchObject({ failures: [], message: "removed 5 that the source does not have" });
    expect(readdirSync(to).sort()).toEqual(readdirSync(from).sort());
    expect(readFileSync(join(world.directory, "outside/kept"), "utf8")).toBe("kept");
  });
});

describe("directories of every page of the plan have the times of the source", () => {
  it.each([
    ["a hub that gives many pages at once", 16],
    ["an earlier hub, which gives one", 1],
  ])("from %s", async (_, pagesAtOnce) => {
    const { from, to } = await begin({ pagesAtOnce });
    const names = Array.from({ length: 45 }, (_, index) => `d${10 + index}`);
    for (const [index, name] of names.entries()) {
      mkdirSync(join(from, name));
      mkdirSync(join(to, name));
      fill(join(from, name), 30);
      utimesSync(join(from, name), 1000 + index, 1000 + index);
    }
    await world.list();
    expect(world.pages.length).toBe(3);
    await close({ delete_extraneous: false });
    expect(names.map((name) => Math.floor(statSync(join(to, name)).mtimeMs / 1000))).toEqual(
      names.map((_, index) => 1000 + index),
    );
  });
});

describe("two who close one tree", () => {
  it.each([
    ["the further names", "hardlink"],
    ["what is too much", undefined],
    ["the directories", "directory"],
  ] as const)(
    "are told apart: the earlier, at %s, does nothing once the later has begun, or is done",
    async (_, at) => {
      const { from, to } = await begin();
      writeFileSync(join(from, "a"), "of a");
      linkSync(join(from, "a"), join(from, "b"));
      mkdirSync(join(from, "c"));
      mkdirSync(join(to, "c"));
      await world.list();
      fill(to, 1, "too much ");
      writeFileSync(join(to, "a"), "of a");
      let isLaterDone = false;
      const { hub } = world.destination.context;
      const pages = hub.pages;
      // The earlier is stopped while it reads the plan, and wakes when another has done its work.
      hub.pages = async (id, wanted, signal) => {
        if (!isLaterDone && wanted.only === at) {
          isLaterDone = true;
          expect((await close({}, 2)).failures).toEqual([]);
          writeFileSync(join(to, "later"), "written since");
          rmSync(join(to, "b"));
          utimesSync(join(to, "c"), 7, 7);
        }
        return pages(id, wanted, signal);
      };
      await expect(close({}, 1)).rejects.toMatchObject({ code: "fenced" });
      expect(readdirSync(to).sort()).toEqual(["a", "c", "later"]);
      expect(statSync(join(to, "c")).mtimeMs).toBe(7000);
    },
  );
});
