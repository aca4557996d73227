import { expect, test } from "vitest";
import { AppError } from "../base/errors.ts";
import type { SyncProgress } from "../contract/transfer/sync-progress.ts";
import { createPaint } from "./paint.ts";
import { parseTransferPlace, transferFromFlags } from "./transfer-from-flags.ts";
import {
  inListOrder,
  renderComparison,
  renderTransfer,
  renderTransferProgress,
  renderTransfers,
} from "./transfer-views.ts";

const NOW_MS = Date.parse("2026-01-15T10:00:00.000Z");
const VIEW = { paint: createPaint(false), columns: undefined, nowMs: NOW_MS };
const TRANSFER: SyncProgress = {
  request_id: "day-1",
  mode: "copy",
  state: "PROGRESS",
  reason: "2 workers copy",
  source_path: "/srv/day-1",
  destination_path: "/archive/day-1",
  source_box: "north-1",
  destination_box: "archive",
  priority: "normal",
  transferred_bytes: 3 * 2 ** 20,
  total_bytes: 12 * 2 ** 20,
  files_done: 3,
  files_total: 9,
  is_listed: true,
  rate_bytes_s: 2 ** 20,
  seconds_left: 9,
  updated_at: "2026-01-15T09:59:50.000Z",
  detail: { "north-1": "PROGRESS" },
  workers: [{ worker_id: "archive", work: "copies 1 file", bytes: 2 ** 20, rate_bytes_s: 2 ** 19, way: "router" }],
  ways: ["destination", "router"],
  ways_given_up: [
    {
      worker_id: "archive",
      way: "source",
      reason: "10.0.0.5:8470: no answer within 5 s",
      at: "2026-01-15T09:59:00.000Z",
    },
  ],
  failures: [],
  failures_total: 0,
};

test("a transfer is a bar with its figures, and a line for each worker", () => {
  expect(renderTransferProgress(TRANSFER, 120)).toEqual([
    "[######------------------] 25 %  3 MiB of 12 MiB  3 of 9 files  1 MiB/s  9 s left",
    "  archive: copies 1 file, 1 MiB, 512 KiB/s, through a router",
  ]);
});

