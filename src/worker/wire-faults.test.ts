import { hash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { seededRandom } from "../base/random.ts";
import type { CopyItem } from "../contract/transfer/assignment.ts";
import { FRAME, FRAME_HEAD_BYTES, jsonFrame, PIECE_BYTES, writeDataHeads } from "./wire/frames.ts";
import { byFrame, type OnTheWay, startRelay } from "./wire/relay.fake.ts";
import { freshOutcome, openWorkerWorld, type WorkerWorld } from "./worker-world.fake.ts";

const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

const begin = async () => {
  const world = await openWorkerWorld();
  closers.push(world.close);
  const from = join(world.directory, "source/tree");
  const to = join(world.directory, "destination/tree");
  mkdirSync(from);
  return { world, from, to };
};
const itemsOf = async (world: WorkerWorld): Promise<CopyItem[]> =>
  (await world.list()).slice(1).map((entry) => ({ entry, offset: 0, length: entry.size }));

/** By way of this port. What went wrong is told by name; undefined: nothing did. */
async function copyBy(
  world: WorkerWorld,
  items: readonly CopyItem[],
  { port, attempt, unit = "u" }: { readonly port: number; readonly attempt: number; readonly unit?: string },
): Promise<readonly string[]> {
  const sources = [{ ...world.peer(items), endpoints: [{ address: `127.0.0.1:${port}`, trusted: true }] }];
  try {
    const { failures } = await world.run(world.copyWork(items, { unit, sources }), world.destination, { attempt });
    return failures.map(({ code }) => code);
  } catch (thrown) {
    return [String((thrown as { code?: string }).code)];
  }
}

describe("bytes that change on their way", () => {
  const flipAt =
    (position: number, bit: number): OnTheWay =>
    (bytes, at) => {
      const place = position - at;
      if (place < 0 || place >= bytes.length) return bytes;
      const changed = Buffer.from(bytes);
      changed[place] = (changed[place] ?? 0) ^ (1 << bit);
      return changed;
    };

  it("by a bit, anywhere, give no name to wrong bytes, and the next attempt brings what is right", {
    timeout: 600_000,
  }, async () => {
    const { world, from, to } = await begin();
    const right = new Map<string, Buffer>();
    for (const [name, bytes] of [
      ["long", 300_000],
      ["one", 40],
      ["same-1", 500],
      ["same-2", 500],
      ["same-3", 500],
      ["zeros", 0],
    ] as const) {
      right.set(name, bytes === 0 ? Buffer.alloc(200_000) : randomBytes(bytes));
      writeFileSync(join(from, name), right.get(name) ?? "");
    }
    const items = await itemsOf(world);
    const dated = (round: number) => {
      rmSync(to, { recursive: true, force: true });
      mkdirSync(to);
      // What is there already is asked about: two are the same, one is not.
      for (const name of ["same-1", "same-2"]) writeFileSync(join(to, name), right.get(name) ?? "");
      writeFileSync(join(to, "same-3"), randomBytes(500));
      return `flip-${round}`;
    };
    const nameless = () => readdirSync(to).filter((name) => !right.get(name)?.equals(readFileSync(join(to, name))));

    const plain = await startRelay(world.source.port, {});
    expect(await copyBy(world, items, { port: plain.port, attempt: 1, unit: dated(0) })).toEqual([]);
    const { asked, answered } = plain.moved();
    plain.close();
    const random = seededRandom(8);
    const rounds = isLong ? 1500 : 40;
    let found = 0;
    for (let round = 1; round <= rounds; round++) {
      const isAsk = round % 4 === 0;
      // Half of them in what says what the bytes are, which comes last and first.
      const of = isAsk ? asked : answered;
      const at = Math.floor(random() * (round % 2 === 0 ? of : Math.min(of, 700)));
      const position = round % 4 === 1 ? of - 1 - at : at;
      const flip = flipAt(position, Math.floor(random() * 8));
      const relay = await startRelay(world.source.port, isAsk ? { ask: flip } : { answer: flip });
      const unit = dated(round);
      const told = await copyBy(world, items, { port: relay.port, attempt: 1, unit });
      relay.close();
      if (told.length > 0) found += 1;
      const wrong = nameless().filter((name) => name !== "same-3");
      expect(wrong, `bit of byte ${position} of ${isAsk ? "the question" : "the answer"}`).toEqual([]);
      if (told.length === 0) expect(nameless()).toEqual([]);
      expect(await copyBy(world, items, { port: world.source.port, attempt: 2, unit })).toEqual([]);
      expect(nameless()).toEqual([]);
      expect(readdirSync(to).sort()).toEqual([...right.keys()].sort());
    }
    expect(found).toBeGreaterThan(rounds / 2);
  });

  it.each(["swapped", "repeated", "left out"] as const)(
    "by pieces that are %s are found, and come again",
    async (how) => {
      const { world, from, to } = await begin();
      const data = randomBytes(4 * PIECE_BYTES);
      writeFileSync(join(from, "file"), data);
      const items = await itemsOf(world);
      let held: Buffer | undefined;
      let pieces = 0;
      const relay = await startRelay(world.source.port, {
        answer: byFrame((frame) => {
          if (frame[0] !== FRAME.data) return [frame];
          pieces += 1;
          if (how === "repeated") return pieces === 2 ? [frame, frame] : [frame];
          if (how === "left out") return pieces === 2 ? [] : [frame];
          if (pieces === 2) {
            held = frame;
            return [];
          }
          return pieces === 3 && held !== undefined ? [frame, held] : [frame];
        }),
      });
      closers.push(relay.close);
      expect(await copyBy(world, items, { port: relay.port, attempt: 1 })).toEqual(["corrupt"]);
      expect(existsSync(join(to, "file"))).toBe(false);
      expect(await copyBy(world, items, { port: world.source.port, attempt: 2 })).toEqual([]);
      expect(readFileSync(join(to, "file")).equals(data)).toBe(true);
    },
  );

  it.each([
    ["bytes", randomBytes(300_000)],
    ["a hole", Buffer.alloc(300_000)],
  ])("in the number of the file that %s came for, give nothing to another that is as long", async (_, bytes) => {
    const { world, from, to } = await begin();
    const other = randomBytes(bytes.length);
    writeFileSync(join(from, "a"), bytes);
    writeFileSync(join(from, "b"), other);
    const items = await itemsOf(world);
    let isChanged = false;
    const relay = await startRelay(world.source.port, {
      answer: byFrame((frame) => {
        if (frame[0] === FRAME.data && !isChanged) {
          isChanged = true;
          frame.writeUInt32BE(1, FRAME_HEAD_BYTES);
        }
        return [frame];
      }),
    });
    closers.push(relay.close);
    expect(await copyBy(world, items, { port: relay.port, attempt: 1 })).toEqual(["corrupt", "corrupt"]);
    expect([isChanged, existsSync(to)]).toEqual([true, false]);
    expect(await copyBy(world, items, { port: world.source.port, attempt: 2 })).toEqual([]);
    expect(readFileSync(join(to, "a")).equals(bytes)).toBe(true);
    expect(readFileSync(join(to, "b")).equals(other)).toBe(true);
  });

  it("in the number of a file that is the same, do not make another of it that was the same", async () => {
    const { world, from, to } = await begin();
    mkdirSync(to);
    const was = randomBytes(100);
    const names = Array.from({ length: 71 }, (_, index) => `f${String(index).padStart(2, "0")}`);
    for (const name of names) {
      writeFileSync(join(from, name), was);
      writeFileSync(join(to, name), was);
    }
    writeFileSync(join(from, "f70"), randomBytes(100));
    const changed = readFileSync(join(from, "f70"));
    const items = await itemsOf(world);
    const relay = await startRelay(world.source.port, {
      answer: byFrame((frame) => [
        Buffer.from(frame.toString("latin1").replace('"index":60,', '"index":70,'), "latin1"),
      ]),
    });
    closers.push(relay.close);
    const outcome = freshOutcome();
    const sources = [{ ...world.peer(items), endpoints: [relay.endpoint] }];
    const run = world.run(world.copyWork(items, { sources }), undefined, { outcome });
    await expect(run).rejects.toMatchObject({ code: "corrupt" });
    // What is told to be done is not asked for again.
    expect(outcome.items.map(({ path }) => path).sort()).toEqual(names.slice(0, 60));
    expect(await copyBy(world, items, { port: world.source.port, attempt: 2 })).toEqual([]);
    expect(readFileSync(join(to, "f70")).equals(changed)).toBe(true);
  });
});

describe("a peer that lies", () => {
  const piece = (index: number, at: number, bytes: Buffer, more: { isLast?: boolean; digest?: Buffer } = {}) => {
    const frame = Buffer.alloc(FRAME_HEAD_BYTES + 49 + bytes.length);
    const digest = more.digest ?? hash("sha256", bytes, "buffer");
    writeDataHeads(frame, 0, {
      index,
      at,
      length: bytes.length,
      isZero: false,
      isPatch: false,
      isLast: more.isLast ?? true,
      digest,
    });
    bytes.copy(frame, FRAME_HEAD_BYTES + 49);
    return frame;
  };
  const end = Buffer.from([FRAME.end, 0, 0, 0, 0]);
  const head = (type: number, bytes: number) => {
    const frame = Buffer.alloc(FRAME_HEAD_BYTES);
    frame[0] = type;
    frame.writeUInt32BE(bytes, 1);
    return frame;
  };

  it.each([
    ["says that all has come", [end]],
    ["sends more than the file has", [piece(0, 0, Buffer.alloc(PIECE_BYTES)), end]],
    ["sends less, and calls it all", [piece(0, 0, Buffer.alloc(10)), end]],
    ["sends another hash", [piece(0, 0, Buffer.alloc(1000), { digest: Buffer.alloc(32) }), end]],
    ["sends from the middle", [piece(0, 500, Buffer.alloc(500)), end]],
    ["sends what was not asked for", [piece(0xffff_ffff, 0, Buffer.alloc(1000)), end]],
    ["says that what is not there is the same", [jsonFrame(FRAME.same, { index: 0, sha256: "0".repeat(64) }), end]],
    ["says so without a hash", [jsonFrame(FRAME.same, { index: 0 }), end]],
    ["announces a frame of 4 GiB", [head(FRAME.data, 0xffff_ffff)]],
    ["announces a text of 4 GiB", [head(FRAME.failed, 0xffff_ffff)]],
    ["asks back", [jsonFrame(FRAME.want, { wants: [], sparse: true })]],
    ["is no worker", [Buffer.from("HTTP/1.1 200 OK\r\n\r\n")]],
    ["sends no JSON", [head(FRAME.same, 4), Buffer.from("{{{{")]],
    ["ends in the middle", [piece(0, 0, Buffer.alloc(1000)).subarray(0, 300)]],
  ])("that %s brings nothing a name", async (how, answer) => {
    const { world, from, to } = await begin();
    writeFileSync(join(from, "file"), randomBytes(1000));
    const items = await itemsOf(world);
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.resume();
      socket.write(Buffer.concat(answer));
      setTimeout(() => socket.end(), 20);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.push(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const [code] = await copyBy(world, items, { port, attempt: 1 });
    // At once, by what it says: nobody waits for 4 GiB, nor makes room for them.
    expect(code).toBe(how === "ends in the middle" ? "unreachable" : "corrupt");
    expect(existsSync(to)).toBe(false);
    expect(await copyBy(world, items, { port: world.source.port, attempt: 2 })).toEqual([]);
    expect(readFileSync(join(to, "file")).equals(readFileSync(join(from, "file")))).toBe(true);
  });

  it("that calls a part of a long file the whole of it brings it no name", async () => {
    const { world, from, to } = await begin();
    const data = randomBytes(3 * PIECE_BYTES);
    writeFileSync(join(from, "file"), data);
    const items = await itemsOf(world);
    let pieces = 0;
    const relay = await startRelay(world.source.port, {
      answer: byFrame((frame) => {
        if (frame[0] !== FRAME.data) return [frame];
        pieces += 1;
        // Its bytes and their mark are right.
        const flags = FRAME_HEAD_BYTES + 16;
        if (pieces === 1) frame[flags] = (frame[flags] ?? 0) | 2;
        return pieces === 1 ? [frame] : [];
      }),
    });
    closers.push(relay.close);
    expect(await copyBy(world, items, { port: relay.port, attempt: 1 })).toEqual(["corrupt"]);
    expect(existsSync(join(to, "file"))).toBe(false);
    expect(await copyBy(world, items, { port: world.source.port, attempt: 2 })).toEqual([]);
    expect(readFileSync(join(to, "file")).equals(data)).toBe(true);
  });

  it("and names places outside, or the storage's own, is refused name by name, and the others arrive", async () => {
    const { world, from, to } = await begin();
    writeFileSync(join(from, "good"), "good");
    const outside = join(world.directory, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "sentinel"), "untouched");
    const [good] = await itemsOf(world);
    if (good === undefined) throw new TypeError("nothing was listed");
    const lie = (path: string, more: object = {}): CopyItem => ({ ...good, entry: { ...good.entry, path, ...more } });
    const hostile = ["..", "../x", "a/../../x", "/etc/x", "a//b", "a/", ".", "a%00b", "%2E%2E/x", "n".repeat(256)];
    for (const path of hostile) {
      // A hub takes no listing with such a name; one that did would get no further with it.
      const { failures } = await world.run(world.copyWork([lie(path)], { unit: `u ${path}` }));
      expect(failures.map(({ code }) => `${path} ${code}`)).toEqual([`${path} denied`]);
    }
    mkdirSync(join(from, "way"));
    writeFileSync(join(from, "way/sentinel"), "overwritten");
    const inWay = (await itemsOf(world)).find(({ entry }) => entry.path === "way/sentinel");
    if (inWay === undefined) throw new TypeError("nothing was listed");
    const way = { ...lie("way", { type: "symlink", size: 0, target: outside }), length: 0 };
    const outcome = await world.run(world.copyWork([way, inWay, good]));
    expect(outcome.failures.map(({ path, code }) => `${path} ${code}`)).toEqual(["way/sentinel denied"]);
    expect(readdirSync(to).sort()).toEqual(["good", "way"]);
    expect(readFileSync(join(outside, "sentinel"), "utf8")).toBe("untouched");
    expect(readdirSync(outside)).toEqual(["sentinel"]);
    for (const path of ["", ".sluice-storage", ".sluice-transfer/x"]) {
      const toRoot = { storage_id: world.destination.storage.id, path: "" };
      const work = world.copyWork([path === "" ? good : lie(path)], { destination: toRoot, unit: `root ${path}` });
      const { failures } = await world.run(work);
      expect(failures.map(({ code }) => code)).toEqual(path === "" ? [] : ["denied"]);
    }
  });
});
