import { execFileSync } from "node:child_process";
import { chmodSync, closeSync, mkdirSync, openSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { fault } from "../fault.ts";
import { openWorkerWorld, type WorkerWorld } from "../worker-world.fake.ts";
import { readXattrs, writeXattrs } from "./xattrs.ts";

let world: WorkerWorld | undefined;
afterEach(() => {
  world?.close();
  world = undefined;
});

const WANTED = ["mode", "times", "hardlinks", "symlinks", "sparse", "xattrs"] as const;

/** By the programs alone: neither what is tested nor its parts. */
const set = (path: string, name: string, value: string) =>
  execFileSync("setfattr", ["-n", name, "-v", value, "--", path]);
const dumpOf = (path: string) =>
  execFileSync("getfattr", ["--dump", "--encoding=hex", "--absolute-names", "--match=^(user|trusted)", "--", path], {
    encoding: "latin1",
  })
    .split("\n")
    .slice(1)
    .filter((line) => line !== "")
    .sort();

/** Why this machine cannot; undefined: it can. Where the worlds of these tests lie. */
function lackOf(name: string): string | undefined {
  try {
    execFileSync("getfattr", ["--version"]);
  } catch {
    return "no getfattr here (package attr)";
  }
  const probe = join("/dev/shm", `sluice-xattr-probe-${process.pid}`);
  try {
    writeFileSync(probe, "");
    set(probe, name, "x");
    return undefined;
  } catch {
    return `no ${name} in /dev/shm`;
  } finally {
    execFileSync("rm", ["-f", probe]);
  }
}

async function begin() {
  world = await openWorkerWorld();
  const [from, to] = [join(world.directory, "source/tree"), join(world.directory, "destination/tree")];
  mkdirSync(join(from, "sub"), { recursive: true });
  writeFileSync(join(from, "a"), "one");
  writeFileSync(join(from, "big"), Buffer.alloc(3 * 1024 * 1024, 7));
  return { world, from, to };
}

const lack = lackOf("user.sluice");
describe.skipIf(lack !== undefined)(`extended attributes${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  it("arrive with files of one piece and of many, and with directories; names and values are any bytes", async () => {
    const { world, from, to } = await begin();
    set(join(from, "a"), "user.plain", "a value");
    set(join(from, "a"), "user.empty", "");
    set(join(from, "a"), "user.= #\\\n日本", "0x00ff0a");
    set(join(from, "big"), "user.long", `0x${"ab".repeat(2000)}`);
    set(join(from, "sub"), "user.of a directory", "here");
    chmodSync(join(from, "a"), 0o400);
    const entries = await world.list({ preserve: [...WANTED] });
    const listed = entries.find(({ path }) => path === "a")?.xattrs ?? {};
    expect(listed["user.empty"]).toBe("");
    expect(await world.move({ work: { preserve: [...WANTED] } })).toEqual([]);
    for (const path of ["a", "big", "sub"]) {
      expect(dumpOf(join(from, path))).not.toEqual([]);
      expect(dumpOf(join(to, path))).toEqual(dumpOf(join(from, path)));
    }
    // A second time: what has changed, what has gone, and what the copy had of its own, though no byte of a file has.
    set(join(from, "big"), "user.long", "short");
    set(join(to, "big"), "user.own", "x");
    execFileSync("setfattr", ["-x", "user.empty", join(from, "a")]);
    execFileSync("setfattr", ["-x", "user.of a directory", join(from, "sub")]);
    const sent = world.sentBytes();
    expect(await world.move({ work: { preserve: [...WANTED] } })).toEqual([]);
    for (const path of ["a", "big", "sub"]) expect(dumpOf(join(to, path))).toEqual(dumpOf(join(from, path)));
    expect(world.sentBytes() - sent).toBeLessThan(64 * 1024);
  });

  it("stay behind unless they are asked for, and of root's only where those are", async () => {
    const { world, from, to } = await begin();
    set(join(from, "a"), "user.plain", "x");
    const isRoot = lackOf("trusted.sluice") === undefined;
    if (isRoot) set(join(from, "a"), "trusted.secret", "x");
    expect(await world.move()).toEqual([]);
    expect(dumpOf(join(to, "a"))).toEqual([]);
    expect(await world.move({ work: { preserve: [...WANTED] } })).toEqual([]);
    expect(dumpOf(join(to, "a"))).toEqual(["user.plain=0x78"]);
    if (!isRoot) return;
    expect(await world.move({ work: { preserve: [...WANTED, "privileged-xattrs"] } })).toEqual([]);
    expect(dumpOf(join(to, "a"))).toEqual(["trusted.secret=0x78", "user.plain=0x78"]);
  });

  it.each(["a", "middle"])(
    "come once more where a worker died between a name and the answer, and the bytes of %s do not",
    async (name) => {
      const { world, from, to } = await begin();
      // Longer than what comes in a pack with others.
      writeFileSync(join(from, "middle"), Buffer.alloc(300_000, 5));
      set(join(from, name), "user.plain", "a value");
      const entries = await world.list({ preserve: [...WANTED] });
      const items = entries
        .filter(({ path }) => path === name)
        .map((entry) => ({ entry, offset: 0, length: entry.size }));
      const work = world.copyWork(items, { preserve: [...WANTED] });
      expect((await world.run(work)).failures).toEqual([]);
      const sent = world.sentBytes();
      execFileSync("setfattr", ["-x", "user.plain", join(to, name)]);
      for (const attempt of [2, 3]) expect((await world.run(work, undefined, { attempt })).failures).toEqual([]);
      expect(dumpOf(join(to, name))).toEqual(dumpOf(join(from, name)));
      expect(dumpOf(join(to, name))).toHaveLength(1);
      // Of a short one it is asked whether it is the same.
      expect(world.sentBytes() - sent).toBeLessThan(1000);
    },
  );

  it("are those of what is held open, wherever its name leads by now", async () => {
    const { world, from } = await begin();
    const { context } = world.source;
    const outside = join(world.directory, "outside");
    writeFileSync(outside, "");
    const fd = openSync(join(from, "a"), "r");
    const scratch = { directory: openSync(from, "r"), name: Buffer.from("scratch") };
    try {
      execFileSync("rm", [join(from, "a")]);
      symlinkSync(outside, join(from, "a"));
      const files = [{ fd, xattrs: { "user.%FF": "AAE=" } }];
      await writeXattrs(files, { scope: "user", scratch }, context);
      expect(await readXattrs([fd], "user", context)).toEqual([{ "user.%FF": "AAE=" }]);
      expect(dumpOf(outside)).toEqual([]);
      const others = [{ fd, xattrs: { "user.%FF": "AAE=", "trusted.x": "AAE=" } }];
      await expect(writeXattrs(others, { scope: "user", scratch }, context)).rejects.toMatchObject({ code: "denied" });
    } finally {
      closeSync(fd);
      closeSync(scratch.directory);
    }
  });

  it("that are more than a plan takes are told, and the file with them is not copied without", async () => {
    const { world, from } = await begin();
    for (let at = 0; at < 40; at++) set(join(from, "a"), `user.${at}`, `0x${"ab".repeat(3000)}`);
    const failures = await world.move({ work: { preserve: [...WANTED] } });
    expect(failures).toMatchObject([{ path: "a", code: "io", message: expect.stringContaining("allowed: 65536") }]);
  });
});

it("where the programs are not there, who asks for attributes is told which", async () => {
  const { world } = await begin();
  const context = {
    ...world.source.context,
    runProgram: () => Promise.reject(fault("not-found", "getfattr: not found")),
  };
  await expect(readXattrs([0], "user", context)).rejects.toMatchObject({
    code: "unsupported",
    message: expect.stringContaining("getfattr (package attr)"),
  });
});
