import { z } from "zod";
import { readAtAGlance } from "./read-at-a-glance.ts";
import { isPlainPath, relativePathSchema } from "./transfer-path.ts";

export const ENTRY_TYPES = ["file", "directory", "symlink", "hardlink"] as const;

const NANOSECONDS = /^-?[0-9]{1,20}$/;
/** Nanoseconds since the epoch, which a double cannot hold. */
const nanosecondsSchema = z.string().regex(NANOSECONDS, "must be whole nanoseconds, as text");
const MAX_MODE = 0o7777;
const MAX_GENERATION_CHARACTERS = 200;

/** Names and values of one file together. */
export const MAX_XATTR_BYTES = 64 * 1024;

export function xattrBytes(xattrs: Readonly<Record<string, string>>): number {
  return Object.entries(xattrs).reduce((sum, [name, value]) => sum + name.length + (value.length * 3) / 4, 0);
}

const wholeEntrySchema = z.object({
  /** "" is `source_path` itself. */
  path: relativePathSchema,
  type: z.enum(ENTRY_TYPES),
  /** Bytes; 0 of what is no file. */
  size: z.int().min(0),
  /** Bytes that it takes on its disk, where holes make that less than its size, and are to be kept. */
  allocated: z.int().min(0).optional(),
  mtime_ns: nanosecondsSchema,
  /** Permission bits. */
  mode: z.int().min(0).max(MAX_MODE),
  uid: z.int().min(0),
  gid: z.int().min(0),
  /** Of a symlink: its text. Of a hard link: the path of the file that was listed first. As path text. */
  target: z
    .string()
    .max(4096 * 3)
    .optional(),
  /** Same for all names of one file. */
  link_group: z.string().max(64).optional(),
  /** Of files and directories, where they are asked for: by name, as path text, their values in base64. */
  xattrs: z
    .record(z.string().max(255 * 3), z.base64())
    .refine((xattrs) => xattrBytes(xattrs) <= MAX_XATTR_BYTES, `must have at most ${MAX_XATTR_BYTES} bytes`)
    .optional(),
  /** `dev:ino:size:mtime_ns:ctime_ns`: whoever reads the file later must find the same. */
  generation: z.string().max(MAX_GENERATION_CHARACTERS),
});
export type TransferEntry = z.output<typeof wholeEntrySchema>;

/** Of what has nothing that most have not. */
const PLAIN_FIELDS = 8;

/** Pure. A file or directory with a plain name and nothing more than all have; `undefined`: the schema says what it is. */
function readPlainEntry(given: Readonly<Record<string, unknown>>): TransferEntry | undefined {
  const { path, type, size, mtime_ns, mode, uid, gid, generation } = given;
  if (typeof path !== "string" || !isPlainPath(path) || (type !== "file" && type !== "directory")) return undefined;
  if (typeof mtime_ns !== "string" || !NANOSECONDS.test(mtime_ns)) return undefined;
  if (typeof generation !== "string" || generation.length > MAX_GENERATION_CHARACTERS) return undefined;
  if (!isCount(size) || !isCount(mode) || mode > MAX_MODE || !isCount(uid) || !isCount(gid)) return undefined;
  // Whatever else there is has to be looked at, or left out.
  let fields = 0;
  for (const _ in given) fields += 1;
  return fields === PLAIN_FIELDS ? { path, type, size, mtime_ns, mode, uid, gid, generation } : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** One thing below `source_path`, as its worker has seen it. Directories come before what is in them. */
export const transferEntrySchema = readAtAGlance(wholeEntrySchema, readPlainEntry);
