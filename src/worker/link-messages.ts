import { z } from "zod";
import { TRANSFER_FAILURES } from "../contract/transfer/failure-code.ts";
import { ENTRY_TYPES } from "../contract/transfer/transfer-entry.ts";
import { relativePathSchema } from "../contract/transfer/transfer-path.ts";
import type { ScopedItem } from "../contract/transfer/transfer-ticket.ts";
import { fault } from "./fault.ts";

export const DATA_PLANE_VERSION = 5;

/** 16 384 blocks. */
const MAX_TAGS_CHARACTERS = 400_000;

/** `pull`: who dialled receives; `push`: it sends. */
export const helloSchema = z.object({
  version: z.literal(DATA_PLANE_VERSION),
  way: z.enum(["pull", "push"]),
  ticket: z.string().max(8192),
});
/** Path, type, generation, offset and length of each: what the ticket names, and the source needs. */
export const itemsSchema = z
  .array(z.tuple([relativePathSchema, z.enum(ENTRY_TYPES), z.string().max(200), z.int().min(0), z.int().min(0)]))
  .max(2000)
  .transform((items) =>
    items.map(
      ([path, type, generation, offset, length]): ScopedItem => ({ entry: { path, type, generation }, offset, length }),
    ),
  );

export function itemsMessage(items: readonly ScopedItem[]): z.input<typeof itemsSchema> {
  return items.map(({ entry: { path, type, generation }, offset, length }) => [path, type, generation, offset, length]);
}

export const wantSchema = z.object({
  /**
   * Index of the item, bytes of it that the receiver has staged, and of what lies at the destination: its hash, where that is as long as
   * the item, else nothing; and the tags of its blocks from the staged bytes on, base64, where it is compared by blocks.
   */
  wants: z
    .array(
      z.tuple([
        z.int().min(0),
        z.int().min(0),
        z.string().length(64).or(z.literal("")).optional(),
        z.base64().max(MAX_TAGS_CHARACTERS).optional(),
      ]),
    )
    .max(2000),
  /** The sender leaves out bytes that are zero. */
  sparse: z.boolean(),
  /** Of the marks that go with the pieces. */
  key: z.string().regex(/^[0-9a-f]{32}$/),
});
export type Want = z.output<typeof wantSchema>;
/** With the hash that was asked about. */
export const sameSchema = z.object({ index: z.int().min(0), sha256: z.string().length(64) });
export const failedSchema = z.object({
  index: z.int().min(0),
  code: z.enum(TRANSFER_FAILURES),
  message: z.string().max(1000),
});
export const refusalSchema = z.object({ code: z.enum(TRANSFER_FAILURES), message: z.string().max(1000) });

/** Throws `corrupt`. */
export function parseBody<T>(schema: z.ZodType<T>, body: Buffer, what: string): T {
  try {
    return schema.parse(JSON.parse(body.toString("utf8")));
  } catch (thrown) {
    throw fault("corrupt", `the peer's ${what} cannot be read`, thrown);
  }
}