test.each([79, 72, 40])("its figures are whole on %s columns where the shortest bar leaves them room", (columns) => {
  const large = { ...TRANSFER, total_bytes: 381 * 2 ** 20, transferred_bytes: 220 * 2 ** 20, files_total: 301 };
  const [line = ""] = renderTransferProgress(large, columns);
  expect(line).toMatch(/^\[#+-+\] 57 % {2}220 MiB of 381 MiB {2}3 of 301 files {2}1 MiB\/s {2}9 s left$/);
  expect(line.length).toBeLessThanOrEqual(Math.max(columns, 69));
});

test("before the end of the listing nobody is told a share of it", () => {
  const { seconds_left: _, ...open } = TRANSFER;
  const [bar] = renderTransferProgress({ ...open, is_listed: false, rate_bytes_s: 0 }, 120);
  expect(bar).toBe("[listing                 ] 3 MiB of 12 MiB+  3 of 9+ files");
});

test("one that waits says why; a tree of empty files counts files; what is whole is whole", () => {
  const queued = { ...TRANSFER, state: "QUEUED" as const, reason: "waits: no worker has /srv/day-1", workers: [] };
  expect(renderTransferProgress(queued, 120)[1]).toBe("  waits: no worker has /srv/day-1");
  const empty = { ...TRANSFER, total_bytes: 0, transferred_bytes: 0 };
  expect(renderTransferProgress(empty, 120)[0]).toContain("33 %");
  expect(renderTransferProgress({ ...TRANSFER, state: "COMPLETED", total_bytes: 0 }, 120)[0]).toContain("100 %");
});

test("what goes on is listed first, what was begun last before the others, and then what has ended, by when", () => {
  const at = (minute: number) => `2026-01-01T00:${minute}:00.000Z`;
  const one = (request_id: string, more: Partial<SyncProgress>) => ({ ...TRANSFER, request_id, ...more });
  const transfers = [
    one("a-done-early", { state: "COMPLETED", started_at: at(50), updated_at: at(51) }),
    one("b-runs-long", { state: "PROGRESS", started_at: at(10), updated_at: at(59) }),
    one("c-failed-late", { state: "FAILED", started_at: at(10), updated_at: at(58) }),
    one("d-runs-since-now", { state: "PROGRESS", started_at: at(57), updated_at: at(57) }),
  ];
  expect(inListOrder(transfers).map(({ request_id }) => request_id)).toEqual([
    "d-runs-since-now",
    "b-runs-long",
    "c-failed-late",
    "a-done-early",
  ]);
});

test("of many failures the first twenty are told, and where the others are; what was left out of a whole one is no failure", () => {
  const failures = Array.from({ length: 100 }, (_, at) => ({ path: `f${at}`, code: "denied" as const, message: "no" }));
  const failed = renderTransfer({ ...TRANSFER, state: "FAILED", failures, failures_total: 301 }, VIEW);
  expect(failed.match(/^ {2}failure /gm)).toHaveLength(20);
  expect(failed).toContain("281 more failures; --json tells 100 of them");
  const pipe = { path: "p", code: "unsupported" as const, message: "a pipe, which cannot be copied" };
  const whole = renderTransfer({ ...TRANSFER, state: "COMPLETED", failures: [pipe], failures_total: 1 }, VIEW);
  expect(whole).toContain("  left out   p: unsupported: a pipe, which cannot be copied\n");
});

test("all of one transfer is told, and nothing of it drives the terminal", () => {
  const failed: SyncProgress = {
    ...TRANSFER,
    state: "FAILED",
    reason: "1 file could not be copied",
    failures: [{ path: "a\u001b[2Jb", code: "denied", message: "not for this user" }],
    failures_total: 101,
  };
  const text = renderTransfer(failed, VIEW);
  expect(text).not.toContain("\u001b");
  expect(text).toContain("denied: not for this user");
  expect(text).toContain("100 more failures");
  expect(text).toContain("way        direct, the destination dials; through a router\n");
  expect(text).toContain("given up   archive: direct, the source dials: 10.0.0.5:8470: no answer within 5 s\n");
  expect(text).toContain("north-1:/srv/day-1");
  const odd = "x\u001b[2J\u009by";
  const difference = { path: odd, differs: ["content" as const], message: odd };
  const told: SyncProgress = {
    ...failed,
    reason: odd,
    detail: { archive: odd },
    ways_given_up: [{ worker_id: "archive", way: "source", reason: odd, at: "2026-01-15T10:30:45Z" }],
  };
  expect(renderTransfer(told, VIEW).split("x\\x1b[2J\\x9by")).toHaveLength(4);
  const compared = {
    equal: 1,
    differing: 1,
    only_in_source: 0,
    only_in_destination: 0,
    differences: [difference],
    source_root_hash: "",
    destination_root_hash: "",
  };
  const alone = renderTransferProgress({ ...told, workers: [] }, 80).join("\n");
  for (const shown of [renderTransfer(told, VIEW), renderComparison(compared), alone]) {
    for (const control of ["\u001b", "\u009b"]) expect(shown).not.toContain(control);
  }
  expect(renderTransfers([], VIEW)).toBe("no transfer\n");
  expect(renderTransfers([failed], VIEW)).toMatch(/day-1 +failed +25 %/);
});

test.each([
  ["north-1:/srv/a b", { box: "north-1", path: "/srv/a b" }],
  ["/srv/a:b", { box: undefined, path: "/srv/a:b" }],
])("%s is a place", (text, place) => {
  expect(parseTransferPlace(text, "SOURCE")).toEqual(place);
});

test.each(["north-1:srv", "srv/a", "", ":/srv", "a/b:/c"])("%j is no place, and the message says what is", (text) => {
  expect(() => parseTransferPlace(text, "SOURCE")).toThrow(/^SOURCE: given .*; allowed: BOX:\/PATH/);
});

const PLACES = { source: { box: "north-1", path: "/a" }, destination: { box: undefined, path: "/b" } };

test("flags become the request, and what was not given is left to the hub", () => {
  expect(transferFromFlags({}, PLACES, NOW_MS)).toEqual({
    source_path: "/a",
    destination_path: "/b",
    source_box: "north-1",
  });
  expect(
    transferFromFlags(
      { bandwidth: "2.5", chunkSize: "8", deadline: "2h", delete: true, preserve: "mode, times" },
      PLACES,
      NOW_MS,
    ),
  ).toMatchObject({
    bandwidth_mbps: 2.5,
    chunk_size_mb: 8,
    deadline: "2026-01-15T12:00:00.000Z",
    delete_extraneous: true,
    preserve: ["mode", "times"],
  });
  expect(transferFromFlags({ deadline: "2026-02-01T00:00:00Z" }, PLACES, NOW_MS).deadline).toBe(
    "2026-02-01T00:00:00.000Z",
  );
});

test.each([
  [{ bandwidth: "0" }, "--bandwidth"],
  [{ bandwidth: "fast" }, "--bandwidth"],
  [{ chunkSize: "2000" }, "--chunk-size"],
  [{ deadline: "soon" }, "--deadline"],
  [{ preserve: "mode,colour" }, "--preserve"],
])("%j is refused by the name of its flag", (flags, field) => {
  expect(() => transferFromFlags(flags, PLACES, NOW_MS)).toThrow(AppError);
  expect(() => transferFromFlags(flags, PLACES, NOW_MS)).toThrow(new RegExp(`^${field}: given `));
});
