import { describe, expect, test } from "vitest";
import { syncRequestSchema } from "../../contract/transfer/sync-request.ts";
import { workerHeartbeatSchema } from "../../contract/transfer/worker-heartbeat.ts";
import type { PoolMember } from "./choose-workers.ts";
import { NO_STEP, type Transfer } from "./transfer-record.ts";
import type { Worker } from "./worker-record.ts";
import { sharesOf } from "./worker-shares.ts";

const storage = { id: "storage-1", path: "/data", read: true, write: true, seen_marks: [] };

function worker(id: string, isPlain = false): Worker {
  const heartbeat = workerHeartbeatSchema.parse({
    worker_id: id,
    status: "IDLE",
    ...(isPlain ? { storage_paths: ["/data"] } : { storages: [storage] }),
  });
  return { id, revision: 1, heardMs: 0, heartbeat };
}

function transfer(more: Partial<Transfer> & { readonly isComparison?: boolean } = {}): Transfer {
  const { isComparison = false, ...given } = more;
  return {
    id: "transfer-1",
    uid: "uid-00000001",
    revision: 1,
    createdMs: 0,
    updatedMs: 0,
    request: syncRequestSchema.parse({
      request_id: "transfer-1",
      source_path: "/data/a",
      destination_path: "/data/b",
      ...(isComparison ? { mode: "verify" } : {}),
    }),
    bodyHash: "",
    by: "",
    phase: "active",
    reason: "",
    mode: "full",
    list: { ...NO_STEP, pages: 0, pieces: 0, round: 0, bytes: 0, files: 0 },
    close: NO_STEP,
    discard: NO_STEP,
    failures: [],
    isSwept: false,
    ...given,
  };
}

const SOURCE = worker("source");
const OTHER_SOURCE = worker("other-source");
const DESTINATION = worker("destination");
const BOTH = worker("both");
const member = (one: Worker): PoolMember => ({ worker: one, storage });
const pools = {
  sources: [SOURCE, OTHER_SOURCE, BOTH].map(member),
  destinations: [DESTINATION, BOTH].map(member),
};
const copying = (count: number) => Array.from({ length: count }, (_, at) => ({ id: `uid-00000001:0.${at}:1` }));
const kindsOf = (of: Transfer, who: Worker, held = 0) =>
  sharesOf(of, who, { pools, held: copying(held) }).map(({ kind }) => kind);

test("one that may not write there copies nothing, and lists all the same", () => {
  const one = { worker: worker("w-1"), storage };
  const pools = { sources: [one], destinations: [one] };
  const kindsOf = (isBarred: boolean) =>
    sharesOf(transfer(), one.worker, { pools, held: [], isBarred }).map(({ kind }) => kind);
  expect([kindsOf(false), kindsOf(true)]).toEqual([["list", "units"], ["list"]]);
});

describe("of a transfer that goes on", () => {
  test("who has the source lists it, and who has the destination takes what is to be copied", () => {
    expect(kindsOf(transfer(), SOURCE)).toEqual(["list"]);
    expect(kindsOf(transfer(), DESTINATION)).toEqual(["units"]);
    expect(kindsOf(transfer(), BOTH)).toEqual(["list", "units"]);
    expect(kindsOf(transfer(), worker("stranger"))).toEqual([]);
  });

  test("both sides of a comparison are listed and hashed by who has them", () => {
    const list = { ...transfer().list, pieces: 3, sourcePieces: 2 };
    const compared = transfer({ isComparison: true, list });
    const pieces = (who: Worker) =>
      sharesOf(compared, who, { pools, held: [] }).flatMap((share) =>
        share.kind === "units" ? [0, 1, 2].filter(share.mayTake) : [],
      );
    expect(kindsOf(compared, DESTINATION)).toEqual(["list", "units"]);
    expect(pieces(SOURCE)).toEqual([0, 1]);
    expect(pieces(DESTINATION)).toEqual([2]);
    expect(pieces(BOTH)).toEqual([0, 1, 2]);
  });

  test("while the worker that is preferred on a side is there, nobody else of that side gets anything", () => {
    const preferring = transfer({ prefer: "source" });
    expect(kindsOf(preferring, SOURCE)).toEqual(["list"]);
    expect(kindsOf(preferring, OTHER_SOURCE)).toEqual([]);
    expect(kindsOf(preferring, DESTINATION)).toEqual(["units"]);
    expect(kindsOf(transfer({ prefer: "away" }), OTHER_SOURCE)).toEqual(["list"]);
  });

  test("plain ones at its source carry it out whole where it is in their forms, once somebody has the destination", () => {
    const plain = transfer({ mode: "plain" });
    const plainSource = worker("source", true);
    expect(kindsOf(plain, plainSource)).toEqual(["plain"]);
    expect(kindsOf(plain, SOURCE)).toEqual([]);
    expect(sharesOf(plain, plainSource, { pools: { ...pools, destinations: [] }, held: [] })).toEqual([]);
  });
});

test("one that is held to a rate has as many leases as fill it, and one at least", () => {
  const held = (mbps: number) =>
    transfer({ request: { ...transfer().request, bandwidth_mbps: mbps } satisfies Transfer["request"] });
  for (const [mbps, most] of [
    [0.1, 1],
    [50, 1],
    [51, 2],
    [300, 6],
  ] as const) {
    expect(kindsOf(held(mbps), DESTINATION, most - 1)).toEqual(["units"]);
    expect(kindsOf(held(mbps), DESTINATION, most)).toEqual([]);
  }
  // Who lists it takes nothing of the rate.
  const listing = [{ id: "uid-00000001:list:1" }];
  expect(sharesOf(held(1), DESTINATION, { pools, held: listing })).toHaveLength(1);
});

test("one that is cancelled is discarded at its destination, once nobody has anything of it any more", () => {
  const cancelled = transfer({ phase: "cancelling", prefer: "both" });
  expect(kindsOf(cancelled, DESTINATION)).toEqual(["discard"]);
  expect(kindsOf(cancelled, DESTINATION, 1)).toEqual([]);
  expect(kindsOf(cancelled, SOURCE)).toEqual([]);
});

test("one that is closed is so by any that has the destination, and one that waits or is over needs nobody", () => {
  expect(kindsOf(transfer({ phase: "closing", prefer: "both" }), DESTINATION)).toEqual(["close"]);
  expect(kindsOf(transfer({ phase: "closing" }), SOURCE)).toEqual([]);
  for (const phase of ["queued", "completed", "failed"] as const) {
    expect(kindsOf(transfer({ phase }), BOTH)).toEqual([]);
  }
});
