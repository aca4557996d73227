import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { type EventClient, openEvents } from "../box-client.fake.ts";
import { addBox, type LiveHub, memoryStore, startLiveHub } from "../live-hub.fake.ts";
import type { SetNews } from "../store/set-news.ts";
import { enrol, NOW, stream } from "../store/store.fake.ts";
import type { Hint, Store } from "../store/store.ts";
import { type BoxConnection, newConnection } from "./box-connection.ts";
import { handOver } from "./hand-over.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

const now = () => ({ nowMs: systemClock.wallMs() });

interface Watched {
  readonly hub: LiveHub;
  readonly box: EventClient;
  /** How often the log of the box was read. */
  reads(): number;
}

/** A connected box that has heard all that is there, and a store whose hints pass through `filter`. */
async function connected(filter: (hint: Hint) => readonly Hint[]): Promise<Watched> {
  const store = memoryStore();
  let reads = 0;
  const counted: Store = {
    ...store,
    expected: {
      ...store.expected,
      after: (...asked) => {
        reads++;
        return store.expected.after(...asked);
      },
    },
    onHint: (listener) =>
      store.onHint((hint) => {
        for (const passed of filter(hint)) listener(passed);
      }),
  };
  const hub = await startLiveHub({ store: counted });
  open.push(hub);
  const key = await addBox(store, "b");
  const box = await openEvents(`${hub.origin}/v1/boxes/b/events`, { token: key });
  await box.until(({ name }) => name === "expected");
  return { hub, box, reads: () => reads };
}

const put = ({ hub }: Watched, id: string) => hub.store.expected.change("b", { put: [stream(id)] }, now());
const idsOf = ({ box }: Watched) => box.events.filter(({ name }) => name === "change").map(({ data }) => data);

test("a step that was just written reaches a box that stands before it, and nobody reads it again", async () => {
  const watched = await connected((hint) => [hint]);
  const before = watched.reads();
  for (const id of ["one", "two", "three"]) await put(watched, id);
  await watched.box.until(({ data }) => JSON.stringify(data).includes("three"));
  expect(watched.reads()).toBe(before);
  expect(idsOf(watched)).toMatchObject([{ revision: 1 }, { revision: 2 }, { revision: 3 }]);
});

test("news that do not come are read from the store", async () => {
  const watched = await connected((hint) =>
    hint.kind === "expected" ? [{ kind: "expected", boxId: hint.boxId }] : [hint],
  );
  for (const id of ["one", "two"]) await put(watched, id);
  await watched.box.until(({ data }) => JSON.stringify(data).includes("two"));
  expect(idsOf(watched)).toMatchObject([{ revision: 1 }, { revision: 2 }]);
});

test("after a hint that was lost, the next step brings both, each once and in order", async () => {
  let lost = 0;
  const watched = await connected((hint) => (hint.kind === "expected" && lost++ === 0 ? [] : [hint]));
  for (const id of ["one", "two", "three"]) await put(watched, id);
  await watched.box.until(({ data }) => JSON.stringify(data).includes("three"));
  expect(idsOf(watched)).toMatchObject([{ revision: 1 }, { revision: 2 }, { revision: 3 }]);
});

test("news that come twice are sent once", async () => {
  const watched = await connected((hint) => [hint, hint]);
  await Promise.all(["one", "two", "three", "four"].map((id) => put(watched, id)));
  await watched.box.until(({ data }) => JSON.stringify(data).includes("four"));
  expect(idsOf(watched)).toMatchObject([{ revision: 1 }, { revision: 2 }, { revision: 3 }, { revision: 4 }]);
});

/** What a connection at `e.1` is sent of the step to revision 2, and the connection. */
async function given(of: Partial<BoxConnection>, news: Partial<SetNews> = {}, waiting = 0) {
  const box = await enrol(memoryStore(), "b");
  const sent: string[] = [];
  const sink: BoxConnection["sink"] = {
    open: () => undefined,
    send: (bytes) => void sent.push(bytes.toString()),
    isOpen: () => true,
    waitingBytes: () => waiting,
    bytesWritten: () => 0,
    onDrain: () => undefined,
    close: () => undefined,
  };
  const made = newConnection({ boxId: "b", id: "1", address: "", sink, sinceMs: 0, keySlot: "current", cursor: "e.1" });
  const connection = { ...made, keyHash: box.key.hash, greeted: true, served: true, ...of };
  const change = { revision: 2, atMs: NOW, put: [stream("cam")], remove: [] };
  return {
    isDone: handOver(connection, { box, epoch: "e", change, ...news }, (workload) => workload),
    sent,
    connection,
  };
}

test("a step is handed to who stands exactly before it", async () => {
  const { isDone, sent, connection } = await given({});
  expect([isDone, sent.length, connection.cursor]).toEqual([true, 1, "e.2"]);
  expect(sent[0]).toContain("event: change\nid: e.2\n");
});

test.each([
  ["stands further back", { cursor: "e.0" }],
  ["has it already", { cursor: "e.2" }],
  ["comes from another life of the set", { cursor: "d.1" }],
  ["has no cursor", { cursor: undefined }],
  ["has heard nothing yet", { greeted: false }],
  ["has not been served", { served: false }],
  ["waits", { held: "quarantined" }],
  ["was opened with a key that is not the box's any more", { keyHash: "another" }],
])("nothing is handed to a connection that %s", async (_what, of) => {
  const { isDone, sent, connection } = await given(of);
  expect([isDone, sent, connection.cursor]).toEqual([false, [], "cursor" in of ? of.cursor : "e.1"]);
});

test("nothing is handed to a box that may not have it in that step, or whose connection takes too little", async () => {
  const box = await enrol(memoryStore(), "b");
  for (const changed of [
    { ...box, state: "revoked" as const },
    { ...box, quarantine: { sinceMs: NOW, reason: "cloned identity" } },
  ]) {
    expect(await given({}, { box: changed })).toMatchObject({ isDone: false, sent: [] });
  }
  expect(await given({}, {}, 100_000)).toMatchObject({ isDone: false, sent: [] });
});
