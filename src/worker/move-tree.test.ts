import { hash, randomBytes } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { digestTree } from "./digest-tree.fake.ts";
import { PIECE_BYTES } from "./wire/frames.ts";
import { createItemHash, itemKeyOf } from "./wire/item-hash.ts";
import { openWorkerWorld, type WorkerWorld } from "./worker-world.fake.ts";

let open: WorkerWorld | undefined;
const begin = async (options: Parameters<typeof openWorkerWorld>[0] = {}) => {
  open = await openWorkerWorld(options);
  return { world: open, from: join(open.directory, "source/tree"), to: join(open.directory, "destination/tree") };
};
afterEach(() => {
  open?.close();
  open = undefined;
});

const sha256Of = (data: Buffer) => hash("sha256", data, "hex");

/** Of one range of a longer file. */
function digestOf(data: Buffer): string {
  const running = createItemHash({ length: data.length, key: itemKeyOf("lease") });
  for (let at = 0; at < data.length; at += PIECE_BYTES) running.update(data.subarray(at, at + PIECE_BYTES));
  return running.digest();
}

const odd = (root: string, bytes: number[]) => Buffer.concat([Buffer.from(`${root}/`), Buffer.from(bytes)]);

function makeTree(root: string): void {
  mkdirSync(join(root, "deep/er/still"), { recursive: true });
  mkdirSync(join(root, "empty"), { mode: 0o750 });
  writeFileSync(join(root, "nothing"), "");
  writeFileSync(join(root, "small"), "hello\n", { mode: 0o640 });
  writeFileSync(join(root, "big"), randomBytes(3 * 1024 * 1024 + 17));
  writeFileSync(join(root, "deep/er/still/middle"), randomBytes(700 * 1024));
  writeFileSync(join(root, "sparse"), "");
  truncateSync(join(root, "sparse"), 8 * 1024 * 1024);
  appendFileSync(join(root, "sparse"), "end");
  writeFileSync(join(root, "zeros"), Buffer.alloc(600 * 1024));
  linkSync(join(root, "small"), join(root, "deep/second name"));
  symlinkSync("../small", join(root, "deep/link"));
  symlinkSync("/etc/passwd", join(root, "absolute"));
  symlinkSync("nowhere", join(root, "dangling"));
  writeFileSync(odd(root, [0x66, 0xff, 0xfe, 0x0a, 0x1b, 0x5b]), "odd");
  writeFileSync(odd(root, [...Buffer.from("100% 日本 "), 0x80]), "odd too");
  writeFileSync(join(root, "n".repeat(255)), "long");
  for (let index = 0; index < 70; index++) writeFileSync(join(root, `deep/f${index}`), randomBytes(index * 31));
  chmodSync(join(root, "deep/f7"), 0o400);
  utimesSync(join(root, "deep/f8"), 1, 12_345.678_901);
  lutimesSync(join(root, "deep/link"), 5, 5);
  utimesSync(join(root, "deep"), 7, 77.25);
  utimesSync(join(root, "empty"), 8, 88.5);
}

