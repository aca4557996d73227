import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { CopyItem, WorkOf } from "../contract/transfer/assignment.ts";
import { digestTree } from "./digest-tree.fake.ts";
import { openWorkerWorld, type WorkerWorld, type WorldOptions } from "./worker-world.fake.ts";

const MIB = 1024 * 1024;
let open: WorkerWorld | undefined;
afterEach(() => {
  open?.close();
  open = undefined;
});

const begin = async (options: WorldOptions = {}) => {
  open = await openWorkerWorld(options);
  const from = join(open.directory, "source/tree");
  mkdirSync(from);
  return { world: open, from, to: join(open.directory, "destination/tree") };
};
const itemsOf = async (world: WorkerWorld): Promise<CopyItem[]> =>
  (await world.list()).slice(1).map((entry) => ({ entry, offset: 0, length: entry.size }));
const codeOf = (run: Promise<unknown>) =>
  run.then(
    () => "done",
    (thrown: { code?: string }) => thrown.code,
  );

/** What is staged of the request, by the begin of its name. */
function stagedOf({ directory }: WorkerWorld, start: string): string {
  const all = join(directory, "destination/.sluice-transfer/r1");
  for (const name of readdirSync(all, { recursive: true, encoding: "utf8" })) {
    if (name.split("/").at(-1)?.startsWith(start)) return join(all, name);
  }
  throw new TypeError(`nothing is staged as ${start}`);
}

function flipByte(path: string, at: number): void {
  const fd = openSync(path, "r+");
  writeSync(fd, Buffer.from([(readFileSync(path)[at] ?? 0) ^ 0xff]), 0, 1, at);
  closeSync(fd);
}

/** One attempt at a file of 24 MiB that is ended when more than 10 MiB of it have come. */
async function interrupted(world: WorkerWorld, item: CopyItem): Promise<number> {
  const stop = new AbortController();
  let received = 0;
  const run = world.run(world.copyWork([item], { rate_bytes_s: 60e6 }), world.destination, {
    signal: stop.signal,
    onBytes: (bytes) => {
      received += bytes;
    },
  });
  await vi.waitFor(() => expect(received).toBeGreaterThan(10 * MIB), { timeout: 30_000, interval: 5 });
  stop.abort(new DOMException("killed", "AbortError"));
  await expect(run).rejects.toThrow();
  return received;
}

describe("what is staged and changes on the disk", () => {
  it("in one range of a long file has that range moved again, and no other", async () => {
    const { world, from, to } = await begin();
    const data = randomBytes(4 * MIB);
    writeFileSync(join(from, "long"), data);
    const [whole] = await itemsOf(world);
    if (whole === undefined) throw new TypeError("nothing was listed");
    const { entry } = whole;
    const copyRange = (index: number, attempt: number) =>
      world.run(world.copyWork([{ entry, offset: index * MIB, length: MIB }], { unit: `u${index}` }), undefined, {
        attempt,
      });
    const ranges: WorkOf<"finish">["ranges"] = [];
    for (let index = 0; index < 4; index++) {
      for (const { offset, length, sha256 } of (await copyRange(index, 1)).items) {
        ranges.push({ offset, length, sha256 });
      }
    }
    flipByte(stagedOf(world, "p-"), 2 * MIB + 77);
    const finish = (attempt: number) =>
      world.run(
        {
          kind: "finish",
          unit: "end",
          destination: { storage_id: world.destination.storage.id, path: "tree" },
          entry,
          ranges,
          verify: "full",
          preserve: ["mode", "times"],
        },
        undefined,
        { attempt },
      );
    const refused = await finish(1);
    expect(refused).toMatchObject({
      items: [],
      failures: [{ path: "long", code: "corrupt", blocks: [{ offset: 2 * MIB, length: MIB }] }],
    });
    expect(existsSync(to)).toBe(false);
    const before = world.sentBytes();
    await copyRange(2, 2);
    expect(world.sentBytes() - before).toBeLessThan(MIB + 10_000);
    expect((await finish(2)).failures).toEqual([]);
    expect(readFileSync(join(to, "long")).equals(data)).toBe(true);
  });

  it.each(["the file", "the journal"] as const)(
    "%s, or is cut, is not believed, and the file is right",
    async (what) => {
      const { world, from, to } = await begin();
      const data = randomBytes(24 * MIB);
      writeFileSync(join(from, "file"), data);
      const [item] = await itemsOf(world);
      if (item === undefined) throw new TypeError("nothing was listed");
      const received = await interrupted(world, item);
      const before = world.sentBytes();
      if (what === "the file") flipByte(stagedOf(world, "f-"), 3 * MIB);
      else truncateSync(stagedOf(world, "journal"), statSync(stagedOf(world, "journal")).size - 30);
      const second = await world.run(world.copyWork([item]), undefined, { attempt: 2 });
      expect(second.failures).toEqual([]);
      expect(readFileSync(join(to, "file")).equals(data)).toBe(true);
      const again = world.sentBytes() - before;
      if (what === "the file") expect(again).toBeGreaterThan(24 * MIB - 1);
      // It costs one record more.
      else expect(again).toBeLessThan(24 * MIB - received + 12 * MIB);
    },
  );
});

