import { closeSync, writeSync } from "node:fs";
import { AppError } from "../../base/errors.ts";
import type { ProgramResult, RunProgram } from "../../base/spawn.ts";
import { pathBytes, pathText } from "../../contract/transfer/path-text.ts";
import type { Preserved } from "../../contract/transfer/sync-request.ts";
import { fault } from "../fault.ts";
import { createFileAt, lookAt, type Place, unlinkAt } from "./jail.ts";

/** By name, as path text, values in base64. */
export type Xattrs = Readonly<Record<string, string>>;

/** Which of them: of the class `user`, or those of `security` and `trusted` too. */
export type XattrScope = "user" | "privileged";

export interface XattrDeps {
  readonly runProgram: RunProgram;
  /** Of this process: what it holds open has a name below `/proc`, which is that file wherever its own name leads by now. */
  readonly pid: number;
}

const PATTERNS = { user: "^user\\.", privileged: "^(user|security|trusted)\\." } as const;
/** At a time: with the largest values they stay below what is read of a program. */
const BATCH = 64;
const MAX_DUMP_BYTES = 16 * 1024 * 1024;
const LIMIT_MS = 60_000;

/** Pure. `undefined`: nobody asks for them. */
export function xattrScope(preserve: readonly Preserved[]): XattrScope | undefined {
  if (preserve.includes("privileged-xattrs")) return "privileged";
  return preserve.includes("xattrs") ? "user" : undefined;
}

/** Of each of what is held open, in that order. Rejects with `unsupported` where there is no `getfattr`, and with `io`. */
export async function readXattrs(fds: readonly number[], scope: XattrScope, deps: XattrDeps): Promise<Xattrs[]> {
  const all: Xattrs[] = [];
  for (let at = 0; at < fds.length; at += BATCH) {
    const paths = fds.slice(at, at + BATCH).map((fd) => heldPath(fd, deps));
    const options = ["--dump", `--match=${PATTERNS[scope]}`, "--encoding=base64", "--absolute-names", "--"];
    const { stdout } = await run("getfattr", [...options, ...paths], deps);
    if (stdout.length >= MAX_DUMP_BYTES) throw fault("io", "the extended attributes of some files have no end");
    const found = parseDump(stdout);
    all.push(...paths.map((path) => found.get(path) ?? {}));
  }
  return all;
}

/**
 * What is held open gets exactly these: others of it go, except those of `security`, which the system itself may have set. `scratch` is a
 * name in a directory of one's own that is free for the moment.
 */
export async function writeXattrs(
  files: readonly { readonly fd: number; readonly xattrs: Xattrs }[],
  { scope, scratch }: { readonly scope: XattrScope; readonly scratch: Place },
  deps: XattrDeps,
): Promise<void> {
  const fds = files.map(({ fd }) => fd);
  const present = await readXattrs(fds, scope, deps);
  let dump = "";
  for (const [index, { fd, xattrs }] of files.entries()) {
    const held = present[index] ?? {};
    for (const name of Object.keys(held)) {
      if (name in xattrs || name.startsWith("security.")) continue;
      await run("setfattr", ["--remove", nameArgument(name), "--", heldPath(fd, deps)], deps);
    }
    const changed = Object.entries(xattrs).filter(([name, value]) => held[name] !== value);
    if (changed.length === 0) continue;
    dump += `# file: ${heldPath(fd, deps)}\n`;
    for (const [name, value] of changed) dump += `${quoted(requireInScope(name, scope))}=0s${value}\n`;
    dump += "\n";
  }
  if (dump === "") return;
  // Values are no arguments: they are larger, and others would see them.
  if (lookAt(scratch) !== undefined) unlinkAt(scratch);
  const fd = createFileAt(scratch);
  try {
    const bytes = Buffer.from(dump, "latin1");
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    await run("setfattr", [`--restore=${heldPath(fd, deps)}`], deps);
  } finally {
    closeSync(fd);
    unlinkAt(scratch);
  }
}

/** Whether both programs are there. */
export async function hasXattrTools(deps: XattrDeps): Promise<boolean> {
  try {
    for (const program of ["getfattr", "setfattr"]) await run(program, ["--version"], deps);
    return true;
  } catch {
    return false;
  }
}

async function run(program: string, args: readonly string[], { runProgram }: XattrDeps): Promise<ProgramResult> {
  const limits = { timeoutMs: LIMIT_MS, maxOutputBytes: MAX_DUMP_BYTES, encoding: "latin1" } as const;
  const result = await runProgram(program, args, limits).catch((thrown: unknown) => {
    if (!(thrown instanceof AppError) || thrown.code !== "not-found") throw thrown;
    throw fault(
      "unsupported",
      `preserve: extended attributes need ${program} (package attr), which is not there`,
      thrown,
    );
  });
  if (result.code === 0) return result;
  const why = result.stderr.replaceAll(/\/proc\/\d+\/fd\/\d+:? ?/g, "").trim();
  if (/not supported/.test(why)) {
    throw fault(
      "unsupported",
      "preserve: the file system here has no extended attributes: leave them out, or give the storage one that has",
    );
  }
  const code = /No space left|Disk quota/.test(why) ? "no-space" : /not permitted|denied/.test(why) ? "denied" : "io";
  throw fault(code, `${program}: ${why.slice(0, 300)}`);
}

function heldPath(fd: number, { pid }: Pick<XattrDeps, "pid">): string {
  return `/proc/${pid}/fd/${fd}`;
}

/** Of `getfattr --dump`, each byte a character. */
function parseDump(dump: string): ReadonlyMap<string, Xattrs> {
  const found = new Map<string, Record<string, string>>();
  let held: Record<string, string> | undefined;
  for (const line of dump.split("\n")) {
    if (line.startsWith("# file: ")) {
      held = Object.create(null) as Record<string, string>;
      found.set(line.slice("# file: ".length), held);
      continue;
    }
    const [, name, value] = /^([^=]+)=0s([A-Za-z0-9+/=]*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined && held !== undefined) held[pathText(unquoted(name))] = value;
    else if (line !== "") throw fault("io", "getfattr: a line of its answer cannot be read");
  }
  return found;
}

function unquoted(name: string): Buffer {
  return Buffer.from(
    name.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))),
    "latin1",
  );
}

/** What could mean something in a dump is written `\\NNN`. */
function quoted(name: string): string {
  let text = "";
  for (const byte of pathBytes(name)) {
    const isPlain = byte > 0x20 && byte !== 0x3d && byte !== 0x5c && byte !== 0x23 && byte < 0x7f;
    text += isPlain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`;
  }
  return text;
}

/** A hub may not have what was not asked for be written. */
function requireInScope(name: string, scope: XattrScope): string {
  const bytes = pathBytes(name);
  if (new RegExp(PATTERNS[scope]).test(name) && !bytes.includes(0)) return name;
  throw fault("denied", `xattrs: given ${JSON.stringify(name.slice(0, 100))}; allowed: those of ${scope}`);
}

function nameArgument(name: string): string {
  const bytes = pathBytes(name);
  const text = bytes.toString("utf8");
  if (Buffer.from(text, "utf8").equals(bytes)) return text;
  throw fault("io", `an extended attribute whose name is no text cannot be removed: ${name.slice(0, 100)}`);
}
