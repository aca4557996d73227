import { readProcText } from "./proc-text.ts";

/** The kernel function that a process sleeps in (`/proc/PID/wchan`); undefined where the kernel does not tell. */
export function readWaitChannel(pid: number): string | undefined {
  const text = readProcText(`/proc/${pid}/wchan`)?.trim() ?? "";
  return text === "" || text === "0" ? undefined : text;
}