describe.each([
  ["short", 15],
  ["long", 300_000],
])("a worker that died between the name of a %s file and the answer", (_, bytes) => {
  const right = randomBytes(bytes);
  const named = async () => {
    const { world, from, to } = await begin();
    writeFileSync(join(from, "file"), right, { mode: 0o640 });
    utimesSync(join(from, "file"), 5, 1234.5);
    const items = await itemsOf(world);
    expect((await world.run(world.copyWork(items))).failures).toEqual([]);
    return { world, from, to, items, sent: world.sentBytes() };
  };

  it("is followed by one that finds the file, gives it its metadata once more and moves nothing", async () => {
    const { world, from, to, items, sent } = await named();
    chmodSync(join(to, "file"), 0o600);
    utimesSync(join(to, "file"), 9, 9);
    for (const attempt of [2, 3]) {
      const outcome = await world.run(world.copyWork(items), undefined, { attempt });
      expect(outcome).toMatchObject({ failures: [], items: [{ path: "file" }] });
    }
    expect(world.sentBytes()).toBe(sent);
    expect(digestTree(to).slice(1)).toEqual(digestTree(from).slice(1));
  });

  it("is not believed where the file has other bytes by then, under the same number of the file system", async () => {
    const { world, from, to, items } = await named();
    writeFileSync(join(to, "file"), randomBytes(bytes));
    const outcome = await world.run(world.copyWork(items), undefined, { attempt: 2 });
    expect(outcome.failures).toEqual([]);
    expect(readFileSync(join(to, "file")).equals(right)).toBe(true);
    expect(digestTree(to).slice(1)).toEqual(digestTree(from).slice(1));
  });
});

const mounts = (...args: readonly string[]) => spawnSync("mount", args, { stdio: "ignore" }).status === 0;
/** Whether this machine lets a test mount something of its own. */
const mountRefusal = (() => {
  if (process.getuid?.() !== 0) return "only root may mount";
  const probe = execFileSync("mktemp", ["-d"], { encoding: "utf8" }).trim();
  const may = mounts("-t", "tmpfs", "-o", "size=1m", "tmpfs", probe);
  if (may) spawnSync("umount", [probe]);
  rmSync(probe, { recursive: true, force: true });
  return may ? undefined : "nothing may be mounted here";
})();

