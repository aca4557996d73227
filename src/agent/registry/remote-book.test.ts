import { appendFile, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createDurableLines, type DurableLines } from "../../base/durable-lines.ts";
import { createMemoryLog } from "../../base/log.ts";
import { openRemoteBook, type RemoteBookDeps } from "./remote-book.ts";

let directory: string;
let file: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-book-"));
  file = join(directory, "remote_sessions.json");
});
afterEach(async () => {
  for (const lines of opened.splice(0)) await lines.close();
  await rm(directory, { recursive: true, force: true });
});

/** Of agents that were killed, too. */
const opened: DurableLines[] = [];
const openLines = () => {
  const lines = createDurableLines(`${file}l`);
  opened.push(lines);
  return lines;
};

const log = createMemoryLog();
const open = (more: Partial<RemoteBookDeps> = {}) =>
  openRemoteBook(file, {
    clock: createFakeClock(),
    log,
    signal: new AbortController().signal,
    lines: openLines(),
    ...more,
  });
const document = async () => JSON.parse(await readFile(file, "utf8")).data;
const linesSize = async () => (await stat(`${file}l`)).size;

test("a session that was begun is known to the next agent, and one that was forgotten is not", async () => {
  const book = open();
  await Promise.all(["a", "b", "c"].map((session) => book.begin({ session, bootId: "boot" })));
  book.forget("b");
  await book.begin({ session: "d", bootId: "boot", isDetached: true });
  const next = open();
  expect(["a", "b", "c", "d"].map((session) => next.get(session)?.bootId)).toEqual(["boot", undefined, "boot", "boot"]);
  expect(next.detached()).toEqual([{ session: "d", bootId: "boot", isDetached: true }]);
});

test("a line that was cut off costs no other", async () => {
  await open().begin({ session: "a", bootId: "boot" });
  await appendFile(`${file}l`, '\n{"session":"cut","bo');
  await open().begin({ session: "b", bootId: "boot" });
  const last = open();
  expect(["a", "cut", "b"].map((session) => last.get(session) !== undefined)).toEqual([true, false, true]);
});

test("settled, all of it is in the document, and the lines are empty", async () => {
  const book = open();
  await book.begin({ session: "a", bootId: "boot" });
  await book.settle();
  expect(await document()).toEqual([{ session: "a", bootId: "boot" }]);
  expect(await linesSize()).toBe(0);
  await book.begin({ session: "b", bootId: "boot" });
  expect(["a", "b"].map((session) => open().get(session) !== undefined)).toEqual([true, true]);
});

test("many sessions are brought into the document now and then, and none is lost by it", async () => {
  const book = open();
  for (let batch = 0; batch < 25; batch++) {
    const ids = Array.from({ length: 100 }, (_none, index) => `s${batch * 100 + index}`);
    await Promise.all(ids.map((session) => book.begin({ session, bootId: "boot" })));
  }
  expect(await linesSize()).toBeLessThan(2000 * 50);
  const next = open();
  // The oldest are over.
  expect([next.get("s499"), next.get("s500")?.session, next.get("s2499")?.session]).toEqual([
    undefined,
    "s500",
    "s2499",
  ]);
});

test("where no line can be written the document is, and where the disk hangs the session begins all the same", async () => {
  const lines = openLines();
  const broken = open({ lines: { ...lines, append: () => Promise.reject(new Error("EIO")) } });
  await broken.begin({ session: "a", bootId: "boot" });
  expect(await document()).toEqual([{ session: "a", bootId: "boot" }]);
  const clock = createFakeClock();
  const hung = open({ clock, lines: { ...lines, append: () => new Promise(() => undefined) } });
  const begun = hung.begin({ session: "b", bootId: "boot" });
  await clock.advance(2000);
  await begun;
  expect(hung.get("b")?.bootId).toBe("boot");
});
