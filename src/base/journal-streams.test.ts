import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock } from "./clock.fake.ts";
import { systemClock } from "./clock.ts";
import { createJournalStreams } from "./journal-streams.ts";

let directory: string;
let socketPath: string;
let server: Server | undefined;
const peers: { socket: Socket; text: string }[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-journal-"));
  socketPath = join(directory, "stdout");
});
afterEach(async () => {
  stopListening();
  await rm(directory, { recursive: true });
});

/** As journald: it shuts its own direction down and reads. */
async function listen(): Promise<void> {
  server = createServer({ allowHalfOpen: true }, (socket) => {
    const peer = { socket, text: "" };
    peers.push(peer);
    socket.on("error", () => undefined);
    socket.setEncoding("utf8").on("data", (text: string) => {
      peer.text += text;
    });
    socket.end();
  }).listen(socketPath);
  await once(server, "listening");
}

function stopListening(): void {
  for (const { socket } of peers.splice(0)) socket.destroy();
  server?.close();
  server = undefined;
}

async function until(predicate: () => boolean): Promise<void> {
  for (let tries = 0; tries < 6000 && !predicate(); tries++) await systemClock.delay(5);
  expect(predicate()).toBe(true);
}

test("each identifier speaks on a connection of its own, after journald's header", async () => {
  await listen();
  const journal = createJournalStreams({ socketPath, maxQueuedBytes: 1000 }, { clock: createFakeClock() });
  journal.write("sluice-cam-1", ["one", "<3>two"]);
  journal.write("sluice-cam-2", ["other"]);
  await until(
    () => peers.length === 2 && peers.every(({ text }) => text.endsWith("two\n") || text.endsWith("other\n")),
  );
  journal.write("sluice-cam-1", ["three"]);
  await until(() => peers.some(({ text }) => text.endsWith("three\n")));
  expect(peers.map(({ text }) => text).sort()).toEqual([
    "sluice-cam-1\n\n6\n0\n0\n0\n0\none\n<3>two\nthree\n",
    "sluice-cam-2\n\n6\n0\n0\n0\n0\nother\n",
  ]);
});

test("a journal that is away costs lines that are counted, and is found again", async () => {
  const clock = createFakeClock();
  const journal = createJournalStreams({ socketPath, maxQueuedBytes: 1000 }, { clock });
  journal.write("sluice-cam-1", ["into the void"]);
  await systemClock.delay(20);
  journal.write("sluice-cam-1", ["a", "b"]);
  await listen();
  await clock.advance(1000);
  journal.write("sluice-cam-1", ["here again"]);
  await until(() => peers[0]?.text.endsWith("here again\n") === true);
  expect(peers[0]?.text).toContain("… 2 lines lost: the journal did not take them\nhere again\n");
});

test("a journal that does not read holds nobody up and takes no more memory than the bound", async () => {
  await listen();
  const journal = createJournalStreams({ socketPath, maxQueuedBytes: 10_000 }, { clock: createFakeClock() });
  journal.write("sluice-cam-1", ["first"]);
  await until(() => peers[0]?.text.endsWith("first\n") === true);
  const peer = peers[0];
  peer?.socket.pause();
  const line = "x".repeat(5000);
  for (let count = 0; count < 400; count++) journal.write("sluice-cam-1", [line]);
  await systemClock.delay(20);
  peer?.socket.resume();
  await systemClock.delay(50);
  journal.write("sluice-cam-1", ["last"]);
  await until(() => peer?.text.endsWith("last\n") === true);
  expect(peer?.text).toMatch(/… \d+ lines lost/);
});

test("an identifier that is released delivers what it had and may come back", async () => {
  await listen();
  const journal = createJournalStreams({ socketPath, maxQueuedBytes: 1000 }, { clock: createFakeClock() });
  journal.write("sluice-cam-1", ["last words"]);
  journal.release("sluice-cam-1");
  await until(() => peers[0]?.text.endsWith("last words\n") === true);
  journal.write("sluice-cam-1", ["back"]);
  await until(() => peers[1]?.text.endsWith("back\n") === true);
});
