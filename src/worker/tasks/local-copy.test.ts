import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import { digestTree } from "../digest-tree.fake.ts";
import { createPace } from "../wire/pace.ts";
import { freshOutcome, openWorkerWorld, type WorkerWorld } from "../worker-world.fake.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const LOCAL = { local: true, sources: [] };

let open: WorkerWorld | undefined;
const begin = async () => {
  open = await openWorkerWorld({ isOneBox: true });
  const [from, to] = [join(open.directory, "source/tree"), join(open.directory, "destination/tree")];
  mkdirSync(from);
  return { world: open, from, to };
};
afterEach(() => {
  open?.close();
  open = undefined;
});

const edit = (path: string, at: number, bytes: Buffer) => {
  const file = openSync(path, "r+");
  writeSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
};
const onlyFile = async (world: WorkerWorld) => {
  const entry = (await world.list())[1];
  if (entry === undefined) throw new TypeError("nothing was listed");
  return entry;
};

describe("a copy between two storages of one worker", () => {
  it.each(["transit", "full", "readback"] as const)(
    "is as it would be from another box, over no connection, with %s",
    async (verify) => {
      const { world, from, to } = await begin();
      mkdirSync(join(from, "deep/empty"), { recursive: true });
      for (let index = 0; index < 150; index++) writeFileSync(join(from, `deep/f${index}`), randomBytes(index * 37));
      writeFileSync(join(from, "middle"), randomBytes(700 * KIB), { mode: 0o640 });
      writeFileSync(join(from, "large"), randomBytes(5 * MIB + 17), { mode: 0o400 });
      writeFileSync(join(from, "sparse"), "");
      truncateSync(join(from, "sparse"), 6 * MIB);
      edit(join(from, "sparse"), 3 * MIB, Buffer.from("middle"));
      linkSync(join(from, "deep/f7"), join(from, "second name"));
      symlinkSync("/etc/passwd", join(from, "link"));
      chmodSync(join(from, "deep"), 0o750);
      expect(await world.move({ chunkBytes: 2 * MIB, work: { ...LOCAL, verify } })).toEqual([]);
      expect(digestTree(to)).toEqual(digestTree(from));
      expect(statSync(join(to, "sparse")).blocks * 512).toBeLessThan(MIB);
      expect(world.sentBytes()).toBe(0);
    },
  );

  it("again leaves what is the same, and moves of a file that was edited the blocks that changed", async () => {
    const { world, from, to } = await begin();
    for (const name of ["edited", "same"]) writeFileSync(join(from, name), randomBytes(3 * MIB + 5));
    writeFileSync(join(from, "short"), "short");
    let moved = 0;
    const { destination: side } = world;
    const receivePace = {
      ...side.context.receivePace,
      take: async (bytes: number) => {
        moved += bytes;
      },
    };
    const copy = async () => {
      moved = 0;
      const items = (await world.list()).slice(1).map((entry) => ({ entry, offset: 0, length: entry.size }));
      const metered = { ...side, context: { ...side.context, receivePace } };
      expect((await world.run(world.copyWork(items, LOCAL), metered)).failures).toEqual([]);
      return moved;
    };
    const inode = (name: string) => statSync(join(to, name)).ino;
    expect(await copy()).toBeGreaterThan(6 * MIB);
    const before = ["same", "short"].map(inode);
    edit(join(from, "edited"), MIB, Buffer.from("another"));
    expect(await copy()).toBeLessThan(66 * KIB);
    expect(["same", "short"].map(inode)).toEqual(before);
    expect(readFileSync(join(to, "edited")).equals(readFileSync(join(from, "edited")))).toBe(true);
  });

  it.each(["whole", "range"] as const)("goes on where an attempt before was ended, %s", async (form) => {
    const { world, from, to } = await begin();
    const bytes = 24 * MIB;
    const data = randomBytes(bytes);
    writeFileSync(join(from, "file"), data);
    const entry = await onlyFile(world);
    const offset = form === "whole" ? 0 : 1024;
    const item = { entry, offset, length: bytes - offset };
    const stop = new AbortController();
    let received = 0;
    const first = world.run(world.copyWork([item], LOCAL), world.destination, {
      signal: stop.signal,
      onBytes: (count) => {
        received += count;
        if (received > 10 * MIB) stop.abort(new DOMException("killed", "AbortError"));
      },
    });
    await expect(first).rejects.toThrow();
    expect(received).toBeLessThan(12 * MIB);
    const steps: number[] = [];
    const second = await world.run(world.copyWork([item], LOCAL), world.destination, {
      attempt: 2,
      onBytes: (count) => void steps.push(count),
    });
    expect(second).toMatchObject({ failures: [], way: "local", items: [{ path: "file", offset }] });
    // What lies staged is proved at once, and the rest comes piece by piece.
    expect(steps[0]).toBe(received);
    expect(steps.reduce((sum, step) => sum + step, 0)).toBe(bytes - offset);
    if (form === "whole") expect(readFileSync(join(to, "file")).equals(data)).toBe(true);
  });

  it("needs the right to read one and to write the other", async () => {
    const { world, from } = await begin();
    writeFileSync(join(from, "file"), "file");
    const item = { entry: await onlyFile(world), offset: 0, length: 4 };
    const { destination: side } = world;
    const withRights = (rights: { readonly source: boolean; readonly destination: boolean }) => ({
      ...side,
      context: {
        ...side.context,
        storageOf: (id: string) => {
          const storage = side.context.storageOf(id);
          if (storage === undefined) return undefined;
          const { root, hold, isHeld, rest, view, close, id: own, isMount, path } = storage;
          const may = { read: rights.source || id !== world.source.storage.id, write: rights.destination };
          return { root, hold, isHeld, rest, view, close, id: own, isMount, path, ...may };
        },
      },
    });
    const run = (rights: Parameters<typeof withRights>[0]) =>
      world.run(world.copyWork([item], LOCAL), withRights(rights)).then(
        ({ failures }) => failures,
        (error: { code: string }) => error.code,
      );
    expect(await run({ source: false, destination: true })).toBe("denied");
    expect(await run({ source: true, destination: false })).toBe("denied");
    expect(await run({ source: true, destination: true })).toEqual([]);
  });

  it("tells of a file that changed since it was listed, and copies the others", async () => {
    const { world, from, to } = await begin();
    for (const name of ["long", "other", "short"]) writeFileSync(join(from, name), randomBytes(300 * KIB));
    writeFileSync(join(from, "short"), "short");
    const items = (await world.list()).slice(1).map((entry) => ({ entry, offset: 0, length: entry.size }));
    writeFileSync(join(from, "long"), randomBytes(300 * KIB));
    writeFileSync(join(from, "short"), "SHORT");
    const outcome = freshOutcome();
    await world.run(world.copyWork(items, LOCAL), world.destination, { outcome });
    expect(outcome.items.map(({ path }) => path)).toEqual(["other"]);
    expect(outcome.failures.map(({ path, code }) => [path, code]).toSorted()).toEqual([
      ["long", "source-changed"],
      ["short", "source-changed"],
    ]);
    expect(readFileSync(join(to, "other")).equals(readFileSync(join(from, "other")))).toBe(true);
  });
});

