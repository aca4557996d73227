import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { CopyItem } from "../contract/transfer/assignment.ts";
import { planPageSchema } from "../contract/transfer/plan-page.ts";
import { digestTree } from "./digest-tree.fake.ts";
import { startRelay } from "./wire/relay.fake.ts";
import { openWorkerWorld, type WorkerWorld } from "./worker-world.fake.ts";

const MIB = 1024 * 1024;
const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

const begin = async () => {
  const world = await openWorkerWorld();
  closers.push(world.close);
  const from = join(world.directory, "source/tree");
  mkdirSync(from);
  return { world, from, to: join(world.directory, "destination/tree") };
};
const itemsOf = async (world: WorkerWorld): Promise<CopyItem[]> =>
  (await world.list()).slice(1).map((entry) => ({ entry, offset: 0, length: entry.size }));
const makePipe = (world: WorkerWorld, path: string) =>
  world.source.context.runProgram("mkfifo", [path], { timeoutMs: 5000, maxOutputBytes: 100 });
const odd = (root: string, bytes: Buffer) => Buffer.concat([Buffer.from(`${root}/`), bytes]);

describe("a source that changes while it is copied", () => {
  const BYTES = 16 * MIB;
  const overwrite = (path: string) => {
    const fd = openSync(path, "r+");
    writeSync(fd, randomBytes(100), 0, 100, BYTES - 100);
    closeSync(fd);
  };
  it.each([
    ["is written to", overwrite],
    [
      "is written to, and given its old times",
      (path: string) => {
        const { atime, mtime } = statSync(path);
        overwrite(path);
        utimesSync(path, atime, mtime);
      },
    ],
    ["becomes longer", (path: string) => appendFileSync(path, "more")],
    ["becomes shorter", (path: string) => truncateSync(path, BYTES - 1)],
    [
      "is replaced",
      (path: string) => {
        writeFileSync(`${path}.new`, randomBytes(BYTES));
        renameSync(`${path}.new`, path);
      },
    ],
    ["gets another name", (path: string) => renameSync(path, `${path}.old`)],
    ["is removed", (path: string) => rmSync(path)],
  ])("and %s is no mixed file: it is told, and what the destination had stays", async (_, change) => {
    const { world, from, to } = await begin();
    const path = join(from, "file");
    writeFileSync(path, randomBytes(BYTES));
    mkdirSync(to);
    writeFileSync(join(to, "file"), "what was there");
    const items = await itemsOf(world);
    let isChanged = false;
    const relay = await startRelay(world.source.port, {
      answer: (bytes, at) => {
        // Some of it has come, and most of it has not been read.
        if (at + bytes.length > 64 * 1024 && !isChanged) {
          isChanged = true;
          change(path);
        }
        return bytes;
      },
    });
    closers.push(relay.close);
    const sources = [{ ...world.peer(items), endpoints: [relay.endpoint] }];
    const outcome = await world.run(world.copyWork(items, { sources }));
    expect(isChanged).toBe(true);
    // Of the source: who copies has done nothing wrong.
    const failures = [{ path: "file", code: "source-changed", source_worker: "source" }];
    expect(outcome).toMatchObject({ items: [], failures });
    expect(readFileSync(join(to, "file"), "utf8")).toBe("what was there");
    if (!existsSync(path)) return;
    // Listed again, it comes as it is then.
    expect(await world.move({ chunkBytes: BYTES * 2 })).toEqual([]);
    expect(readFileSync(join(to, "file")).equals(readFileSync(path))).toBe(true);
  });

  it("into something else than a file holds nobody up", async () => {
    const { world, from, to } = await begin();
    for (const name of ["becomes a pipe", "becomes a link", "becomes a directory", "stays"]) {
      writeFileSync(join(from, name), name);
    }
    const items = await itemsOf(world);
    for (const { entry } of items) if (entry.path !== "stays") rmSync(join(from, entry.path));
    await makePipe(world, join(from, "becomes a pipe"));
    symlinkSync("/etc/passwd", join(from, "becomes a link"));
    mkdirSync(join(from, "becomes a directory"));
    const { failures } = await world.run(world.copyWork(items));
    expect(failures.map(({ path, code }) => `${path}: ${code}`).sort()).toEqual([
      "becomes a directory: source-changed",
      "becomes a link: denied",
      "becomes a pipe: source-changed",
    ]);
    expect(readdirSync(to)).toEqual(["stays"]);
  });
});

