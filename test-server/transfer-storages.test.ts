import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { messageOf } from "../src/base/errors.ts";
import { digestTree } from "../src/worker/digest-tree.fake.ts";
import { createTransferWorld, type TransferWorld } from "./transfer-world.ts";

const MIB = 1024 * 1024;
const LIMIT_MS = 240_000;
const DISK_BYTES = 64 * MIB;

/** Whole transfers through a hub and two boxes, of which one has a storage of another kind than the tests' own directory. */
const undone: (() => void)[] = [];
afterEach(() => {
  for (const undo of undone.splice(0).reverse()) undo();
});

type Kind = "ext4" | "ramfs";

/** A disk of its own, mounted below the directory; of ext4 one that is full after so much. Throws where that cannot be. */
function mountDisk(directory: string, kind: Kind): string {
  const [image, disk] = [join(directory, "image"), join(directory, "disk")];
  mkdirSync(disk);
  if (kind === "ramfs") {
    execFileSync("mount", ["-t", "ramfs", "none", disk], { stdio: "pipe" });
    return disk;
  }
  writeFileSync(image, "");
  truncateSync(image, DISK_BYTES);
  execFileSync("mkfs.ext4", ["-q", image], { stdio: "pipe" });
  execFileSync("mount", ["-o", "loop", image, disk], { stdio: "pipe" });
  return disk;
}

function makeDisk(kind: Kind): { readonly disk: string; readonly remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), "sluice-disk-"));
  const remove = () => {
    spawnSync("umount", ["-l", join(directory, "disk")], { stdio: "ignore" });
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    return { disk: mountDisk(directory, kind), remove };
  } catch (thrown) {
    remove();
    throw thrown;
  }
}

/** Why there can be no such disk here; undefined: there can. */
function refusalOf(kind: Kind): string | undefined {
  try {
    makeDisk(kind).remove();
    return undefined;
  } catch (thrown) {
    return `no ${kind} can be mounted here: ${messageOf(thrown).split("\n")[0]}`;
  }
}

/** The box of the destination has such a disk. */
async function begin(kind: Kind | undefined) {
  const made = kind === undefined ? undefined : makeDisk(kind);
  if (made !== undefined) undone.push(made.remove);
  const world = await createTransferWorld(made === undefined ? {} : { toStorage: made.disk });
  const tree = join(world.from, "tree");
  mkdirSync(tree);
  return { world, tree };
}

const ended = (world: TransferWorld, id: string) =>
  world.until(async () => {
    const now = await world.progress(id);
    return now.state === "COMPLETED" || now.state === "FAILED" ? now : undefined;
  }, `the end of ${id}`);
const titled = (title: string, refusal: string | undefined) =>
  refusal === undefined ? title : `${title} (${refusal})`;

const fullRefusal = refusalOf("ext4");
describe.skipIf(fullRefusal !== undefined)(titled("a real disk", fullRefusal), () => {
  it("that is full in the middle of a transfer is told, waited for, and gone on with when there is room", {
    timeout: LIMIT_MS,
  }, async () => {
    const { world, tree } = await begin("ext4");
    await using _ = world;
    for (let at = 0; at < 10; at++) writeFileSync(join(tree, `long-${at}`), randomBytes(4 * MIB));
    // Somebody else's, and in the way: with it the tree does not fit.
    const ballast = join(world.to, "ballast");
    writeFileSync(ballast, randomBytes(36 * MIB));
    const other = join(world.from, "small");
    writeFileSync(other, "small");
    const copy = join(world.to, "copy");
    const id = await world.submit({ source_path: tree, destination_path: copy, chunk_size_mb: 4 });
    const waits = await world.until(async () => {
      const now = await world.progress(id);
      return now.reason.includes("no-space") ? now : undefined;
    }, "that it says what it waits for");
    expect(waits.state).toBe("PROGRESS");
    expect(waits.failures).toEqual([]);
    // What is there has its name and its bytes; the rest has none.
    const before = readdirSync(copy).sort();
    expect(before.length).toBeLessThan(10);
    for (const name of before) expect(digestTree(join(copy, name))).toEqual(digestTree(join(tree, name)));
    // It keeps waiting, and asks the disk no more than every 5 s.
    await systemClock.delay(6000);
    expect((await world.progress(id)).state).toBe("PROGRESS");
    const moved = world.movedBytes();
    rmSync(ballast);
    expect(await ended(world, id)).toMatchObject({ state: "COMPLETED", failures: [] });
    expect(digestTree(copy)).toEqual(digestTree(tree));
    // Nothing that had arrived came again.
    expect(world.movedBytes() - moved).toBeLessThan((10 - before.length) * 4 * MIB + 2 * MIB);
    expect(readdirSync(join(world.to, ".sluice-transfer")).filter((name) => !name.startsWith("m-"))).toEqual([]);
    const next = await world.submit({ source_path: other, destination_path: join(world.to, "small") });
    expect((await ended(world, next)).state).toBe("COMPLETED");
  });
});

/** One more name for a directory. Throws where that cannot be. */
function bind(directory: string): { readonly place: string; readonly mount: () => void } {
  const parent = mkdtempSync(join(tmpdir(), "sluice-bound-"));
  const place = join(parent, "place");
  mkdirSync(place);
  undone.push(() => {
    spawnSync("umount", ["-l", place], { stdio: "ignore" });
    rmSync(parent, { recursive: true, force: true });
  });
  const mount = () => void execFileSync("mount", ["--bind", directory, place], { stdio: "pipe" });
  mount();
  return { place, mount };
}

