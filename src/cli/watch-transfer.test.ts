import { expect, test } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { AppError } from "../base/errors.ts";
import type { HubClient } from "../client/hub-client.ts";
import type { ErrorCode } from "../contract/error-code.ts";
import { type SyncProgress, syncProgressSchema } from "../contract/transfer/sync-progress.ts";
import { createTestContext } from "./command-context.fake.ts";
import { watchToEnd } from "./watch-transfer.ts";

const at = (state: SyncProgress["state"], reason: string) =>
  syncProgressSchema.parse({
    request_id: "day-1",
    state,
    reason,
    source_path: "/a",
    destination_path: "/b",
    priority: "normal",
    ...{ transferred_bytes: 5, total_bytes: 10, files_done: 1, files_total: 2, is_listed: true, rate_bytes_s: 0 },
    updated_at: "2026-01-15T10:00:00Z",
    ...{ detail: {}, workers: [], failures: [], failures_total: 0 },
  });

type Told = SyncProgress | ErrorCode;

/** A hub that answers each look with the next of these; what it streams breaks off at once. */
function hubWith(events: readonly SyncProgress[], answers: readonly Told[]) {
  const left = [...answers];
  const cursors: unknown[] = [];
  const hub = {
    transfers: {
      async *follow(_id: string, after: string | undefined) {
        cursors.push(after);
        if (cursors.length === 1) for (const transfer of events) yield { transfer, cursor: "c1" };
        throw new AppError("unavailable", "the connection broke");
      },
      get: async () => {
        const next = left.shift() ?? "internal";
        if (typeof next === "string") throw new AppError(next, "nothing listens at http://hub");
        return next;
      },
    },
  } as unknown as HubClient;
  return { hub, cursors };
}

const watch = async (hub: HubClient, isTerminal: boolean) => {
  const clock = createFakeClock();
  const context = createTestContext("/nowhere", { clock, terminal: { isTerminal, columns: 80 } });
  const over = watchToEnd("day-1", hub, context).catch((error: unknown) => error);
  let isOver = false;
  void over.then(() => {
    isOver = true;
  });
  while (!isOver) await clock.advance(500);
  return { over: await over, err: context.err() };
};

test("who watches is told that the hub is away, once, and hears the end when it is back, from where it was", async () => {
  const { hub, cursors } = hubWith(
    [at("PROGRESS", "it is being copied")],
    ["unavailable", "unavailable", "store-unavailable", "timeout", at("COMPLETED", "")],
  );
  const { over, err } = await watch(hub, false);
  expect(over).toMatchObject({ state: "COMPLETED" });
  expect(err).toBe("progress: it is being copied\nnothing listens at http://hub; it is asked again\ncompleted\n");
  expect(cursors).toEqual([undefined, "c1", "c1", "c1", "c1"]);
});

test("at a terminal the bar makes way for it, and nothing of either is left at the end", async () => {
  const { hub } = hubWith([at("PROGRESS", "it waits for a worker")], ["unavailable", at("FAILED", "no room")]);
  const { over, err } = await watch(hub, true);
  expect(over).toMatchObject({ state: "FAILED" });
  expect(err).toContain("50 %");
  expect(err).toContain("  it waits for a worker\n");
  expect(err).toContain("\u001b[2A\r\u001b[Jnothing listens at http://hub; it is asked again\n");
  expect(err.endsWith("\u001b[J")).toBe(true);
});

test.each([
  ["unauthorized", "unauthorized"],
  ["not-found", "cancelled"],
] as const)("a hub that answers %s ends the watching", async (answer, code) => {
  const { hub } = hubWith([at("PROGRESS", "it is being copied")], [answer]);
  expect((await watch(hub, false)).over).toMatchObject({ code });
});
