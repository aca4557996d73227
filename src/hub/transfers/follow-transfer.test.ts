import { afterEach, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { AppError } from "../../base/errors.ts";
import { syncRequestSchema } from "../../contract/transfer/sync-request.ts";
import { createMemoryStore } from "../store/memory/memory-store.ts";
import { NOW } from "../store/store.fake.ts";
import { createTransferFollower } from "./follow-transfer.ts";
import { createTransferBook } from "./transfer-book.ts";
import { NO_STEP, recordOf, type Transfer, type TransferRecord } from "./transfer-record.ts";
import { viewOf } from "./transfer-view.ts";

let stop = new AbortController();
afterEach(() => stop.abort());

async function begin() {
  stop = new AbortController();
  const clock = createFakeClock(NOW);
  const book = createTransferBook({ store: createMemoryStore({ newId: () => "id" }), clock });
  const list = { ...NO_STEP, pages: 0, pieces: 0, round: 0, bytes: 0, files: 0 };
  const record: TransferRecord = {
    uid: "u-00000001",
    request: syncRequestSchema.parse({ request_id: "r", source_path: "/in/a", destination_path: "/out/a" }),
    bodyHash: "",
    by: "t",
    phase: "queued",
    reason: "",
    list,
    close: NO_STEP,
    discard: NO_STEP,
    failures: [],
    isSwept: false,
  };
  const made = await book.create("r", record, { nowMs: NOW });
  let isAway = false;
  const follower = createTransferFollower({
    book,
    clock,
    find: async (id) => {
      if (isAway) throw new AppError("store-unavailable", "it is away");
      const found = book.known(id) ?? (await book.get(id));
      if (found === undefined) throw new AppError("not-found", id);
      return found;
    },
    view: async (transfer) =>
      viewOf(transfer, {
        kept: 0,
        totals: undefined,
        leases: [],
        rate: undefined,
        note: undefined,
        lack: undefined,
        givenUp: [],
      }),
  });
  const heard: string[] = [];
  const { watch } = await follower("r");
  const over = watch({
    progress: ({ state, reason }) => heard.push(`${state} ${reason}`.trim()),
    beat: () => heard.push("beat"),
    gone: () => heard.push("gone"),
    signal: stop.signal,
  });
  const change = (next: Partial<Transfer>) => book.change("r", (fresh) => recordOf({ ...fresh, ...next }));
  await clock.advance(0);
  return { book, clock, heard, over, change, made, away: (is: boolean) => (isAway = is) };
}

test("the end is told with the change itself, and not at the next look", async () => {
  const { clock, heard, over, change } = await begin();
  expect(heard).toEqual(["QUEUED"]);
  await change({ reason: "it waits for a worker" });
  await clock.advance(99);
  expect(heard).toHaveLength(1);
  await clock.advance(1);
  expect(heard).toEqual(["QUEUED", "QUEUED it waits for a worker"]);
  await change({ phase: "completed", reason: "" });
  await clock.advance(0);
  await over;
  expect(heard.at(-1)).toBe("COMPLETED");
});

test("what is taken away is told as gone; what does not change, with a beat", async () => {
  const { clock, heard, over, book, made } = await begin();
  await clock.advance(15_500);
  expect(heard).toEqual(["QUEUED", "beat"]);
  await book.remove(made);
  await clock.advance(0);
  await over;
  expect(heard.at(-1)).toBe("gone");
});

test("a store that is away ends nobody's watching", async () => {
  const { clock, heard, over, change, away } = await begin();
  away(true);
  await clock.advance(20_000);
  expect(heard).toEqual(["QUEUED", "beat"]);
  away(false);
  await change({ phase: "failed", reason: "a disk" });
  await clock.advance(1000);
  await over;
  expect(heard.at(-1)).toBe("FAILED a disk");
});