describe("names", () => {
  it("of any bytes arrive as they are; those that are too long are told, and the others arrive", async () => {
    const { world, from, to } = await begin();
    const names = [
      ..."ab".split("").map((letter) => letter.repeat(255)),
      "..hidden",
      "...",
      " ",
      "-rf",
      "~",
      "$(touch x)",
      "a\nb",
      "a\rb",
      "\x1b[2J\x1b]0;title\x07",
      "%41",
      "%",
      "Case",
      "case",
      ".sluice-transfer",
      ".sluice-storage",
      ".sluice-transfer.x",
      "m-mark",
      "u-0.1",
      "\u202egnp.exe",
      "e\u0301",
      "\u00e9",
    ].map((name) => Buffer.from(name));
    names.push(
      Buffer.from([0xff]),
      Buffer.from([0xc0, 0x80]),
      Buffer.from([0xed, 0xa0, 0x80]),
      Buffer.from([0x9b, 0x32, 0x4a]),
    );
    for (const name of names) writeFileSync(odd(from, name), randomBytes(20));
    // As long as a path may be: by steps, for no system takes it at once.
    const deep = Array.from({ length: 20 }, () => "d".repeat(200));
    const start = process.cwd();
    try {
      process.chdir(from);
      for (const name of deep) {
        mkdirSync(name);
        process.chdir(name);
      }
      writeFileSync("e".repeat(75), "fits");
      writeFileSync("f".repeat(200), "is too long");
      writeFileSync("g".repeat(200), "is too long");
    } finally {
      process.chdir(start);
    }
    const failures = await world.move();
    expect(failures).toEqual([
      { path: deep.join("/"), code: "denied", message: expect.stringContaining("more than 4096 bytes") },
    ]);
    const lines = (root: string) => readdirSync(root, { encoding: "latin1" }).sort();
    expect(lines(to)).toEqual(lines(from));
    for (const name of names) expect(readFileSync(odd(to, name)).equals(readFileSync(odd(from, name)))).toBe(true);
    let [entries, depth] = [readdirSync(to), 0];
    process.chdir(to);
    try {
      for (; depth < deep.length; depth++) {
        process.chdir(deep[depth] ?? "");
        entries = readdirSync(".");
      }
    } finally {
      process.chdir(start);
    }
    expect(entries).toEqual(["e".repeat(75)]);
    // A hub takes each page as it is.
    const lease = { worker_id: "source", request_id: "r1", lease_id: "l", attempt: 1 };
    for (const [page, listed] of world.pages.entries()) {
      const read = planPageSchema.parse({ ...lease, page, entries: listed, skipped: failures, is_last: true });
      expect(read.entries).toEqual(listed);
    }
  });
});

