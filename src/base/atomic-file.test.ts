import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadDocument, replaceFile } from "./atomic-file.ts";
import { createFakeClock } from "./clock.fake.ts";
import { formatDocument, parseDocument } from "./document.ts";
import { createMemoryLog } from "./log.ts";

const FORMAT = { format: "test", version: 2, minReader: 1 };
const SAVED_AT = "2026-01-15T10:30:45.000Z";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-atomic-"));
  path = join(directory, "x.json");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const textOf = (data: unknown, format = FORMAT) => formatDocument(format, JSON.stringify(data), SAVED_AT);
const load = (atMs = Date.parse(SAVED_AT)) => {
  const log = createMemoryLog();
  return { ...loadDocument(path, FORMAT, { clock: createFakeClock(atMs), log }), log: log.lines };
};
const beside = () => readdirSync(directory).sort();

describe("a document", () => {
  test("reads back what was written, whatever JSON it is", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (data) => {
        const written = JSON.parse(JSON.stringify(data));
        expect(parseDocument(textOf(data), FORMAT)).toEqual({ kind: "good", data: written, savedAt: SAVED_AT });
      }),
    );
  });

  test("is bad when cut anywhere, or when any one bit of it has changed", () => {
    const text = textOf({ records: [{ id: "cam-1", pid: 4242 }] });
    const whole = text.trimEnd().length;
    for (let length = 0; length < whole; length++)
      expect(parseDocument(text.slice(0, length), FORMAT).kind).toBe("bad");
    const data = text.indexOf('"data"') + 7;
    for (let index = data; index < whole; index++) {
      const flipped = String.fromCharCode(text.charCodeAt(index) ^ 1);
      expect(parseDocument(text.slice(0, index) + flipped + text.slice(index + 1), FORMAT).kind).toBe("bad");
    }
  });

  test("says what is wrong with it", () => {
    const reason = (text: string) => {
      const parsed = parseDocument(text, FORMAT);
      return parsed.kind === "bad" ? parsed.reason : parsed.kind;
    };
    expect(reason("")).toBe("it is empty");
    expect(reason("\0".repeat(4096))).toBe("it holds only NUL bytes");
    expect(reason("{")).toBe("it is not JSON, or not all of it");
    expect(reason("[]")).toBe("it is no JSON object");
    expect(reason("{}")).toBe("its format is missing, not test");
    expect(reason(textOf({}, { ...FORMAT, format: "other" }))).toBe('its format is "other", not test');
    expect(reason(textOf({}, { ...FORMAT, version: 0 }))).toBe("its version is 0");
    expect(reason(textOf({ a: 1 }).replace('"a":1', '"a":2'))).toBe("its checksum does not fit");
    expect(
      reason(`{"format":"test","version":2,"minReader":1,"data":${"[".repeat(90_000)}${"]".repeat(90_000)}}`),
    ).toBe("its checksum does not fit");
  });

  test("of a newer release gives its data only to readers that it names", () => {
    const readable = textOf({ a: 1 }, { format: "test", version: 3, minReader: 2 });
    expect(parseDocument(readable, FORMAT)).toEqual({ kind: "newer", version: 3, data: { a: 1 } });
    const unreadable = textOf({ a: 1 }, { format: "test", version: 9, minReader: 3 });
    expect(parseDocument(unreadable, FORMAT)).toEqual({ kind: "newer", version: 9, data: undefined });
  });
});