describe("a copy within one storage", () => {
  it("is the system's for whole files, and proved; not for holes, ranges, and what is held to a rate", async () => {
    const { world, from } = await begin();
    writeFileSync(join(from, "whole"), randomBytes(3 * MIB + 5), { mode: 0o640 });
    writeFileSync(join(from, "holes"), randomBytes(MIB));
    truncateSync(join(from, "holes"), 4 * MIB);
    const entries = new Map((await world.list()).map((entry) => [entry.path, entry]));
    const { destination: side, source } = world;
    const copy = async (name: string, how: { readonly isHeld: boolean; readonly isRange: boolean }) => {
      const entry = entries.get(name);
      if (entry === undefined) throw new TypeError(`${name} was not listed`);
      let moved = 0;
      const pace = createPace(() => (how.isHeld ? 1e12 : undefined), systemClock);
      const take = (bytes: number, signal: AbortSignal) => {
        moved += bytes;
        return pace.take(bytes, signal);
      };
      const context = { ...side.context, receivePace: { ...pace, take } };
      const work = {
        ...LOCAL,
        unit: `${name} ${how.isHeld} ${how.isRange}`,
        source: { storage_id: source.storage.id, path: "tree" },
        destination: { storage_id: source.storage.id, path: `copy ${how.isHeld} ${how.isRange}` },
      };
      const length = how.isRange ? MIB : entry.size;
      const outcome = await world.run(world.copyWork([{ entry, offset: 0, length }], work), { ...side, context });
      expect(outcome).toMatchObject({ failures: [], way: "local", items: [{ path: name, length }] });
      return moved;
    };
    expect(await copy("whole", { isHeld: false, isRange: false })).toBe(0);
    const there = join(world.directory, "source/copy false false");
    expect(readFileSync(join(there, "whole")).equals(readFileSync(join(from, "whole")))).toBe(true);
    expect(statSync(join(there, "whole")).mode & 0o777).toBe(0o640);
    expect(await copy("whole", { isHeld: true, isRange: false })).toBeGreaterThan(3 * MIB);
    expect(await copy("whole", { isHeld: false, isRange: true })).toBeGreaterThan(MIB - 1);
    expect(await copy("holes", { isHeld: false, isRange: false })).toBeGreaterThan(MIB - 1);
    expect(statSync(join(there, "holes")).blocks * 512).toBeLessThan(2 * MIB);
  });
});

