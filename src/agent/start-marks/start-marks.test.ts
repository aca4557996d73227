import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createStartMarks, KEPT_MARKS, type StartMark, startOf } from "./start-marks.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-marks-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const mark = (extra: Partial<StartMark> = {}): StartMark => ({
  kind: "agent",
  id: "agent",
  at: "2026-01-15T10:30:45.120Z",
  pid: 7,
  startTicks: 100,
  bootId: "b1",
  ...extra,
});

describe("marks of starts", () => {
  test("tell their time and whose they are by name, and are read back in order", async () => {
    const marks = createStartMarks(directory);
    await marks.open(
      mark({ kind: "tunnel", id: "t-1.producer", uid: "t-1", nonce: "n", at: "2026-01-15T10:31:00.000Z" }),
    );
    await marks.open(mark());
    expect((await marks.list()).map(({ name }) => name)).toEqual([
      ".session-20260115T103045120Z-agent.mark",
      ".session-20260115T103100000Z-t-1.producer.mark",
    ]);
  });

  test("are bounded in number: the oldest go", async () => {
    const marks = createStartMarks(directory);
    for (let minute = 0; minute < KEPT_MARKS + 5; minute++) {
      await marks.open(mark({ at: new Date(Date.UTC(2026, 0, 1) + minute * 60_000).toISOString() }));
    }
    const names = readdirSync(directory).sort();
    expect(names).toHaveLength(KEPT_MARKS);
    expect(names[0]).toBe(".session-20260101T000500000Z-agent.mark");
  });

  test("that nobody can read are passed over, and a directory that is not there holds none", async () => {
    writeFileSync(join(directory, ".session-20260115T103045120Z-agent.mark"), '{"kind":"agent"}');
    writeFileSync(join(directory, ".session-../evil.mark".replace("/", "")), "{}");
    expect(await createStartMarks(directory).list()).toEqual([]);
    const nowhere = createStartMarks(join(directory, "none"));
    await nowhere.open(mark());
    expect(await nowhere.list()).toEqual([]);
  });
});

test("a process is marked by its own start, else by that of the agent that was the last to start before it", () => {
  const named = (name: string, extra: Partial<StartMark>) => ({ ...mark(extra), name });
  const marks = [
    named("first", { startTicks: 100 }),
    named("second", { startTicks: 200 }),
    named("tunnel", { kind: "tunnel", nonce: "n", startTicks: 150 }),
    named("other boot", { bootId: "b0", startTicks: 50 }),
  ];
  const of = (startTicks: number, nonce = "", bootId = "b1") =>
    startOf({ identity: { pid: 1, startTicks, bootId }, mark: { nonce } }, marks)?.name;
  expect([of(150), of(250), of(150, "n"), of(99), of(150, "", "b2")]).toEqual([
    "first",
    "second",
    "tunnel",
    undefined,
    undefined,
  ]);
});
