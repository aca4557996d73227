import { z } from "zod";
import { TRANSFER_FAILURES } from "../../contract/transfer/failure-code.ts";
import { syncRequestSchema } from "../../contract/transfer/sync-request.ts";
import { treeComparisonSchema } from "../../contract/transfer/tree-comparison.ts";
import { TRANSFER_WAYS } from "../../contract/transfer/worker-heartbeat.ts";
import type { StoredObject } from "../store/objects.ts";

/** What was asked for, how far it is, and what it came to. Changed by conditional writes only. */
export const TRANSFER_KIND = "transfer";
/** Requests that were deleted: what workers still tell of them is answered, and not taken. */
export const TRANSFER_GRAVE_KIND = "transfer-grave";

/**
 * - `queued`: nobody can begin yet; `reason` says why;
 * - `active`: it is listed and copied;
 * - `closing`: everything is there but links, directories and the end of the staging;
 * - `completed`, `failed`: it is over;
 * - `cancelling`: workers remove what they staged.
 */
export const TRANSFER_PHASES = ["queued", "active", "closing", "completed", "failed", "cancelling"] as const;
export type TransferPhase = (typeof TRANSFER_PHASES)[number];

const stepSchema = z.object({
  attempt: z.int(),
  worker: z.string().optional(),
  isDone: z.boolean(),
  failed: z.int(),
});
export type Step = z.output<typeof stepSchema>;

/** A storage, the place in it, and a worker that is known to have that very storage. */
const sideSchema = z.object({ storage: z.string(), path: z.string(), anchor: z.string() });
export type Side = z.output<typeof sideSchema>;

const failureSchema = z.object({ path: z.string(), code: z.enum(TRANSFER_FAILURES), message: z.string() });

/** Things that a walk could not list. Of `first` no more are kept than can be listed again in one walk. */
const skippedSchema = z.object({ total: z.int(), first: z.array(failureSchema) });
export type Skipped = z.output<typeof skippedSchema>;

const recordSchema = z.object({
  /** Of this one; another with the same request id may have been before it. No part of it is ever used again. */
  uid: z.string(),
  request: syncRequestSchema,
  bodyHash: z.string(),
  by: z.string(),
  phase: z.enum(TRANSFER_PHASES),
  /** Why it waits, or why it has failed; for people. */
  reason: z.string(),
  /** `plain`: carried out by workers that only know the plain forms. */
  mode: z.enum(["full", "plain"]).optional(),
  source: sideSchema.optional(),
  destination: sideSchema.optional(),
  list: stepSchema.extend({
    /** Pages that were taken, and the pieces that they were cut into. */
    pages: z.int(),
    pieces: z.int(),
    /** Of a comparison: those before are the source's, the others the destination's. Absent: the source is still listed. */
    sourcePieces: z.int().optional(),
    /** Of a comparison: names of its `file_list` that the source has not. */
    absent: z.array(z.string()).optional(),
    /** The last path of the last page. */
    last: z.string().optional(),
    /** 0: the first walk; later ones list again what has changed while it was copied. */
    round: z.int(),
    changed: z.array(z.string()).optional(),
    /** The first piece of each later walk. */
    walks: z.array(z.int()).optional(),
    bytes: z.int(),
    files: z.int(),
    /** Further names of files. Absent: an earlier version did not count them. */
    hardlinks: z.int().optional(),
    /** What should have been copied: the tree is not whole without it. */
    unread: skippedSchema.optional(),
    /** What no transfer copies: pipes, sockets, devices. */
    leftOut: skippedSchema.optional(),
  }),
  close: stepSchema,
  discard: stepSchema,
  /** Of `plain`: paths, each given out whole. */
  plain: z.array(stepSchema.extend({ path: z.string(), message: z.string().optional() })).optional(),
  /** Of steps; those of files are kept beside them. */
  failures: z.array(failureSchema),
  /** By which bytes have come. */
  ways: z.array(z.enum(TRANSFER_WAYS)).optional(),
  /** Only this worker begins it, for as long as it is heard. */
  prefer: z.string().optional(),
  startedMs: z.number().optional(),
  endedMs: z.number().optional(),
  /** Of what is over. */
  outcome: z
    .object({
      bytes: z.int(),
      files: z.int(),
      failures: z.array(failureSchema),
      failuresTotal: z.int(),
      rootHash: z.string().optional(),
      receipt: z.string().optional(),
      comparison: treeComparisonSchema.optional(),
    })
    .optional(),
  /** Nothing is kept of its plan any more. */
  isSwept: z.boolean(),
});
export type TransferRecord = z.output<typeof recordSchema>;

