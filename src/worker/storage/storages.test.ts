import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFakeClock, type FakeClock } from "../../base/clock.fake.ts";
import { IDENTITY_NAME } from "./storage.ts";
import { createStorages, type Storages } from "./storages.ts";

let directory: string;
let path: string;
let said: string[];
let clock: FakeClock;
let storages: Storages;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-storages-"));
  path = join(directory, "disk");
  mkdirSync(path);
  said = [];
  clock = createFakeClock(0);
});
afterEach(() => {
  storages.close();
  spawnSync("umount", ["--lazy", path], { stdio: "ignore" });
  rmSync(directory, { recursive: true });
});

const begin = () => {
  const say = (text: string) => void said.push(text);
  const log = { error: say, warn: say, info: say, debug: say };
  storages = createStorages([{ path, read: true, write: true }], { log, clock });
};
const beat = () => {
  storages.reopen();
  return storages.views();
};
const idOf = () => JSON.parse(readFileSync(join(path, IDENTITY_NAME), "utf8")).id;
/** What this process holds open below the storage. */
const held = () =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path);
    } catch {
      return false;
    }
  });
const isOpen = (fd: number, dev: number) => {
  try {
    return fstatSync(fd).dev === dev;
  } catch {
    return false;
  }
};
/** Of a disk that holds nothing. */
const mount = () => spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", path]).status === 0;
/** On the device of what is around it. */
const bindOther = () => {
  const other = join(directory, "other");
  mkdirSync(other, { recursive: true });
  return spawnSync("mount", ["--bind", other, path]).status === 0;
};
const mayMount = spawnSync("unshare", ["--mount", "true"]).status === 0;

describe("a storage", () => {
  it("that is not there is told of with its path and why, in the log once, until it is back", () => {
    rmSync(path, { recursive: true });
    begin();
    for (let times = 0; times < 3; times++) expect(beat()).toEqual([]);
    expect(storages.problems()).toEqual([{ path, problem: expect.stringMatching(/^ENOENT: /) }]);
    expect(said).toHaveLength(1);
    mkdirSync(path);
    writeFileSync(join(path, IDENTITY_NAME), "no identity");
    for (let times = 0; times < 3; times++) beat();
    expect(storages.problems()).toEqual([{ path, problem: expect.stringMatching(/cannot be read .*bring it back/) }]);
    expect(said).toHaveLength(2);
    rmSync(join(path, IDENTITY_NAME));
    expect(beat()).toHaveLength(1);
    expect(storages.problems()).toEqual([]);
  });

  it("that nobody has worked in for a minute is let go of between heartbeats, and is open again for who comes", async () => {
    begin();
    const [view] = beat();
    const work = storages.borrow();
    const root = work.of(view?.id ?? "")?.root;
    await clock.advance(10 * 60_000);
    expect(beat()).toMatchObject([{ id: idOf() }]);
    expect(held().map(Number)).toEqual([root]);
    work.giveBack();
    beat();
    await clock.advance(59_000);
    beat();
    expect(held()).toHaveLength(1);
    await clock.advance(1000);
    expect(beat()).toMatchObject([{ id: view?.id, mark: view?.mark }]);
    expect(held()).toEqual([]);
    const again = storages.borrow();
    expect(typeof again.of(view?.id ?? "")?.root).toBe("number");
    expect(beat()).toHaveLength(1);
    expect(held()).toHaveLength(1);
    again.giveBack();
  });

  it.skipIf(!mayMount).each([
    ["", mount],
    [", a directory that is bound there,", bindOther],
  ])(
    "that was let go of%s can be unmounted, gets no identity where it was mounted, and is the same one when it is back",
    async (_, mount) => {
      mount();
      begin();
      const [{ id = "" } = {}] = beat();
      expect(() => execFileSync("umount", [path], { stdio: "ignore" })).toThrow();
      await clock.advance(60_000);
      beat();
      execFileSync("umount", [path]);
      expect(beat()).toEqual([]);
      expect(storages.of(id)).toBeUndefined();
      expect(said.at(-1)).toContain(`the storage ${id}`);
      beat();
      expect(said.at(-1)).toContain("is not mounted");
      expect(existsSync(join(path, IDENTITY_NAME))).toBe(false);
      mount();
      writeFileSync(join(path, IDENTITY_NAME), JSON.stringify({ version: 1, id }));
      expect(beat()).toMatchObject([{ id }]);
    },
  );

  it.skipIf(!mayMount)("that is taken away while it is worked in is closed only when that work is over", async () => {
    mount();
    begin();
    const [{ id = "" } = {}] = beat();
    const work = storages.borrow();
    const root = work.of(id)?.root ?? -1;
    const { dev } = fstatSync(root);
    execFileSync("umount", ["--lazy", path]);
    expect(beat()).toEqual([]);
    expect(fstatSync(root).dev).toBe(dev);
    work.giveBack();
    beat();
    expect(isOpen(root, dev)).toBe(false);
  });
});