describe.skipIf(mountRefusal !== undefined)(
  `a destination${mountRefusal === undefined ? "" : ` (${mountRefusal})`}`,
  () => {
    const onTmpfs = async () => {
      const begun = await begin({
        prepare: (path, workerId) => {
          if (workerId !== "destination") return undefined;
          if (!mounts("-t", "tmpfs", "-o", "size=8m", "tmpfs", path)) throw new TypeError(`${path} was not mounted`);
          return () => {
            // The world still holds it open: it goes when that ends.
            spawnSync("umount", ["-l", path]);
          };
        },
      });
      const root = join(begun.world.directory, "destination");
      return { ...begun, remount: (options: string) => mounts("-o", `remount,${options}`, root) };
    };

    it("that is full says no-space, keeps what came, and goes on with it when there is room", async () => {
      const { world, from, to, remount } = await onTmpfs();
      const data = randomBytes(12 * MIB);
      writeFileSync(join(from, "long"), data);
      for (const name of ["a", "b"]) writeFileSync(join(from, name), name);
      const items = await itemsOf(world);
      expect(await codeOf(world.run(world.copyWork(items)))).toBe("no-space");
      expect(await codeOf(world.run(world.copyWork(items), undefined, { attempt: 2 }))).toBe("no-space");
      // What fitted is there, and nothing else has a name.
      for (const name of existsSync(to) ? readdirSync(to) : []) expect(readFileSync(join(to, name), "utf8")).toBe(name);
      expect(remount("size=64m")).toBe(true);
      let most = 0;
      const onBytes = (bytes: number) => {
        most = Math.max(most, bytes);
      };
      const third = await world.run(world.copyWork(items), undefined, { attempt: 3, onBytes });
      expect(third.failures).toEqual([]);
      // At once: what was there already.
      expect(most).toBeGreaterThan(4 * MIB - 1);
      expect(readFileSync(join(to, "long")).equals(data)).toBe(true);
      expect(digestTree(to).slice(1)).toEqual(digestTree(from).slice(1));
    });

    it("that is read-only says so, and takes it when it may be written", async () => {
      const { world, from, to, remount } = await onTmpfs();
      writeFileSync(join(from, "file"), "bytes");
      const items = await itemsOf(world);
      expect(remount("ro")).toBe(true);
      expect(await codeOf(world.run(world.copyWork(items)))).toBe("read-only");
      expect(remount("rw")).toBe(true);
      expect((await world.run(world.copyWork(items), undefined, { attempt: 2 })).failures).toEqual([]);
      expect(readFileSync(join(to, "file"), "utf8")).toBe("bytes");
    });

    it("that is not mounted any more is waited for, and nothing is written where it was", async () => {
      const { world, from } = await onTmpfs();
      writeFileSync(join(from, "file"), "bytes");
      const items = await itemsOf(world);
      const root = join(world.directory, "destination");
      expect(spawnSync("umount", ["-l", root]).status).toBe(0);
      expect(await codeOf(world.run(world.copyWork(items)))).toBe("no-storage");
      expect(readdirSync(root)).toEqual([]);
    });
  },
);

describe("a source whose storage is another by now", () => {
  it("serves nothing, and is waited for", async () => {
    const { world, from } = await begin();
    writeFileSync(join(from, "file"), "bytes");
    const items = await itemsOf(world);
    writeFileSync(join(world.directory, "source/.sluice-storage"), '{"version":1,"id":"another-storage-entirely"}');
    const run = world.run(world.copyWork(items));
    await expect(run).rejects.toMatchObject({
      code: "unreachable",
      message: expect.stringMatching(/^at the source, .* the storage .* is not what is mounted there now$/),
    });
    expect(existsSync(join(world.directory, "destination/tree"))).toBe(false);
  });
});

const tracesHere = spawnSync("strace", ["-f", "-o", "/dev/null", "true"], { stdio: "ignore" }).status === 0;