export interface Transfer extends TransferRecord {
  readonly id: string;
  readonly revision: number;
  readonly createdMs: number;
  readonly updatedMs: number;
}

/** `undefined` for what no version of this program wrote. */
export function toTransfer({ id, revision, createdMs, updatedMs, body }: StoredObject): Transfer | undefined {
  const parsed = recordSchema.safeParse(body);
  return parsed.success ? { ...parsed.data, id, revision, createdMs, updatedMs } : undefined;
}

export function recordOf(transfer: Transfer): TransferRecord {
  const { id: _id, revision: _revision, createdMs: _created, updatedMs: _updated, ...record } = transfer;
  return record;
}

export function isOver({ phase }: Pick<TransferRecord, "phase">): boolean {
  return phase === "completed" || phase === "failed";
}

export const NO_STEP: Step = { attempt: 0, isDone: false, failed: 0 };

/**
 * `UID:UNIT:ATTEMPT`, where UNIT is `list`, `close`, `discard`, `plain-3` or `12.7` (the eighth unit of piece 12). So a result
 * says by itself what it is of, to any hub, after any restart.
 */
export function leaseIdOf(uid: string, unit: string, attempt: number): string {
  return `${uid}:${unit}:${attempt}`;
}

export type LeasedUnit =
  | { readonly kind: "list" | "close" | "discard" }
  | { readonly kind: "plain"; readonly index: number }
  | { readonly kind: "unit"; readonly piece: number; readonly index: number }
  /** Of the copy of this unit, at the source. */
  | { readonly kind: "serve"; readonly piece: number; readonly index: number };

/** Pure. `undefined`: it is no lease of ours. */
export function parseLeaseId(
  text: string,
): { readonly uid: string; readonly unit: LeasedUnit; readonly name: string; readonly attempt: number } | undefined {
  const match = /^([A-Za-z0-9_-]{8,64}):([a-z0-9.-]{1,40}):([1-9][0-9]{0,8})$/.exec(text);
  const [, uid = "", name = "", attempt = ""] = match ?? [];
  const unit = match === null ? undefined : unitOf(name);
  return unit === undefined ? undefined : { uid, unit, name, attempt: Number(attempt) };
}

function unitOf(name: string): LeasedUnit | undefined {
  if (name === "list" || name === "close" || name === "discard") return { kind: name };
  const [, plain, serve, piece, index] = /^(?:plain-(\d{1,6})|(serve-)?(\d{1,9})\.(\d{1,6}))$/.exec(name) ?? [];
  if (plain !== undefined) return { kind: "plain", index: Number(plain) };
  if (piece === undefined) return undefined;
  return { kind: serve === undefined ? "unit" : "serve", piece: Number(piece), index: Number(index) };
}

export type SideName = "source" | "destination";

/** Pure. Whose tree a piece of the plan is of: a copy lists its source alone. */
export function sideOfPiece({ list: { sourcePieces } }: Pick<TransferRecord, "list">, piece: number): SideName {
  return sourcePieces === undefined || piece < sourcePieces ? "source" : "destination";
}

/** Pure. Whose tree is listed now. */
export function listedSide(transfer: Pick<TransferRecord, "list" | "request">): SideName {
  return transfer.request.mode === "verify" && transfer.list.sourcePieces !== undefined ? "destination" : "source";
}
