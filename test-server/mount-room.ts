import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "../src/base/errors.ts";

/**
 * In a chroot `/` is no mount, and engines cannot unpack images there: they make it private first, which only a mount can be.
 * A room is a mount namespace in which the same files are below a `/` that is one. What is mounted in it ends with it.
 */
export interface MountRoom extends Disposable {
  /** Arguments that run this inside. It becomes the process that is spawned. */
  inside(program: string, args: readonly string[], directory: string): readonly [string, readonly string[]];
}

/**
 * `$1` is an empty directory. A namespace's own root counts, not that of a process in it: engines enter the namespaces of
 * containers and would come out beside the chroot. So the namespace is entered once more, which leads to its root, and that
 * root is exchanged. It ends with its standard input, so at the latest with the process that began it.
 */
const SCRIPT = `set -e
mount --make-rprivate /
chroot=$(pwd -P)
mount --rbind "$chroot" "$chroot$1"
cd "$chroot$1"
pivot_root . .
umount -l .
cd /
echo ready
exec cat`;

const OPEN = ["--mount", "--propagation", "unchanged", "nsenter", "--mount=/proc/self/ns/mnt", "--wd=/"].concat([
  "sh",
  "-c",
  SCRIPT,
  "sh",
]);

export function needsMountRoom(): boolean {
  return !/^\S+ \S+ \S+ \S+ \/ /m.test(readFileSync("/proc/self/mountinfo", "utf8"));
}

/** Why no room can be had although one is needed; undefined where it can. Found out by opening one. */
export function mountRoomProblem(): string | undefined {
  const root = mkdtempSync(join(tmpdir(), "sluice-room-"));
  try {
    const { stdout, stderr, error } = spawnSync("unshare", [...OPEN, root], { encoding: "utf8", input: "" });
    if (stdout === "ready\n") return undefined;
    return `\`/\` is no mount of its own here, as in a chroot, and cannot be made one: ${error?.message ?? stderr.trim()}`;
  } finally {
    rmSync(root, { recursive: true });
  }
}

export async function openMountRoom(directory: string): Promise<MountRoom> {
  const root = join(directory, "root");
  mkdirSync(root);
  const keeper = spawn("unshare", [...OPEN, root], { stdio: ["pipe", "pipe", "inherit"] });
  await Promise.race([once(keeper.stdout, "data"), once(keeper, "exit")]);
  const { pid, exitCode } = keeper;
  if (pid === undefined || exitCode !== null) throw new AppError("unavailable", "no room for mounts");
  return {
    inside: (program, args, workingDirectory) => [
      "nsenter",
      ["--target", String(pid), "--mount", "env", "-C", workingDirectory, program, ...args],
    ],
    [Symbol.dispose]: () => void keeper.stdin.end(),
  };
}
