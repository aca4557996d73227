import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { AppError } from "../../base/errors.ts";
import { SYNC_DIRECTIONS, SYNC_NAME_PATTERN, type SyncFile } from "../../config/sync-file.ts";
import { checkRsyncArguments } from "./rsync-arguments.ts";
import { parseSealFlags, type SealFlags } from "./seal-flags.ts";

export interface SyncFlags extends SealFlags {
  readonly daemon: string;
  readonly name?: string;
  readonly context?: string;
}

export type SyncWish = Pick<SyncFile, "name" | "direction" | "local" | "remote" | "options" | "context" | "seal">;

const USUAL_OPTIONS = ["-a"];

/** The last two words are SRC and DST, all before them rsync's options. Throws `invalid`. Pure. */
export function parseSyncWish(words: readonly string[], flags: SyncFlags, cwd: string): SyncWish {
  const direction = SYNC_DIRECTIONS.find((each) => each === flags.daemon.toUpperCase());
  if (direction === undefined) {
    throw new AppError(
      "invalid",
      `--daemon: given ${JSON.stringify(flags.daemon)}; allowed: ${SYNC_DIRECTIONS.join(", ")}`,
    );
  }
  const [from = "", to = ""] = words.slice(-2);
  const options = words.slice(0, -2);
  const [here, there] = direction === "UP" ? [from, to] : [to, from];
  const [, box, path] = /^([^:/\s]+):(?!:)(.+)$/.exec(there) ?? [];
  if (
    words.length < 2 ||
    box === undefined ||
    path === undefined ||
    here === "" ||
    /^[^/]*:/.test(here) ||
    here.startsWith("-")
  ) {
    const form = direction === "UP" ? "DIRECTORY BOX:PATH" : "BOX:PATH DIRECTORY";
    throw new AppError(
      "invalid",
      `--daemon ${direction}: given ${JSON.stringify(words.slice(-2).join(" "))}; allowed: [options of rsync] ${form}`,
    );
  }
  checkRsyncArguments(options);
  const { isSealed, boxKey } = parseSealFlags(flags);
  // The slash at the end of a source means its content: rsync's own meaning is kept.
  const local = `${resolve(cwd, here)}${here.endsWith("/") ? "/" : ""}`;
  const name = flags.name ?? `${box}-${pairHash(local, there).slice(0, 8)}`;
  if (!SYNC_NAME_PATTERN.test(name)) {
    throw new AppError(
      "invalid",
      `--name: given ${JSON.stringify(name)}; allowed: up to 63 letters, digits, dots, dashes, underscores`,
    );
  }
  return {
    name,
    direction,
    local,
    remote: there,
    options: options.length === 0 ? USUAL_OPTIONS : [...options],
    ...(flags.context === undefined ? {} : { context: flags.context }),
    ...(isSealed === true ? { seal: boxKey === undefined ? {} : { boxKey } } : {}),
  };
}

/** The same for both directions: the two would undo each other's work. */
export function pairHash(local: string, remote: string): string {
  const plain = (path: string) => path.replace(/(?<=.)\/+$/, "");
  return createHash("sha256")
    .update(`${plain(local)}\0${plain(remote)}`)
    .digest("hex");
}

/** SRC and DST as rsync takes them. Pure. */
export function sourceAndTarget({
  direction,
  local,
  remote,
}: Pick<SyncWish, "direction" | "local" | "remote">): readonly [string, string] {
  return direction === "UP" ? [local, remote] : [remote, local];
}