describe.skipIf(fullRefusal !== undefined)(titled("two workers with one storage", fullRefusal), () => {
  it("of which one has lost it in the middle: the other does all of it, and the first works again once it is back", {
    timeout: LIMIT_MS,
  }, async () => {
    const to = mkdtempSync(join(tmpdir(), "sluice-shared-"));
    undone.push(() => rmSync(to, { recursive: true, force: true }));
    const { place, mount } = bind(to);
    await using world = await createTransferWorld({ toStorage: to, hasTwin: true, twinStorage: place });
    const tree = join(world.from, "tree");
    mkdirSync(tree);
    for (let at = 0; at < 60; at++) writeFileSync(join(tree, `f-${at}`), randomBytes(MIB));
    const twin = world.workerId("twin");
    const worksOn = async (id: string) => (await world.progress(id)).workers.some(({ worker_id: at }) => at === twin);
    const copy = join(to, "copy");
    const request = { source_path: tree, chunk_size_mb: 1 };
    const id = await world.submit({ ...request, destination_path: copy, bandwidth_mbps: 48 });
    await world.until(() => worksOn(id), "that both work on it");
    execFileSync("umount", ["-l", place], { stdio: "pipe" });
    const brokenMs = systemClock.monotonicMs();
    expect(await ended(world, id)).toMatchObject({ state: "COMPLETED", failures: [] });
    process.stderr.write(`one worker without its storage: ${Math.round(systemClock.monotonicMs() - brokenMs)} ms\n`);
    expect(digestTree(copy)).toEqual(digestTree(tree));
    // Nothing was written where its storage had been.
    expect(readdirSync(place)).toEqual([]);
    mount();
    const next = await world.submit({ ...request, destination_path: join(to, "next"), bandwidth_mbps: 8 });
    await world.until(() => worksOn(next), "that it works again");
  });
});

/** By the programs alone. */
const set = (path: string, name: string, value: string) =>
  execFileSync("setfattr", ["-n", name, "-v", value, "--", path], { stdio: "pipe" });
const attributesOf = (path: string) =>
  execFileSync("getfattr", ["--dump", "--absolute-names", "--match=^user", "--", path], { encoding: "latin1" })
    .split("\n")
    .filter((line) => line.startsWith("user."))
    .sort();
/** Why the tests' own directory has none; undefined: it has. */
const attributeRefusal = (() => {
  const probe = join(mkdtempSync(join(tmpdir(), "sluice-xattr-")), "probe");
  try {
    writeFileSync(probe, "");
    set(probe, "user.sluice", "x");
    return undefined;
  } catch (thrown) {
    return `no extended attributes here: ${messageOf(thrown).split("\n")[0]}`;
  } finally {
    rmSync(join(probe, ".."), { recursive: true, force: true });
  }
})();
const preserve = ["mode", "times", "hardlinks", "symlinks", "sparse"];

describe.skipIf(attributeRefusal !== undefined)(
  titled("extended attributes of a whole transfer", attributeRefusal),
  () => {
    const dress = (tree: string) => {
      mkdirSync(join(tree, "sub"));
      writeFileSync(join(tree, "a"), "one");
      writeFileSync(join(tree, "long"), randomBytes(3 * MIB));
      for (const path of ["a", "long", "sub", ""]) set(join(tree, path), "user.camera", `north ${path}`);
    };

    it("arrive where they are asked for, and stay behind where they are not", { timeout: LIMIT_MS }, async () => {
      const { world, tree } = await begin(undefined);
      await using _ = world;
      dress(tree);
      const [plain, whole] = [join(world.to, "plain"), join(world.to, "whole")];
      const ids = [
        await world.submit({ source_path: tree, destination_path: plain, chunk_size_mb: 1 }),
        await world.submit({
          source_path: tree,
          destination_path: whole,
          chunk_size_mb: 1,
          preserve: [...preserve, "xattrs"],
        }),
      ];
      for (const id of ids) expect(await ended(world, id)).toMatchObject({ state: "COMPLETED", failures: [] });
      for (const path of ["a", "long", "sub", ""]) {
        expect(attributesOf(join(whole, path))).toEqual([`user.camera="north ${path}"`]);
        expect(attributesOf(join(plain, path))).toEqual([]);
      }
    });

    const bareRefusal = refusalOf("ramfs");
    it.skipIf(bareRefusal !== undefined)(
      titled(
        "are told in one sentence where the destination's disk cannot have them, and nothing of it gets a name",
        bareRefusal,
      ),
      { timeout: LIMIT_MS },
      async () => {
        const { world, tree } = await begin("ramfs");
        await using _ = world;
        dress(tree);
        const copy = join(world.to, "copy");
        const id = await world.submit({
          source_path: tree,
          destination_path: copy,
          preserve: [...preserve, "xattrs"],
        });
        const end = await ended(world, id);
        expect(end).toMatchObject({ state: "FAILED", failures: [{ code: "unsupported" }, { code: "unsupported" }] });
        expect(end.reason).toContain("the file system here has no extended attributes: leave them out");
        expect(existsSync(join(copy, "a"))).toBe(false);
        const plain = await world.submit({ source_path: tree, destination_path: join(world.to, "plain") });
        expect(await ended(world, plain)).toMatchObject({ state: "COMPLETED", failures: [] });
      },
    );
  },
);
