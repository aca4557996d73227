import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { formatDocument } from "../../base/document.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createExpectedFile, EXPECTED_FORMAT } from "./expected-file.ts";
import type { RegistryRecord } from "./record.ts";
import { createRegistry, REGISTRY_FORMAT } from "./registry.ts";

let directory: string;
let file: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-registry-"));
  file = join(directory, "registry.json");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const deps = () => ({ clock: systemClock, log: createMemoryLog(), signal: new AbortController().signal });
const open = () => createRegistry({ file }, deps());
const ids = (registry: ReturnType<typeof open>) => [...registry.all()].map(({ id }) => id);

const record = (id: string, overrides: Partial<RegistryRecord> = {}): RegistryRecord => ({
  id,
  kind: "stream",
  phase: "running",
  pid: 4242,
  startTicks: 987_654,
  bootId: "6d4a1c9e-0000-4000-8000-000000000001",
  nonce: "0".repeat(32),
  specHash: "abc",
  generation: 3,
  restarts: 1,
  failures: 0,
  sinceMs: 1_700_000_000_000,
  ...overrides,
});

describe("the registry", () => {
  test("gives back after a restart what was committed", async () => {
    const lastExit = { atMs: 1, code: 1, signal: null, class: "network", evidence: "Connection refused" };
    const registry = open();
    registry.put(record("cam-1"));
    registry.put(record("cam-2", { lastExit }));
    registry.put(record("cam-3"));
    registry.remove("cam-3");
    await registry.commit();
    expect(registry.status()).toEqual({ durable: true });
    const next = open();
    expect([...next.all()]).toEqual([record("cam-1"), record("cam-2", { lastExit })]);
    expect(next.get("cam-2")?.lastExit?.evidence).toBe("Connection refused");
    next.clear();
    await next.commit();
    expect(ids(open())).toEqual([]);
  });

  test("writes nothing in a steady state", async () => {
    const registry = open();
    registry.put(record("cam-1"));
    await registry.commit();
    const before = readFileSync(file, "utf8");
    const next = open();
    next.put(record("cam-1"));
    next.remove("absent");
    await next.commit();
    expect(readFileSync(file, "utf8")).toBe(before);
    expect(readdirSync(directory)).toEqual(["registry.json"]);
  });

  test("drops a record that is wrong, says why, and keeps the others", () => {
    const records = [
      record("cam-1"),
      { ...record("cam-2"), pid: -1 },
      { ...record("x"), id: "../escape" },
      null,
      record("cam-1"),
      record("cam-3"),
    ];
    writeFileSync(file, formatDocument(REGISTRY_FORMAT, JSON.stringify({ records }), ""));
    const registry = open();
    expect(ids(registry)).toEqual(["cam-1", "cam-3"]);
    expect(registry.problems).toHaveLength(4);
    expect(registry.problems[0]).toMatch(/^records\[1\]\.pid: /);
    expect(registry.problems[3]).toBe("records: cam-1 is there twice");
  });

  test("loads whatever stands in the file, and falls back to the generation before", async () => {
    for (const id of ["cam-1", "cam-2"]) {
      const registry = open();
      registry.put(record(id));
      await registry.commit();
    }
    const whole = readFileSync(file, "utf8");
    const previous = readFileSync(`${file}.1`, "utf8");
    const newer = formatDocument({ ...REGISTRY_FORMAT, version: 99, minReader: 99 }, '{"records":[]}', "");
    const contents = ["", "\0".repeat(500), "garbage", "[]", "{}", "null", newer];
    for (let length = 0; length < whole.trimEnd().length; length++) contents.push(whole.slice(0, length));
    for (const content of contents) {
      writeFileSync(file, content);
      writeFileSync(`${file}.1`, previous);
      expect(ids(open())).toEqual(["cam-1"]);
    }
    rmSync(`${file}.1`);
    rmSync(file, { force: true });
    expect(ids(open())).toEqual([]);
    for (const data of ['{"records":7}', "[]", "7", "null"]) {
      writeFileSync(file, formatDocument(REGISTRY_FORMAT, data, ""));
      const registry = open();
      expect(ids(registry)).toEqual([]);
      expect(registry.problems).toEqual(["it holds no list of records"]);
    }
  });
});

describe("the expected file", () => {
  const spec = { input: { url: "rtsp://camera/1" }, outputs: [{ url: "rtmp://host/live/key" }] };
  const openExpected = () => createExpectedFile({ file }, deps());

  test("gives back the set and the place in the stream of events", async () => {
    expect(openExpected().loaded).toBeUndefined();
    const first = openExpected();
    first.save({ epoch: "e1", revision: 42, lastEventId: "e1.42", workloads: [] });
    await first.commit();
    expect(openExpected().loaded).toEqual({ epoch: "e1", revision: 42, lastEventId: "e1.42", workloads: [] });
    expect(openExpected().status()).toEqual({ durable: true });
  });

  test("without one of its workloads is no longer the set of its revision", () => {
    const workloads = [{ kind: "teleport", id: "cam-1", spec }];
    const text = formatDocument(EXPECTED_FORMAT, JSON.stringify({ epoch: "e1", revision: 42, workloads }), "");
    writeFileSync(file, text);
    const { loaded, problems } = openExpected();
    expect(loaded).toEqual({ workloads: [] });
    expect(problems).toEqual([expect.stringMatching(/^workloads\[0\]\.kind: /)]);
  });

  test("loads whatever stands in the file", () => {
    for (const data of ["7", "null", '{"workloads":7}', '{"revision":-1,"workloads":[]}']) {
      writeFileSync(file, formatDocument(EXPECTED_FORMAT, data, ""));
      const { loaded, problems } = openExpected();
      expect(loaded).toBeUndefined();
      expect(problems).toHaveLength(1);
    }
    writeFileSync(file, "garbage");
    expect(openExpected().loaded).toBeUndefined();
  });
});
