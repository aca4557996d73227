import { join, resolve } from "node:path/posix";
import { AppError } from "../../base/errors.ts";
import type { RemoteOperation } from "../../contract/remote/operation.ts";
import type { BoxUser, CommandGrant } from "../../contract/remote/remote-grant.ts";
import { parseRsyncRoot, type RsyncRoot } from "../../contract/remote/remote-policy.ts";
import { isInsideRoots } from "../workload/stream/file-root.ts";
import type { BoxFacts } from "./box-facts.ts";
import { lookUpProgram } from "./judge-program.ts";

/**
 * What the server side of rsync is told by its client, as rsync's own `rrsync` knows it. `none`: no value. `value`: some text.
 * `file`: a path that is read or written, in the same roots. What is not here is refused: `--daemon`, `--rsh`, `--rsync-path`,
 * `--log-file`, `--copy-devices`, `--files-from` (whose names nobody has judged), `--write-devices`, and whatever a later rsync brings.
 */
const LONG: Readonly<Record<string, "none" | "value" | "file">> = Object.fromEntries([
  ...(
    "append delay-updates delete delete-after delete-before delete-delay delete-during delete-excluded delete-missing-args existing " +
    "fake-super force from0 fsync fuzzy group hard-links ignore-errors ignore-existing ignore-missing-args ignore-times inplace links " +
    "list-only mkpath msgs2stderr munge-links new-compress no-W no-implied-dirs no-msgs2stderr no-r no-relative no-specials numeric-ids " +
    "old-compress one-file-system open-noatime owner partial perms preallocate recursive remove-sent-files remove-source-files safe-links " +
    "size-only specials stats super times use-qsort"
  )
    .split(" ")
    .map((name) => [name, "none"] as const),
  ...(
    "block-size bwlimit checksum-choice checksum-seed compress-choice compress-level debug groupmap iconv info log-format max-alloc max-delete " +
    "max-size min-size modify-window skip-compress stderr suffix timeout usermap"
  )
    .split(" ")
    .map((name) => [name, "value"] as const),
  ...["backup-dir", "compare-dest", "copy-dest", "link-dest", "partial-dir", "temp-dir"].map(
    (name) => [name, "file"] as const,
  ),
]);
/** Without `s`, which hides the arguments from whoever judges them, and `K`, `L`, `k`, which follow links out of the roots. */
const SHORT = /^-[ACDEHIJNORSUWXbcdglmnopqrtuvxyz]*(?:e\d*\.\w*)?$/;
const SHORT_WITH_NUMBER = /^-[@B]-?\d+$/;

/** Throws `refused` with the argument that is not allowed. `user`: who is to run it, and was judged. */
export function judgeRsync(
  { argv, user: name }: Pick<Extract<RemoteOperation, { kind: "rsync" }>, "argv" | "user">,
  { rules, user }: { readonly rules: readonly string[]; readonly user: BoxUser },
  { disk }: Pick<BoxFacts, "disk">,
): CommandGrant {
  const roots = rules.flatMap((rule) => parseRsyncRoot(rule) ?? []);
  if (roots.length === 0) throw new AppError("refused", "policy.remote.rsync: given rsync; allowed: none");
  const [program, server, ...rest] = argv;
  if (program !== "rsync") throw notAllowed(program ?? "", "rsync itself, without a path");
  if (server !== "--server")
    throw notAllowed(server ?? "", "--server first: an operator's rsync asks for nothing else");
  const dot = rest.indexOf(".");
  if (dot < 0) throw notAllowed(rest.join(" "), "options, then a dot, then paths");
  const options = rest.slice(0, dot);
  const paths = rest.slice(dot + 1);
  const isSender = options[0] === "--sender";
  const removes = options.some((option) => /^--remove-(?:source|sent)-files$/.test(option));
  const judge = createPathJudge(roots, { disk, home: user.home });
  const judged = options.slice(isSender ? 1 : 0).map((option) => judgeOption(option, judge, !isSender));
  if (paths.length === 0) throw notAllowed("no path", "at least one");
  const args = ["--server", ...(isSender ? ["--sender"] : []), ...judged, "."];
  args.push(...paths.map((path) => judge(path, !isSender || removes)));

  const file = lookUpProgram("rsync", "/", disk);
  if (file === undefined) throw new AppError("unsupported", "rsync is not installed on this box");
  return {
    kind: "command",
    asked: { argv: [...argv], ...(name === undefined ? {} : { user: name }), pty: false },
    launch: { file, argv0: "rsync", args },
    user,
    cwd: "/",
    environment: [],
    detach: false,
  };
}

type JudgePath = (path: string, isWritten: boolean) => string;

function judgeOption(option: string, judge: JudgePath, isReceiver: boolean): string {
  if (!option.startsWith("--")) {
    if (SHORT.test(option) || SHORT_WITH_NUMBER.test(option)) return option;
    const hint = /^-[A-Za-z]*s/.test(option) ? "; -s (--secluded-args) hides its arguments: use --no-s" : "";
    throw notAllowed(option, `the short options that rsync itself sends, without K, L, k and s${hint}`);
  }
  const equals = option.indexOf("=");
  const name = option.slice(2, equals < 0 ? undefined : equals);
  const kind = Object.hasOwn(LONG, name) ? LONG[name] : undefined;
  if (kind === "none" && equals < 0) return option;
  const value = option.slice(equals + 1);
  if (kind === "value" && equals >= 0) return option;
  if (kind !== "file" || equals < 0)
    throw notAllowed(option, "the options that rsync's own rrsync knows, each as one argument");
  // A directory beside each file: it moves with the paths, which are judged.
  if (!value.includes("/") && value !== ".." && value !== "") return option;
  return `--${name}=${judge(value, isReceiver)}`;
}

/** Absolute paths whose place, after all links, lies in a root: for writing in one that may be written. */
function createPathJudge(
  roots: readonly RsyncRoot[],
  { disk, home }: Pick<BoxFacts, "disk"> & { readonly home: string },
): JudgePath {
  return (path, isWritten) => {
    const usable = roots.filter(({ mayWrite }) => mayWrite || !isWritten).map((root) => root.path);
    const whole = path.startsWith("/") ? path : join(home, path);
    const isPlain = path !== "" && !path.split("/").includes("..") && !path.includes("\0");
    if (isPlain && isInsideRoots(resolve("/", whole), usable, disk)) return whole;
    const allowed = usable.length === 0 ? "none" : `${usable.join(", ")} and what lies below, without ..`;
    throw new AppError(
      "refused",
      `policy.remote.rsync: given ${path === "" ? "an empty path" : path} for ${isWritten ? "writing" : "reading"}; allowed: ${allowed}`,
    );
  };
}

function notAllowed(given: string, allowed: string): AppError {
  return new AppError("refused", `argv: given ${given}; allowed: ${allowed}`);
}