describe("a tree that is moved", () => {
  it.each([{ trusted: false }])("arrives identical, %j", async (options) => {
    const { world, from, to } = await begin(options);
    makeTree(from);
    expect(await world.move()).toEqual([]);
    expect(digestTree(to)).toEqual(digestTree(from));
    expect(statSync(join(to, "sparse")).blocks).toBeLessThan(2048);
    expect(world.sentBytes()).toBeLessThan(6 * 1024 * 1024);
    expect(readdirSync(join(world.directory, "destination"))).toEqual([".sluice-storage", "tree"]);
  });

  it("is sent once: the second time nothing but hashes moves", async () => {
    const { world, from, to } = await begin();
    makeTree(from);
    await world.move();
    const first = world.sentBytes();
    writeFileSync(join(from, "deep/f9"), randomBytes(279));
    expect(await world.move()).toEqual([]);
    expect(digestTree(to)).toEqual(digestTree(from));
    // Empty files and the one that has changed.
    expect(world.sentBytes() - first).toBeLessThan(64 * 1024);
  });

  it.each(["transit", "readback"] as const)("verified by %s", async (verify) => {
    const { world, from, to } = await begin();
    mkdirSync(from);
    writeFileSync(join(from, "small"), "hello");
    writeFileSync(join(from, "big"), randomBytes(1024 * 1024 + 17));
    expect(await world.move({ work: { verify } })).toEqual([]);
    expect(digestTree(to)).toEqual(digestTree(from));
  });

  it("tells of what cannot be copied, and does not wait for a pipe", async () => {
    const { world, from } = await begin();
    mkdirSync(from);
    const { code } = await world.source.context.runProgram("mkfifo", [join(from, "pipe")], {
      timeoutMs: 5000,
      maxOutputBytes: 100,
    });
    expect(code).toBe(0);
    writeFileSync(join(from, "setuid"), "x");
    chmodSync(join(from, "setuid"), 0o4755);
    expect(await world.move()).toEqual([
      { path: "pipe", code: "unsupported", message: "a pipe, which cannot be copied" },
    ]);
    expect(statSync(join(world.directory, "destination/tree/setuid")).mode & 0o7777).toBe(0o755);
  });

  it("is never a mixed file: what changed since it was listed is told, and the rest arrives", async () => {
    const { world, from, to } = await begin();
    mkdirSync(from);
    writeFileSync(join(from, "a"), "one");
    writeFileSync(join(from, "b"), "two");
    const entries = await world.list();
    writeFileSync(join(from, "b"), "TWO");
    const items = entries.map((entry) => ({ entry, offset: 0, length: entry.size }));
    const outcome = await world.run(world.copyWork(items));
    expect(outcome.failures).toMatchObject([{ path: "b", code: "source-changed" }]);
    expect(outcome.items.map(({ path }) => path)).toEqual(["", "a"]);
    expect(readdirSync(to)).toEqual(["a"]);
  });

  it("is brought by the source where that has to dial", async () => {
    const { world, from, to } = await begin({ trusted: false });
    makeTree(from);
    const entries = (await world.list()).filter(({ type }) => type !== "hardlink");
    const items = entries.map((entry) => ({ entry, offset: 0, length: entry.size }));
    const [copied, served] = await Promise.all([
      world.run(world.copyWork(items, { dial: "source" })),
      world.run(
        {
          kind: "serve",
          copy_lease_id: "lease",
          copy_attempt: 1,
          source: { storage_id: world.source.storage.id, path: "tree" },
          destinations: [world.peer(items, "destination")],
        },
        world.source,
      ),
    ]);
    expect(copied.failures).toEqual([]);
    expect(served.bytesSent).toBeGreaterThan(3 * 1024 * 1024);
    expect(readFileSync(join(to, "big")).equals(readFileSync(join(from, "big")))).toBe(true);
  });

  it.each(["whole", "range"] as const)(
    "is gone on with by the next attempt: a file of which some has come, %s",
    async (form) => {
      const { world, from, to } = await begin();
      mkdirSync(from);
      const bytes = 24 * 1024 * 1024;
      const data = randomBytes(bytes);
      writeFileSync(join(from, "file"), data);
      const entry = (await world.list())[1];
      if (entry === undefined) throw new TypeError("nothing was listed");
      const offset = form === "whole" ? 0 : 1024;
      const item = { entry, offset, length: bytes - offset };
      const stop = new AbortController();
      let received = 0;
      const onBytes = (count: number) => {
        received += count;
      };
      const first = world.run(world.copyWork([item], { rate_bytes_s: 60e6 }), world.destination, {
        signal: stop.signal,
        onBytes,
      });
      await vi.waitFor(() => expect(received).toBeGreaterThan(10 * 1024 * 1024), { timeout: 30_000, interval: 5 });
      stop.abort(new DOMException("killed", "AbortError"));
      await expect(first).rejects.toThrow();
      expect(readdirSync(join(world.directory, "destination"))).not.toContain("tree");
      const before = world.sentBytes();
      const second = await world.run(world.copyWork([item]), world.destination, { attempt: 2 });
      expect(second).toMatchObject({
        failures: [],
        items: [{ path: "file", offset, sha256: form === "whole" ? sha256Of(data) : digestOf(data.subarray(offset)) }],
      });
      // The journal says how far it was every 4 MiB, and as much may have been on its way.
      expect(world.sentBytes() - before).toBeLessThan(bytes - received + 8 * 1024 * 1024);
      if (form === "whole") expect(readFileSync(join(to, "file")).equals(data)).toBe(true);
    },
  );

  it("is copied within one storage over no connection", async () => {
    const { world, from } = await begin();
    makeTree(from);
    const entries = (await world.list()).filter(({ type }) => type !== "hardlink");
    const items = entries.map((entry) => ({ entry, offset: 0, length: entry.size }));
    const storage = { storage_id: world.source.storage.id };
    const outcome = await world.run(
      world.copyWork(items, {
        local: true,
        sources: [],
        source: { ...storage, path: "tree" },
        destination: { ...storage, path: "copy/of it" },
      }),
      world.source,
    );
    expect(outcome.failures).toEqual([]);
    const copy = join(world.directory, "source/copy/of it");
    const files = (root: string) =>
      digestTree(root, { times: false }).filter((line) => !/^[^ ]*\/ |second name/.test(line));
    expect(files(copy)).toEqual(files(from));
    expect(world.sentBytes()).toBe(0);
  });
});

