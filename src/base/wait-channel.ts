import { readFileSync } from "node:fs";

/** The kernel function that a process sleeps in (`/proc/PID/wchan`); undefined where the kernel does not tell. */
export function readWaitChannel(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/wchan`, "utf8").trim();
    return text === "" || text === "0" ? undefined : text;
  } catch {
    return undefined;
  }
}
