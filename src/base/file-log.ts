import type { Clock } from "./clock.ts";
import { formatLogLine, type Log, type LogComponent, type LogLevel } from "./log.ts";
import { createRotatingFile } from "./rotating-file.ts";

const LOG_FILE_BYTES = 5 * 1024 * 1024;

/** For a process beside the agent, with a log of its own: three files of 5 MiB at the most. */
export function createFileLog(
  path: string,
  component: LogComponent,
  clock: Clock,
): { readonly log: Log; readonly idle: () => Promise<void> } {
  const file = createRotatingFile({
    path,
    maxFileBytes: LOG_FILE_BYTES,
    keepFiles: 3,
    maxQueuedBytes: 256 * 1024,
    lostLine: (lines) => `${formatLogLine(clock, "warn", component, `${lines} lines were lost`)}\n`,
  });
  const say = (level: LogLevel) => (message: string) =>
    file.append(`${formatLogLine(clock, level, component, message)}\n`);
  return {
    log: { error: say("error"), warn: say("warn"), info: say("info"), debug: () => undefined },
    idle: () => file.idle(),
  };
}
