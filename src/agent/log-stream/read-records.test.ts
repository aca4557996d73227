import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { seededRandom } from "../../base/random.ts";
import type { LogRecord } from "../../contract/fleet/log-line.ts";
import { createLogLedger } from "../runtime/output/log-ledger.ts";
import { createSessionLog } from "../runtime/output/session-log.ts";
import { createSessionWriter } from "../runtime/output/session-writer.ts";
import { readRecords } from "./read-records.ts";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-records-"));
  path = join(directory, "app.log");
});
afterEach(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));

const redact = (text: string) => text;
const SMALL = { keepFiles: 3, maxFileBytes: () => 20_000, onRotate: () => undefined };

/** A session's log in small files, and what was given to it. */
function openWriter(ledger = createLogLedger()) {
  const log = createSessionLog({ path, ...SMALL }, ledger);
  const writer = createSessionWriter(
    { workloadId: "app", source: "files", cursorPath: join(directory, "cursor"), maxLineBytes: 200, tailLines: 1 },
    { clock: systemClock, log, redact, journal: undefined },
  );
  return { ledger, writer };
}

/** A reader that takes a piece only when it is told to, and waits for none. */
function openReader(ledger: ReturnType<typeof createLogLedger>, output?: "stdout" | "stderr") {
  const stop = new AbortController();
  const records: LogRecord[] = [];
  const wish = { path, source: "app", lines: 1, follow: true, sinceMs: undefined, output };
  const reading = readRecords(wish, { clock: systemClock, redact, ledger }, stop.signal);
  let pending: Promise<void> | undefined;
  const pull = () => {
    pending ??= reading.next().then(({ value }) => {
      if (value !== undefined) records.push(...value);
      pending = undefined;
    });
    return pending;
  };
  const lines = () => records.flatMap((record) => (record.type === "line" ? [record] : []));
  const gaps = () => records.flatMap((record) => (record.type === "gap" ? [record] : []));
  /** Up to the line that says so. */
  const pullToEnd = async () => {
    while (lines().at(-1)?.text !== "the end") await pull();
    stop.abort();
    await reading.return(undefined);
  };
  return { pull, pullToEnd, lines, gaps };
}

test.each([1, 2])(
  "A12: a reader slower than the rotation has every byte of the session's, as text or counted in a gap, seed %i",
  async (seed) => {
    const random = seededRandom(seed);
    const { ledger, writer } = openWriter();
    const both = openReader(ledger);
    const errors = openReader(ledger, "stderr");
    const written = { stdout: 0, stderr: 0, lines: 0 };
    await writer.open();
    void both.pull();
    void errors.pull();
    for (let batch = 0; batch < 120; batch++) {
      for (let line = 0; line < 40; line++) {
        const output = random() < 0.3 ? "stderr" : "stdout";
        // Too long for one line of the log, now and then; and half of a line, which the next batch ends.
        const text = Buffer.from(`${batch}.${line} ${"x".repeat(random() < 0.05 ? 500 : random() * 150)}\n`);
        const cut = Math.floor(random() * text.length);
        writer.take(output, text.subarray(0, cut), systemClock.wallMs());
        if (line === 39) await writer.commit({});
        writer.take(output, text.subarray(cut), systemClock.wallMs());
        written[output] += text.length;
        if (random() < 0.005) {
          const bytes = Math.floor(random() * 100_000);
          writer.lose("stdout", bytes, "more came than the log takes");
          written.stdout += bytes;
        }
      }
      await writer.commit({});
      // Sometimes it keeps up, and sometimes many files come and go between two of its pieces.
      if (random() < 0.15) await Promise.race([Promise.all([both.pull(), errors.pull()]), systemClock.delay(30)]);
    }
    for (const output of ["stdout", "stderr"] as const) {
      writer.take(output, Buffer.from("the end\n"), systemClock.wallMs());
      written[output] += "the end\n".length;
    }
    await writer.commit({});
    await both.pullToEnd();
    await errors.pullToEnd();
    writer.close();

    const bytesOf = (reader: ReturnType<typeof openReader>, of: readonly string[]) =>
      reader
        .lines()
        .filter(({ output = "" }) => of.includes(output))
        .reduce((sum, { text, continues }) => sum + text.length + (continues ? 0 : 1), 0);
    const countedBy = (reader: ReturnType<typeof openReader>) =>
      reader.gaps().reduce((sum, { bytes = 0 }) => sum + bytes, 0);
    expect(both.gaps().every(({ bytes }) => bytes !== undefined)).toBe(true);
    expect(both.gaps().some(({ reason }) => reason.includes("rotated away"))).toBe(true);
    expect(bytesOf(both, ["stdout", "stderr"]) + countedBy(both)).toBe(written.stdout + written.stderr);
    // A reader of one output is told what is missing of that one.
    const rotated = errors.gaps().filter(({ reason }) => reason.includes("rotated away"));
    const missing = rotated.reduce((sum, { bytes = 0 }) => sum + bytes, 0);
    expect(bytesOf(errors, ["stderr"]) + missing).toBe(written.stderr);
  },
);

test("A12: what the disk did not take is counted too, also where nobody could read the gap that says so", async () => {
  const { ledger, writer } = openWriter();
  const reader = openReader(ledger);
  let written = 0;
  await writer.open();
  const say = async (text: string) => {
    writer.take("stdout", Buffer.from(`${text}\n`), systemClock.wallMs());
    written += text.length + 1;
    await writer.commit({});
  };
  await say("first");
  await reader.pull();
  await rm(path);
  // A directory stands where the log should be: nothing can be written.
  await mkdir(path);
  await say("refused");
  await say("refused too");
  expect(writer.failure()).toBe("EISDIR");
  await rm(path, { recursive: true });
  for (let index = 0; index < 300; index++) await say(`${index} ${"x".repeat(190)}`);
  await say("the end");
  await reader.pullToEnd();
  const received = reader.lines().reduce((sum, { text }) => sum + text.length + 1, 0);
  expect(reader.gaps()).toEqual([
    {
      type: "gap",
      lines: 304 - reader.lines().length,
      bytes: written - received,
      reason: "the log was rotated away faster than it was read",
    },
  ]);
  expect(reader.lines().some(({ text }) => text.startsWith("0 "))).toBe(false);
});

test("a gap is said without an amount where the log's writer is not known", async () => {
  const ledger = createLogLedger();
  await writeFile(path, "[2026-01-15 10:30:45] [stdout] one\n");
  const reader = openReader(ledger);
  const first = reader.pull();
  await systemClock.delay(50);
  await rm(path);
  await writeFile(path, "[2026-01-15 10:30:45] [stdout] the end\n");
  await first;
  await reader.pullToEnd();
  expect(reader.gaps()).toEqual([{ type: "gap", reason: "the log was rotated away faster than it was read" }]);
});
