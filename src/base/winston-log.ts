import type { Writable } from "node:stream";
import winston from "winston";
import Transport from "winston-transport";
import type { Clock } from "./clock.ts";
import { formatLogLine, LOG_LEVELS, type Log, type LogComponent, type LogLevel, type LogSink, oneLine } from "./log.ts";
import { createRotatingFile, type RotatingFile } from "./rotating-file.ts";

export interface WinstonLogOptions {
  readonly level: LogLevel;
  /** Absent: no file. */
  readonly filePath?: string;
  readonly maxFileBytes: number;
  readonly keepFiles: number;
  /** `plain`: whole lines; `journal`: a priority and no time, which the journal adds; `off`: nothing. */
  readonly console: "plain" | "journal" | "off";
}

export interface WinstonLogDeps {
  readonly clock: Clock;
  /** Takes the secrets out of a finished line. */
  readonly redact: (text: string) => string;
  /** Where console lines go. */
  readonly stream: Writable;
}

/** Priorities of syslog, as `sd-daemon(3)` prefixes them. */
const PRIORITY: Readonly<Record<LogLevel, number>> = { error: 3, warn: 4, info: 6, debug: 7 };
const MAX_QUEUED_BYTES = 1024 * 1024;

interface Line {
  readonly level: LogLevel;
  readonly component: LogComponent;
  readonly message: string;
}

/**
 * The agent's log. A line is formatted and redacted once, before any destination sees it. No destination can stop the
 * agent: a full disk costs lines, which are counted, and a closed terminal costs nothing.
 */
export function createWinstonLog(options: WinstonLogOptions, deps: WinstonLogDeps): LogSink {
  const file = options.filePath === undefined ? undefined : openFile(options.filePath, options, deps.clock);
  const transports: Transport[] = [];
  if (file !== undefined) transports.push(lineTransport(({ text }) => file.append(`${text}\n`)));
  if (options.console !== "off") transports.push(lineTransport(consoleWriter(options.console, deps.stream)));

  const logger = winston.createLogger({
    levels: Object.fromEntries(LOG_LEVELS.map((level, index) => [level, index])),
    level: options.level,
    transports,
    silent: transports.length === 0,
    exitOnError: false,
  });

  const write = (line: Line) => {
    const text = deps.redact(formatLogLine(deps.clock, line.level, line.component, line.message));
    const journal = deps.redact(`<${PRIORITY[line.level]}>[${line.component}] ${oneLine(line.message)}`);
    logger.log(line.level, text, { text, journal });
  };

  const voiceOf = (component: LogComponent): Log => ({
    error: (message) => write({ level: "error", component, message }),
    warn: (message) => write({ level: "warn", component, message }),
    info: (message) => write({ level: "info", component, message }),
    debug: (message) => write({ level: "debug", component, message }),
  });
  const voices = new Map<LogComponent, Log>();

  return {
    for: (component) => {
      const voice = voices.get(component) ?? voiceOf(component);
      voices.set(component, voice);
      return voice;
    },
    close: async () => {
      // Winston hands lines on in its own stream; what was logged before is in the file's queue one turn later.
      await new Promise((resolve) => setImmediate(resolve));
      await file?.idle();
    },
  };
}

function openFile(path: string, options: WinstonLogOptions, clock: Clock): RotatingFile {
  return createRotatingFile({
    path,
    maxFileBytes: options.maxFileBytes,
    keepFiles: options.keepFiles,
    maxQueuedBytes: MAX_QUEUED_BYTES,
    lostLine: (lines) => `${formatLogLine(clock, "warn", "INIT", `${lines} lines could not be written here`)}\n`,
  });
}

interface Rendered {
  readonly text: string;
  readonly journal: string;
}

function lineTransport(write: (line: Rendered) => void): Transport {
  return new Transport({
    log: (info: Rendered, next: () => void) => {
      write(info);
      next();
    },
  });
}

function consoleWriter(form: "plain" | "journal", stream: Writable): (line: Rendered) => void {
  let isOpen = true;
  // A terminal that has gone away (EPIPE, EIO) must not end the agent.
  stream.on("error", () => {
    isOpen = false;
  });
  return (line) => {
    if (isOpen && stream.writable) stream.write(`${form === "journal" ? line.journal : line.text}\n`);
  };
}
