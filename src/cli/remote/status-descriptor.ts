import { fstatSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { AppError } from "../../base/errors.ts";

const ACCESS_MODE = 0o3;
const O_RDONLY = 0;

/**
 * Writes into a descriptor that this process was started with.
 * Throws `invalid` when it is none: closed, for reading only, or one of the runtime's own, which a program finds under numbers that nobody gave it.
 */
export function openStatusDescriptor(fd: number): (text: string) => void {
  if (!isWritable(fd) || isOwn(fd)) {
    throw new AppError(
      "invalid",
      `--status-fd: given ${fd}, which is not open for writing; allowed: a descriptor that the caller has opened, as in ${fd}>FILE`,
    );
  }
  return (text) => void writeSync(fd, text);
}

function isWritable(fd: number): boolean {
  try {
    const kind = fstatSync(fd);
    const takesBytes = kind.isFile() || kind.isFIFO() || kind.isSocket() || kind.isCharacterDevice();
    return takesBytes && accessOf(fd) !== O_RDONLY;
  } catch {
    return false;
  }
}

/** A pipe that this very process also reads: those by which the runtime wakes itself. */
function isOwn(fd: number): boolean {
  const { ino, isPipe } = identify(fd);
  if (!isPipe) return false;
  return readdirSync("/proc/self/fd")
    .map(Number)
    .some((other) => {
      try {
        return other !== fd && identify(other).ino === ino && accessOf(other) === O_RDONLY;
      } catch {
        // The directory's own descriptor is closed by now.
        return false;
      }
    });
}

function identify(fd: number) {
  const kind = fstatSync(fd);
  return { ino: kind.ino, isPipe: kind.isFIFO() };
}

function accessOf(fd: number): number {
  const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "";
  return Number.parseInt(flags, 8) & ACCESS_MODE;
}