describe("special files", () => {
  it("are told and left out, in the way at the destination they are replaced, and bits that raise rights are not given", async () => {
    const { world, from, to } = await begin();
    await makePipe(world, join(from, "pipe"));
    // The one that never ends.
    const { code: isNoRoot } = await world.source.context.runProgram("mknod", [join(from, "device"), "c", "1", "5"], {
      timeoutMs: 5000,
      maxOutputBytes: 1000,
    });
    const device = { path: "device", code: "unsupported", message: "a device, which cannot be copied" };
    const socket = createServer();
    await new Promise<void>((resolve) => socket.listen(join(from, "socket"), resolve));
    closers.push(() => void socket.close());
    writeFileSync(join(from, "setuid"), "x");
    chmodSync(join(from, "setuid"), 0o6755);
    mkdirSync(join(from, "sticky"));
    chmodSync(join(from, "sticky"), 0o1777);
    mkdirSync(join(from, "setgid"));
    chmodSync(join(from, "setgid"), 0o2775);
    const outside = join(world.directory, "outside");
    writeFileSync(outside, "untouched");
    mkdirSync(to);
    for (const name of ["behind a pipe", "behind a link", "behind a dangling link"])
      writeFileSync(join(from, name), name);
    await makePipe(world, join(to, "behind a pipe"));
    symlinkSync(outside, join(to, "behind a link"));
    symlinkSync("nowhere", join(to, "behind a dangling link"));
    expect(await world.move()).toEqual([
      ...(isNoRoot ? [] : [device]),
      { path: "pipe", code: "unsupported", message: "a pipe, which cannot be copied" },
      { path: "socket", code: "unsupported", message: "a socket, which cannot be copied" },
    ]);
    for (const name of ["behind a pipe", "behind a link", "behind a dangling link"]) {
      expect(lstatSync(join(to, name)).isFile()).toBe(true);
      expect(readFileSync(join(to, name), "utf8")).toBe(name);
    }
    expect(readFileSync(outside, "utf8")).toBe("untouched");
    const mode = (name: string) => (statSync(join(to, name)).mode & 0o7777).toString(8);
    expect(["setuid", "sticky", "setgid"].map(mode)).toEqual(["755", "1777", "775"]);
  });

  it("a directory where the destination has a file, or a file where it has a directory, is refused and harms nothing", async () => {
    const { world, from, to } = await begin();
    mkdirSync(join(from, "was a file"));
    writeFileSync(join(from, "was a file/inside"), "x");
    writeFileSync(join(from, "was a directory"), "x");
    mkdirSync(join(to, "was a directory"), { recursive: true });
    writeFileSync(join(to, "was a directory/kept"), "kept");
    writeFileSync(join(to, "was a file"), "kept");
    const failures = await world.move();
    const codes = new Map(failures.map(({ path, code }) => [path, code]));
    expect(failures.filter(({ source_worker: source }) => source !== undefined)).toEqual([]);
    expect(codes.get("was a directory")).toBe("denied");
    expect(codes.get("was a file")).toBe("denied");
    expect(readFileSync(join(to, "was a directory/kept"), "utf8")).toBe("kept");
    expect(readFileSync(join(to, "was a file"), "utf8")).toBe("kept");
  });
});

describe("files with holes, and files with many names", () => {
  const gib = isLong ? 100 : 0.0625;
  it(`${gib} GiB with 1 MiB of data move that MiB, and are as small where they arrive`, {
    timeout: 3_600_000,
  }, async () => {
    const { world, from, to } = await begin();
    const bytes = gib * 1024 * MIB;
    const path = join(from, "sparse");
    writeFileSync(path, "");
    truncateSync(path, bytes);
    const fd = openSync(path, "r+");
    const data = randomBytes(MIB);
    writeSync(fd, data, 0, MIB, bytes / 2);
    closeSync(fd);
    writeFileSync(join(from, "zeros"), Buffer.alloc(2 * MIB));
    expect(await world.move({ chunkBytes: bytes * 2 })).toEqual([]);
    // What is told of a hole does not grow with it.
    expect(world.sentBytes()).toBeLessThan(MIB + 64 * 1024);
    for (const name of ["sparse", "zeros"]) expect(statSync(join(to, name)).size).toBe(statSync(join(from, name)).size);
    expect(statSync(join(to, "sparse")).blocks * 512).toBeLessThan(3 * MIB);
    expect(readFileSync(join(to, "zeros")).equals(Buffer.alloc(2 * MIB))).toBe(true);
    const copy = openSync(join(to, "sparse"), "r");
    const read = Buffer.alloc(MIB);
    const { readSync } = await import("node:fs");
    readSync(copy, read, 0, MIB, bytes / 2);
    closeSync(copy);
    expect(read.equals(data)).toBe(true);
  });

  const links = isLong ? 10_000 : 1500;
  it(`${links} names of few files, over several pages, are as many names of as few files`, {
    timeout: 600_000,
  }, async () => {
    const { world, from, to } = await begin();
    mkdirSync(join(from, "far"));
    const places = ["", "far/"];
    for (let group = 0; group < 5; group++) writeFileSync(join(from, `zz first ${group}`), `group ${group}`);
    for (let index = 0; index < links; index++) {
      const name = `${places[index % 2]}l${String(index).padStart(6, "0")}`;
      linkSync(join(from, `zz first ${index % 5}`), join(from, name));
    }
    expect(await world.move()).toEqual([]);
    expect(world.pages.length).toBeGreaterThan(1);
    expect(digestTree(to)).toEqual(digestTree(from));
    expect(statSync(join(to, "l000000")).nlink).toBe(links / 5 + 1);
  });
});
