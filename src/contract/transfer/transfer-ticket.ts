import { hash, type KeyObject } from "node:crypto";
import { z } from "zod";
import { readSignedToken, signToken } from "../signed-token.ts";
import type { TransferEntry } from "./transfer-entry.ts";
import { sha256Schema, workerIdSchema } from "./worker-heartbeat.ts";

/** Lets one worker move the items of one lease with one other. */
export const transferTicketSchema = z.object({
  aud: z.literal("sluice-transfer"),
  /** The request. */
  rid: z.string(),
  lease: z.string(),
  att: z.int().min(1),
  src: workerIdSchema,
  dst: workerIdSchema,
  /** Storage and place of the source, as in the assignment. */
  storage: z.string(),
  root: z.string(),
  /** `transferScope` of the items. */
  scope: sha256Schema,
  /** Certificate of the side that dials, where it has one: the dialled side pins it. */
  cert: sha256Schema.optional(),
  /** Seconds since the epoch. */
  iat: z.int(),
  exp: z.int(),
});
export type TransferTicket = z.output<typeof transferTicketSchema>;

export function signTransferTicket(
  claims: TransferTicket,
  key: { readonly id: string; readonly privateKey: KeyObject },
): string {
  return signToken(claims, key);
}

/** Throws `unauthorized` with the one sentence that says what is wrong with it. */
export function readTransferTicket(
  ticket: string,
  deps: { readonly keyOf: (id: string) => KeyObject | undefined; readonly nowSeconds: number },
): TransferTicket {
  return readSignedToken(ticket, transferTicketSchema, { ...deps, reader: "worker" });
}

/** Of an item what a source has to know. */
export interface ScopedItem {
  readonly entry: Pick<TransferEntry, "path" | "type" | "generation">;
  readonly offset: number;
  readonly length: number;
}

/** Pure. Names exactly these ranges of these files as they were when they were listed, in this order. */
export function transferScope(items: readonly ScopedItem[]): string {
  const lines = items.map(
    ({ entry, offset, length }) => `${JSON.stringify([entry.path, entry.type, entry.generation, offset, length])}\n`,
  );
  return hash("sha256", lines.join(""), "hex");
}