describe("a replaced file", () => {
  test("keeps the two good ones before it, private, and no temporary file", async () => {
    for (const text of ["1", "2", "3", "4"]) await replaceFile(path, text, true);
    expect(beside()).toEqual(["x.json", "x.json.1", "x.json.2"]);
    expect(beside().map((name) => readFileSync(join(directory, name), "utf8"))).toEqual(["4", "3", "2"]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await replaceFile(path, "5", false);
    expect(beside().map((name) => readFileSync(join(directory, name), "utf8"))).toEqual(["5", "3", "2"]);
  });

  test("does not follow a link that somebody has put in its place", async () => {
    const victim = join(directory, "victim");
    writeFileSync(victim, "precious");
    symlinkSync(victim, path);
    await replaceFile(path, "mine", false);
    expect(readFileSync(victim, "utf8")).toBe("precious");
    expect(readFileSync(path, "utf8")).toBe("mine");
  });

  test("stays as it was when the new one cannot be written", async () => {
    await replaceFile(path, "old", true);
    mkdirSync(`${path}.1`);
    mkdirSync(`${path}.2`);
    writeFileSync(join(`${path}.2`, "in-the-way"), "");
    await expect(replaceFile(path, "new", true)).rejects.toThrow();
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(beside().filter((name) => name.endsWith(".tmp"))).toEqual([]);
    await expect(replaceFile(join(directory, "absent", "x.json"), "new", true)).rejects.toThrow("ENOENT");
  });
});

describe("loading", () => {
  test("nothing is no problem", () => {
    expect(load()).toEqual({ data: undefined, source: undefined, isCurrentGood: false, problems: [], log: [] });
  });

  test("takes the newest good generation, whatever byte the newer ones were cut at", () => {
    const current = textOf({ n: 3 });
    const good = [textOf({ n: 2 }), textOf({ n: 1 })];
    for (let length = 0; length < current.trimEnd().length; length++) {
      writeFileSync(path, current.slice(0, length));
      for (const [index, text] of good.entries()) writeFileSync(`${path}.${index + 1}`, text);
      expect(load()).toMatchObject({ data: { n: 2 }, source: "x.json.1", isCurrentGood: false });
      expect(beside()).not.toContain("x.json");
    }
    writeFileSync(`${path}.1`, "\0".repeat(100));
    expect(load()).toMatchObject({ data: { n: 1 }, source: "x.json.2" });
  });

  test("puts damaged files aside, says so, and keeps five of them at most", () => {
    const names = new Set<string>();
    for (let round = 0; round < 7; round++) {
      writeFileSync(path, `garbage ${round}`);
      const { log, problems } = load(Date.parse(SAVED_AT) + round);
      expect(problems).toEqual(["x.json cannot be used: it is not JSON, or not all of it"]);
      expect(log[0]).toMatch(/^\[ERROR\] x\.json cannot be used: .*; kept as x\.json\.bad-/);
      if (round >= 5) expect(log[1]).toMatch(/^\[WARN\] Removing x\.json\.bad-.*more than 5/);
      for (const name of beside()) names.add(name);
    }
    expect(names.size).toBe(7);
    expect(beside()).toHaveLength(5);
  });

  test("goes on with a newer release's data where it may, and never writes over its file", () => {
    writeFileSync(path, textOf({ n: 3 }, { format: "test", version: 3, minReader: 2 }));
    const first = load();
    expect(first).toMatchObject({ data: { n: 3 }, source: "x.json", isCurrentGood: false });
    expect(first.log[0]).toContain("a newer release wrote it (version 3), whose data this one understands");
    expect(beside()).toEqual([expect.stringMatching(/^x\.json\.bad-v3-2026-01-15T/)]);

    writeFileSync(path, textOf({ n: 4 }, { format: "test", version: 4, minReader: 4 }));
    writeFileSync(`${path}.1`, textOf({ n: 2 }));
    expect(load()).toMatchObject({ data: { n: 2 }, source: "x.json.1" });
    expect(beside().filter((name) => name.includes(".bad-v4-"))).toHaveLength(1);
  });

  test("trusts no link, no directory and no pipe in the place of the file", () => {
    const target = join(directory, "target");
    writeFileSync(target, textOf({ n: 1 }));
    symlinkSync(target, path);
    expect(load().problems).toEqual(["x.json cannot be used: it is a symbolic link"]);
    expect(existsSync(target)).toBe(true);
    mkdirSync(path);
    expect(load().problems[0]).toContain("EISDIR");
  });

  test("clears away what a killed writer left", () => {
    writeFileSync(`${path}.0b9f1c4e-6d0e-4c58-9d53-2f9d6a1b7c11.tmp`, "half");
    writeFileSync(`${path}.tmp`, "somebody else's");
    load();
    expect(beside()).toEqual(["x.json.tmp"]);
  });
});
