import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { AppError, messageOf } from "./errors.ts";

export interface ApartLaunch {
  readonly file: string;
  readonly args: readonly string[];
  /** All of it: nothing of this process's own is added. */
  readonly env: Readonly<Record<string, string>>;
  /** On its standard input: neither other users nor a list of processes see it. */
  readonly input: string;
  /** A name in a directory that nobody but this user can enter: there the input lies for a moment. */
  readonly inputPath: string;
}

/** `O_CLOEXEC`, as `/proc` writes it. */
const CLOSES_ON_EXEC = 0o2000000;

/**
 * Starts a program that goes on without this one: in a session of its own, in `/`, and with nothing open that is ours. A pipeline that
 * waits for our end, or a terminal, would else wait for its. Returns before it has begun. Throws `exhausted` or `storage`.
 */
export function startApart({ file, args, env, input, inputPath }: ApartLaunch): void {
  let inputFd: number | undefined;
  let nothingFd: number | undefined;
  try {
    writeFileSync(inputPath, input, { mode: 0o600, flag: "wx" });
    inputFd = openSync(inputPath, "r");
    unlinkSync(inputPath);
    nothingFd = openSync("/dev/null", "r+");
    const stdio: (number | "ignore")[] = [inputFd, nothingFd, nothingFd];
    // What this process was given beyond the three would go on to the other: Node opens all else so that it does not.
    for (const fd of inheritable()) stdio[fd] = nothingFd;
    const child = spawn(file, [...args], {
      cwd: "/",
      env: { ...env },
      detached: true,
      stdio: Array.from(stdio, (given) => given ?? "ignore"),
    });
    // It could not be started: then it is not there, and whoever looks for it finds that out.
    child.on("error", () => undefined);
    child.unref();
  } catch (thrown) {
    throw new AppError("storage", `cannot start ${file}: ${messageOf(thrown)}`, { cause: thrown });
  } finally {
    for (const fd of [inputFd, nothingFd]) if (fd !== undefined) closeSync(fd);
  }
}

/** Descriptors above standard error that a program started by this one would get. */
function inheritable(): readonly number[] {
  return readdirSync("/proc/self/fdinfo")
    .map(Number)
    .filter((fd) => fd > 2 && closesNot(fd));
}

function closesNot(fd: number): boolean {
  try {
    const [, flags = ""] = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")) ?? [];
    return (Number.parseInt(flags, 8) & CLOSES_ON_EXEC) === 0;
  } catch {
    // It was that of the list itself.
    return false;
  }
}
