import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFileAt, openRootDirectory, renameAt } from "./jail.ts";
import { openStaging, removeStaging, stagedName } from "./staging.ts";
import { decodeJournal, encodeRecord, type JournalRecord } from "./unit-journal.ts";

let directory = "";
let root = 0;
const closers: (() => void)[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "sluice-staging-"));
  root = openRootDirectory(directory);
});
afterEach(() => {
  for (const close of closers.splice(0)) close();
  closeSync(root);
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});

const record = (key: string, bytes = 5): JournalRecord => ({ key, bytes, sha256: "ab".repeat(32), ino: "77" });
const claim = (attempt: number, unit = "u") => {
  const staging = openStaging(root, "r1");
  closers.push(staging.close);
  const claimed = staging.claim(unit, attempt);
  closers.push(claimed.close);
  return claimed;
};
const unitsLeft = () => readdirSync(join(directory, ".sluice-transfer/r1"));

describe("two attempts at one unit", () => {
  it("leave the later one with everything, and the earlier with nothing it could publish", () => {
    const early = claim(9);
    early.journal.append([record("a1")]);
    writeSync(createFileAt({ directory: early.directory, name: stagedName("a1") }), "bytes");
    const late = claim(11);
    expect([...late.journal.all()]).toEqual([record("a1")]);
    expect(readdirSync(join(directory, ".sluice-transfer/r1", unitsLeft()[0] ?? ""))).toEqual(["f-a1", "journal"]);
    expect(unitsLeft()).toHaveLength(1);
    const target = { directory: root, name: Buffer.from("named") };
    expect(() => renameAt({ directory: early.directory, name: stagedName("a1") }, target)).toThrow(/ENOENT/);
    expect(() => createFileAt({ directory: early.directory, name: stagedName("a2") })).toThrow(/ENOENT/);
    expect(() => early.requireHeld()).toThrow(expect.objectContaining({ code: "fenced" }));
    // What it still notes reaches nobody.
    early.journal.append([record("a2")]);
    late.requireHeld();
    expect(() => claim(10)).toThrow(expect.objectContaining({ code: "fenced" }));
    expect(unitsLeft()).toHaveLength(1);
    renameAt({ directory: late.directory, name: stagedName("a1") }, target);
    expect(readFileSync(join(directory, "named"), "utf8")).toBe("bytes");
  });

  it("that died while it took over is repeated by the next", () => {
    const early = claim(1);
    early.journal.append([record("a1"), record("a2")]);
    for (const key of ["a1", "a2"]) closeSync(createFileAt({ directory: early.directory, name: stagedName(key) }));
    const [name = ""] = unitsLeft();
    // Attempt 2 was killed after one file of two.
    const place = join(directory, ".sluice-transfer/r1", name.replace(/\.1$/, ".2"));
    mkdirSync(place);
    writeFileSync(join(place, "journal"), encodeRecord(record("a1")));
    renameAt(
      { directory: early.directory, name: stagedName("a1") },
      { directory: openRootDirectory(place), name: stagedName("a1") },
    );
    const late = claim(2);
    expect([...late.journal.all()].map(({ key }) => key).sort()).toEqual(["a1", "a2"]);
    expect(readdirSync(place).sort()).toEqual(["f-a1", "f-a2", "journal"]);
    expect(unitsLeft()).toHaveLength(1);
  });

  it("of different units do not disturb each other, and all go with their request", () => {
    const [one, other] = [claim(1, "one"), claim(1, "other")];
    one.requireHeld();
    other.requireHeld();
    expect(removeStaging(root, "r1")).toBe(true);
    expect(() => one.requireHeld()).toThrow(expect.objectContaining({ code: "fenced" }));
    expect(readdirSync(directory)).toEqual([]);
    expect(removeStaging(root, "r1")).toBe(false);
  });

  it("can give nothing a name any more when what the request made beside its staging is looked at", () => {
    const one = claim(1);
    writeSync(createFileAt({ directory: one.directory, name: stagedName("a1") }), "bytes");
    const target = { directory: root, name: Buffer.from("named") };
    let looks = 0;
    removeStaging(root, "r1", () => {
      looks += 1;
      expect(() => one.requireHeld()).toThrow(expect.objectContaining({ code: "fenced" }));
      expect(() => renameAt({ directory: one.directory, name: stagedName("a1") }, target)).toThrow(/ENOENT/);
    });
    expect([looks, readdirSync(directory)]).toEqual([1, []]);
  });
});

describe("a journal", () => {
  const lines = ["a1", "b2", "c3"].map((key) => encodeRecord(record(key)));
  const whole = Buffer.from(lines.join(""), "latin1");

  it("that was cut anywhere holds what was whole by then", () => {
    for (let bytes = 0; bytes <= whole.length; bytes++) {
      const { records, end } = decodeJournal(whole.subarray(0, bytes));
      expect(records.size).toBe(Math.floor(bytes / (lines[0]?.length ?? 1)));
      expect(end).toBe(records.size * (lines[0]?.length ?? 1));
    }
  });

  it("that was garbled anywhere holds nothing from there on", () => {
    const length = lines[0]?.length ?? 1;
    for (let at = 0; at < whole.length; at++) {
      const garbled = Buffer.from(whole);
      garbled[at] = (garbled[at] ?? 0) ^ 0x11;
      const { records } = decodeJournal(garbled);
      expect(records.size).toBeLessThanOrEqual(Math.floor(at / length));
      for (const found of records.values()) expect(found).toEqual(record(found.key));
    }
  });

  it("goes on behind its last good record", () => {
    const first = claim(1);
    first.journal.append([record("a1"), record("b2")]);
    const file = join(directory, ".sluice-transfer/r1", unitsLeft()[0] ?? "", "journal");
    truncateSync(file, whole.length / 3 + 10);
    appendFileSync(file, "\0\0\0");
    const again = claim(1);
    expect([...again.journal.all()]).toEqual([record("a1")]);
    again.journal.append([record("c3", 9)]);
    expect([...claim(1).journal.all()]).toEqual([record("a1"), record("c3", 9)]);
  });
});
