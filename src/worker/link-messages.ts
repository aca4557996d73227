import { z } from "zod";
import { copyItemSchema } from "../contract/transfer/assignment.ts";
import { TRANSFER_FAILURES } from "../contract/transfer/failure-code.ts";
import { fault } from "./fault.ts";

export const DATA_PLANE_VERSION = 3;

/** 16 384 blocks. */
const MAX_TAGS_CHARACTERS = 400_000;

/** `pull`: who dialled receives; `push`: it sends. */
export const helloSchema = z.object({
  version: z.literal(DATA_PLANE_VERSION),
  way: z.enum(["pull", "push"]),
  ticket: z.string().max(8192),
});
export const itemsSchema = z.array(copyItemSchema).max(2000);
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
