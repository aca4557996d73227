import { z } from "zod";
import { relativePathSchema } from "./transfer-path.ts";

export const ENTRY_TYPES = ["file", "directory", "symlink", "hardlink"] as const;

/** Nanoseconds since the epoch, which a double cannot hold. */
const nanosecondsSchema = z.string().regex(/^-?[0-9]{1,20}$/, "must be whole nanoseconds, as text");

/** Names and values of one file together. */
export const MAX_XATTR_BYTES = 64 * 1024;

export function xattrBytes(xattrs: Readonly<Record<string, string>>): number {
  return Object.entries(xattrs).reduce((sum, [name, value]) => sum + name.length + (value.length * 3) / 4, 0);
}

/** One thing below `source_path`, as its worker has seen it. Directories come before what is in them. */
export const transferEntrySchema = z.object({
  /** "" is `source_path` itself. */
  path: relativePathSchema,
  type: z.enum(ENTRY_TYPES),
  /** Bytes; 0 of what is no file. */
  size: z.int().min(0),
  /** Bytes that it takes on its disk, where holes make that less than its size, and are to be kept. */
  allocated: z.int().min(0).optional(),
  mtime_ns: nanosecondsSchema,
  /** Permission bits. */
  mode: z.int().min(0).max(0o7777),
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
  generation: z.string().max(200),
});
export type TransferEntry = z.output<typeof transferEntrySchema>;
