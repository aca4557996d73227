import { isAbsolute, join } from "node:path";
import { z } from "zod";
import { AppError } from "../base/errors.ts";
import type { Environment, HostFacts } from "./state-directory.ts";

export const SYNC_DIRECTIONS = ["UP", "DOWN"] as const;
export type SyncDirection = (typeof SYNC_DIRECTIONS)[number];
export const SYNC_NAME_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/;

const fileSchema = z.object({
  version: z.literal(1),
  name: z.string().regex(SYNC_NAME_PATTERN),
  direction: z.enum(SYNC_DIRECTIONS),
  /** Of this machine, absolute. */
  local: z.string().startsWith("/"),
  /** `BOX:PATH` */
  remote: z.string(),
  /** Of rsync. */
  options: z.array(z.string()),
  context: z.string().optional(),
  /** Sealed between here and the box: for the key of this fingerprint alone, where it is given. */
  seal: z.object({ boxKey: z.string().optional() }).optional(),
  debounceSeconds: z.int().min(0),
  rescanSeconds: z.int().min(1),
  pollSeconds: z.int().min(1),
  /** Who does it: a PID alone may be anybody's by now. */
  process: z.object({ pid: z.int(), startTicks: z.number(), bootId: z.string() }).optional(),
  state: z.enum(["starting", "syncing", "idle", "failing"]),
  /** One sentence. */
  reason: z.string(),
  startedAt: z.iso.datetime(),
  lastSyncAt: z.iso.datetime().optional(),
  runs: z.int().min(0),
  /** In a row. */
  failures: z.int().min(0),
});
/** A directory that is kept in sync with one of a box, as its daemon keeps it on disk. */
export type SyncFile = z.output<typeof fileSchema>;

/** A person's own, whatever runs as root: `~/.local/state/sluice/rsync`. */
export function syncDirectory(env: Environment, { homeDirectory }: HostFacts): string {
  const xdg = env["XDG_STATE_HOME"];
  return join(xdg !== undefined && isAbsolute(xdg) ? xdg : join(homeDirectory, ".local/state"), "sluice/rsync");
}

/** Throws `config` for a file that is none. */
export function parseSyncFile(text: string, path: string): SyncFile {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    content = undefined;
  }
  const parsed = fileSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  throw new AppError("config", `${path} is no state of a directory in sync; remove it`);
}

export function formatSyncFile(file: SyncFile): string {
  return `${JSON.stringify(file, undefined, 2)}\n`;
}
