import { z } from "zod";
import { TRANSFER_FAILURES } from "../../contract/transfer/failure-code.ts";
import { ENTRY_TYPES } from "../../contract/transfer/transfer-entry.ts";
import { MAX_PATH_BYTES, readPath } from "../../contract/transfer/transfer-path.ts";
import type { ScopedItem } from "../../contract/transfer/transfer-ticket.ts";
import { fault } from "../fault.ts";

export const DATA_PLANE_VERSION = 5;

const MAX_ROWS = 2000;
const MAX_GENERATION_CHARACTERS = 200;
const HASH_DIGITS = 64;
/** 16 384 blocks. */
const MAX_TAGS_CHARACTERS = 400_000;

/** `pull`: who dialled receives; `push`: it sends. */
export const helloSchema = z.object({
  version: z.literal(DATA_PLANE_VERSION),
  way: z.enum(["pull", "push"]),
  ticket: z.string().max(8192),
});
/** Path, type, generation, offset and length of each: what the ticket names, and the source needs. */
export const itemsSchema = rowsSchema("path, type, generation, offset and length", (row): ScopedItem | undefined => {
  const [path, type, generation, offset, length] = row;
  const known = ENTRY_TYPES.find((name) => name === type);
  if (row.length !== 5 || known === undefined || typeof path !== "string" || typeof generation !== "string") return;
  if (path.length > MAX_PATH_BYTES * 3 || generation.length > MAX_GENERATION_CHARACTERS) return;
  const read = readPath(path);
  if ("problem" in read || !isCount(offset) || !isCount(length)) return;
  return { entry: { path: read.text, type: known, generation }, offset, length };
});

export function itemsMessage(items: readonly ScopedItem[]): unknown {
  return items.map(({ entry: { path, type, generation }, offset, length }) => [path, type, generation, offset, length]);
}

type ItemWant = [index: number, from: number, theirs?: string, tags?: string];

const tagsSchema = z.base64().max(MAX_TAGS_CHARACTERS);

export const wantSchema = z.object({
  /**
   * Index of the item, bytes of it that the receiver has staged, and of what lies at the destination: its hash, where that is as long as
   * the item, else nothing; and the tags of its blocks from the staged bytes on, base64, where it is compared by blocks.
   */
  wants: rowsSchema("index, bytes, hash and tags", (row): ItemWant | undefined => {
    const [index, from, theirs, tags] = row;
    if (row.length < 2 || row.length > 4 || !isCount(index) || !isCount(from)) return;
    if (theirs === undefined) return [index, from];
    if (typeof theirs !== "string" || (theirs !== "" && theirs.length !== HASH_DIGITS)) return;
    if (tags === undefined) return [index, from, theirs];
    const read = tagsSchema.safeParse(tags);
    return read.success ? [index, from, theirs, read.data] : undefined;
  }),
  /** The sender leaves out bytes that are zero. */
  sparse: z.boolean(),
  /** Of the marks that go with the pieces. */
  key: z.string().regex(/^[0-9a-f]{32}$/),
  /** Of data frames, that the receiver's rate lets be under way; one of an earlier release says none. */
  window: z.int().positive().optional(),
  /** Answers are to be bound to their items, as `bound-answer.ts` says; one of an earlier release does not ask for it. */
  binds: z.boolean().optional(),
});
export type Want = z.output<typeof wantSchema>;
/** With the hash that was asked about, and, where that is asked for, its `bondOfSame`. */
export const sameSchema = z.object({
  index: z.int().min(0),
  sha256: z.string().length(64),
  bond: z.string().length(32).optional(),
});
export const failedSchema = z.object({
  index: z.int().min(0),
  code: z.enum(TRANSFER_FAILURES),
  message: z.string().max(1000),
});
export const refusalSchema = z.object({ code: z.enum(TRANSFER_FAILURES), message: z.string().max(1000) });

/** Each read by hand, `undefined` where it is none: a schema takes as long for a row as the reading and sending of its file. */
function rowsSchema<Row>(form: string, read: (row: readonly unknown[]) => Row | undefined) {
  return z
    .array(z.unknown())
    .max(MAX_ROWS)
    .transform((given, context): Row[] => {
      const rows: Row[] = [];
      for (const one of given) {
        const row = Array.isArray(one) ? read(one) : undefined;
        if (row === undefined) {
          context.addIssue({ code: "custom", message: `must be ${form} of each` });
          return z.NEVER;
        }
        rows.push(row);
      }
      return rows;
    });
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** Throws `corrupt`. */
export function parseBody<T>(schema: z.ZodType<T>, body: Buffer, what: string): T {
  try {
    return schema.parse(JSON.parse(body.toString("utf8")));
  } catch (thrown) {
    throw fault("corrupt", `the peer's ${what} cannot be read`, thrown);
  }
}