const IMAGE_BYTES = 24 * MIB;
/** There is no room for a second one. */
const CLONED_BYTES = 12 * MIB;
/** What takes as long hangs. */
const PROGRAM_MS = 20_000;
const runProgram = (file: string, ...words: readonly string[]) =>
  void execFileSync(file, words, { stdio: "pipe", timeout: PROGRAM_MS, killSignal: "SIGKILL" });

/** A file system that can give two files the same bytes, at both storages. */
function mountShared(directory: string): (path: string, workerId: string) => () => void {
  const [image, disk] = [join(directory, "image"), join(directory, "disk")];
  mkdirSync(disk);
  writeFileSync(image, "");
  truncateSync(image, IMAGE_BYTES);
  runProgram("mkfs.btrfs", "--quiet", "--mixed", image);
  runProgram("mount", "-o", "loop", image, disk);
  return (path, workerId) => {
    mkdirSync(join(disk, workerId));
    runProgram("mount", "--bind", join(disk, workerId), path);
    return () => runProgram("umount", "-l", path);
  };
}

function tryShared() {
  // In memory where it can be: what is written to the image would else wait for a disk that others keep busy.
  const directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "sluice-shared-"));
  const remove = () => {
    try {
      runProgram("umount", "-l", join(directory, "disk"));
    } catch {
      // It was not mounted.
    }
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    return { prepare: mountShared(directory), remove };
  } catch (thrown) {
    remove();
    return { refusal: messageOf(thrown).split("\n")[0] };
  }
}

const probe = tryShared();
probe.remove?.();
const sharing = probe.refusal === undefined ? "" : ` (no btrfs can be mounted here: ${probe.refusal})`;
it.skipIf(probe.refusal !== undefined)(
  `a file is cloned where the file system can, and is proved${sharing}`,
  async () => {
    const { prepare, remove = () => undefined } = tryShared();
    try {
      open = await openWorkerWorld({ isOneBox: true, ...(prepare === undefined ? {} : { prepare }) });
      const [from, to] = [join(open.directory, "source/tree"), join(open.directory, "destination/tree")];
      mkdirSync(from);
      writeFileSync(join(from, "large"), randomBytes(CLONED_BYTES), { mode: 0o440 });
      writeFileSync(join(from, "short"), "short");
      expect(await open.move({ chunkBytes: 16 * MIB, work: LOCAL })).toEqual([]);
      expect(digestTree(to)).toEqual(digestTree(from));
      appendTo(join(to, "large"));
      expect(readFileSync(join(from, "large")).length).toBe(CLONED_BYTES);
    } finally {
      open?.close();
      open = undefined;
      remove();
    }
  },
);

function appendTo(path: string): void {
  chmodSync(path, 0o600);
  edit(path, CLONED_BYTES, Buffer.from("own"));
}
