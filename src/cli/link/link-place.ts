import { createHash } from "node:crypto";
import { lstatSync, mkdirSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { errnoOf, messageOf } from "../../base/errors.ts";
import type { Environment } from "../../config/state-directory.ts";

/** A directory for the sockets of kept links; or the reason why there is none. */
export type LinkDirectory = { readonly path: string } | { readonly path: undefined; readonly reason: string };

export interface LinkPlaceFacts {
  readonly env: Environment;
  readonly homeDirectory: string;
  readonly userId: number;
}

/** A unix socket's name may have 107 bytes. */
const MAX_PATH_BYTES = 107;
const SUFFIX = ".link";
const NAME = /^[0-9a-f]{24}\.link$/;

/**
 * Whoever can connect there acts with the operator's token. So it must be a directory that only this user can enter, in one that nobody
 * else can change; a link in its place, or another's directory, is none. Made where it is not there and `mayMake`.
 */
export function openLinkDirectory(facts: LinkPlaceFacts, mayMake: boolean): LinkDirectory {
  const reasons: string[] = [];
  for (const path of linkDirectoryCandidates(facts)) {
    try {
      const problem =
        linkPathProblem(path) ?? parentProblem(dirname(path), facts.userId) ?? make(path, facts.userId, mayMake);
      if (problem === undefined) return { path };
      reasons.push(problem);
    } catch (thrown) {
      reasons.push(errnoOf(thrown) === "ENOENT" ? `${path} is not there` : messageOf(thrown));
    }
  }
  return { path: undefined, reason: reasons.join("; ") };
}

/** In order of preference. Pure. */
export function linkDirectoryCandidates({ env, homeDirectory }: LinkPlaceFacts): readonly string[] {
  const bases = [env["XDG_RUNTIME_DIR"], env["XDG_CACHE_HOME"] ?? join(homeDirectory, ".cache")];
  return bases.flatMap((base) => (base !== undefined && isAbsolute(base) ? [join(base, "sluice")] : []));
}

/** The name says what it is for: another hub, token, authority or program has another. */
export function linkSocketPath(directory: string, identity: readonly (string | undefined)[]): string {
  const digest = createHash("sha256").update(JSON.stringify(identity)).digest("hex");
  return join(directory, `${digest.slice(0, 24)}${SUFFIX}`);
}

export function isLinkName(name: string): boolean {
  return NAME.test(name);
}

function linkPathProblem(directory: string): string | undefined {
  const bytes = Buffer.byteLength(join(directory, `${"0".repeat(24)}${SUFFIX}`)) + 12;
  return bytes > MAX_PATH_BYTES ? `${directory}: too long for the name of a socket` : undefined;
}

function parentProblem(path: string, userId: number): string | undefined {
  const { uid, mode } = lstatSync(path);
  if (uid !== userId && uid !== 0) return `${path} belongs to user ${uid}`;
  // Where the sticky bit is set nobody can take away what is another's.
  if ((mode & 0o022) !== 0 && (mode & 0o1000) === 0) return `${path} can be changed by others`;
  return undefined;
}

function make(path: string, userId: number, mayMake: boolean): string | undefined {
  if (mayMake) {
    try {
      mkdirSync(path, { mode: 0o700 });
    } catch (thrown) {
      if (errnoOf(thrown) !== "EEXIST") throw thrown;
    }
  }
  const facts = lstatSync(path);
  if (!facts.isDirectory()) return `${path} is no directory`;
  if (facts.uid !== userId) return `${path} belongs to user ${facts.uid}`;
  if ((facts.mode & 0o077) !== 0) return `${path} is open to others`;
  return undefined;
}