describe("who asks for bytes", () => {
  const prepared = async () => {
    const { world, from } = await begin({ trusted: false });
    mkdirSync(from);
    for (const name of ["a", "b"]) writeFileSync(join(from, name), name);
    const items = (await world.list()).slice(1).map((entry) => ({ entry, offset: 0, length: entry.size }));
    const ask = (ticket: string, sources = {}) =>
      world.run(world.copyWork(items, { sources: [{ ...world.peer(items), ticket, ...sources }] })).then(
        () => "served",
        (error: { code: string }) => error.code,
      );
    return { world, items, ask };
  };

  it("needs a ticket for exactly these items, for both workers, and in time", async () => {
    const { world, items, ask } = await prepared();
    expect(await ask("none")).toBe("denied");
    expect(await ask(world.ticket(items.slice(1)))).toBe("denied");
    // Of the same files other ranges.
    const shorter = items.map((item) => ({ ...item, length: 0 }));
    expect(await ask(world.ticket(shorter))).toBe("denied");
    const shifted = items.map((item) => ({ ...item, offset: 1 }));
    expect(await ask(world.ticket(shifted))).toBe("denied");
    // Of the same names other files.
    const [first, ...rest] = items;
    if (first === undefined) throw new TypeError("nothing was listed");
    for (const other of [{ generation: "another" }, { type: "directory" as const }, { path: "c" }]) {
      expect(await ask(world.ticket([{ ...first, entry: { ...first.entry, ...other } }, ...rest]))).toBe("denied");
    }
    expect(await ask(world.ticket(items, { src: "other" }))).toBe("denied");
    expect(await ask(world.ticket(items, { iat: 1, exp: 2 }))).toBe("denied");
    // Such a storage may come back: it waits.
    expect(await ask(world.ticket(items, { storage: "another-storage" }))).toBe("unreachable");
    expect(await ask(world.ticket(items, { cert: "0".repeat(64) }))).toBe("denied");
    expect(readdirSync(join(world.directory, "destination"))).not.toContain("tree");
    expect(await ask(world.ticket(items, { cert: world.destination.sha256 }))).toBe("served");
  });

  it("turns away from a server with another certificate, and is turned away without TLS", async () => {
    const { world, items, ask } = await prepared();
    expect(await ask(world.ticket(items), { certificate_sha256: "0".repeat(64) })).toBe("unreachable");
    expect(await ask(world.ticket(items), { certificate_sha256: undefined })).toBe("unreachable");
    const endpoints = [{ address: `127.0.0.1:${world.source.port}`, trusted: true }];
    expect(await ask(world.ticket(items), { endpoints })).toBe("denied");
  });
});