describe.skipIf(!tracesHere)("what the system is asked for, by strace", () => {
  /** A tree of three files is moved in a process of its own. */
  const traced = (inject: readonly string[] = [], repeats = 50_000) => {
    const program = `
      import { mkdirSync, writeFileSync, readdirSync } from "node:fs";
      import { freshOutcome, openWorkerWorld } from ${JSON.stringify(resolve(import.meta.dirname, "worker-world.fake.ts"))};
      const prepare = (path, id) => {
        writeFileSync(path + "/.sluice-storage", JSON.stringify({ version: 1, id: "storage-of-the-" + id }));
      };
      const world = await openWorkerWorld({ prepare });
      const from = world.directory + "/source/tree";
      mkdirSync(from + "/sub", { recursive: true });
      for (const name of ["one", "two", "sub/three"]) writeFileSync(from + "/" + name, name.repeat(${repeats}));
      const items = (await world.list()).map((entry) => ({ entry, offset: 0, length: entry.size }));
      const outcome = freshOutcome();
      const error = await world.run(world.copyWork(items), undefined, { outcome }).then(() => "", ({ code }) => code);
      const to = world.directory + "/destination/tree";
      const told = outcome.items.map(({ path }) => path).sort();
      console.log(JSON.stringify({ error, told, failures: outcome.failures, names: readdirSync(to, { recursive: true }).sort() }));
      world.close();
    `;
    const calls = "trace=fdatasync,fsync,rename,renameat,renameat2";
    const node = [process.execPath, "--no-warnings", "--input-type=module", "-e", program];
    const { stdout, stderr, status } = spawnSync(
      "strace",
      ["-f", "-y", "-o", "!cat >&2", "-e", calls, ...inject, ...node],
      {
        encoding: "utf8",
        timeout: 60_000,
        maxBuffer: 64 * MIB,
        // Faults are counted by thread: one of them waits for disks.
        env: { PATH: process.env["PATH"], UV_THREADPOOL_SIZE: "1" },
      },
    );
    if (status !== 0) throw new TypeError(`${status}: ${stdout}${stderr.slice(-2000)}`);
    return { result: JSON.parse(stdout.split("\n")[0] ?? ""), lines: stderr.split("\n") };
  };

  it.each([
    ["long", 50_000],
    ["short", 10],
  ])("data of %s files is on the disk before the name, and the name before the answer", (length, repeats) => {
    const { result, lines } = traced([], repeats);
    const names = ["one", "sub", "sub/three", "two"];
    expect(result).toEqual({ error: "", told: ["", ...names], failures: [], names });
    const at = (pattern: RegExp) => lines.findIndex((line) => pattern.test(line));
    const last = (pattern: RegExp) => lines.findLastIndex((line) => pattern.test(line));
    const order = [
      last(/fdatasync\(\d+<[^>]*\/[fs]-[0-9a-f]+>/),
      // What would come again at once is not journalled.
      ...(length === "long" ? [at(/fdatasync\(\d+<[^>]*\/u-[^>]*\/journal>/)] : []),
      at(/rename\w*\(.*[/"][fs]-[0-9a-f]+"/),
      last(/rename\w*\(.*[/"][fs]-[0-9a-f]+"/),
      at(/fsync\(\d+<[^>]*destination\/tree>/),
    ];
    expect(order, lines.join("\n")).not.toContain(-1);
    expect(order).toEqual([...order].sort((one, other) => one - other));
    expect(at(/fsync\(\d+<[^>]*destination\/tree\/sub>/)).toBeGreaterThan(order.at(-2) ?? 0);
    expect(lines.filter((line) => /fdatasync\(\d+<[^>]*\/[fs]-/.test(line))).toHaveLength(3);
  });

  it("a disk that fails to write one file costs that file alone, although it says so only once", () => {
    const { result, lines } = traced(["-e", "inject=fdatasync:error=EIO:when=2"]);
    const failed = lines.filter((line) => line.includes("EIO"));
    expect(failed).toHaveLength(1);
    expect(failed[0]).toMatch(/\/f-/);
    expect(result.failures).toMatchObject([{ code: "io" }]);
    expect(result.names).toHaveLength(3);
    expect(result.names).not.toContain(result.failures[0].path);
  });

  it.each(["ENOSPC", "EDQUOT"])(
    "a disk that says %s of one file is full: it is waited for, nothing unproved gets a name, and what was done is told",
    (errno) => {
      const { result, lines } = traced(["-e", `inject=fdatasync:error=${errno}:when=2`]);
      const [failed = ""] = lines.filter((line) => line.includes(errno));
      expect(failed).toMatch(/\/f-/);
      expect(JSON.stringify(result)).toContain("no-space");
      expect(result.names).not.toEqual(["one", "sub", "sub/three", "two"]);
      for (const path of result.told) if (path !== "") expect(result.names).toContain(path);
    },
  );

  it("a directory that cannot be synced has nothing told of its new names", () => {
    const { result } = traced(["-e", "inject=fsync:error=EIO:when=1+"]);
    expect(result).toMatchObject({ error: "io", told: [], names: ["one", "sub", "sub/three", "two"] });
  });
});
