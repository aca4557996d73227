import type { Clock } from "./clock.ts";

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The parts of the agent and of the hub that speak in their logs. */
export const LOG_COMPONENTS = [
  "INIT",
  "BOOT",
  "SSE",
  "RECONCILE",
  "STREAM",
  "TUNNEL",
  "SESSION",
  "PID",
  "HEALTH",
  "REGISTRY",
  "REPORT",
  "REMOTE",
  "TRANSFER",
  "HUB",
] as const;
export type LogComponent = (typeof LOG_COMPONENTS)[number];

/** One component's voice. Messages are whole sentences for the person who reads the journal; secrets are taken out below. */
export interface Log {
  error(message: string): void;
  warn(message: string): void;
  info(message: string): void;
  debug(message: string): void;
}

export interface LogSink {
  for(component: LogComponent): Log;
  /** Resolves when everything written so far has reached its destination. */
  close(): Promise<void>;
}

/** `2026-01-15 10:30:45`, local time. */
export function formatWallTime(wallMs: number): string {
  const date = new Date(wallMs);
  const pad = (value: number) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return `${day} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

/** `[2026-01-15 10:30:45] [INFO] [STREAM] message`, on one line whatever the message holds. */
export function formatLogLine(clock: Clock, level: LogLevel, component: LogComponent, message: string): string {
  return `[${formatWallTime(clock.wallMs())}] [${level.toUpperCase()}] [${component}] ${oneLine(message)}`;
}

/** Control characters in a message come from outside; written as they are they could forge lines or drive a terminal. */
export function oneLine(message: string): string {
  return message.replace(/[\t\n\r]/g, " ").replace(/[\p{Cc}\u2028\u2029]/gu, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** A log that keeps its lines, for tests. */
export interface MemoryLog extends Log {
  readonly lines: string[];
}

export function createMemoryLog(): MemoryLog {
  const lines: string[] = [];
  const write = (level: LogLevel) => (message: string) =>
    void lines.push(`[${level.toUpperCase()}] ${oneLine(message)}`);
  return { lines, error: write("error"), warn: write("warn"), info: write("info"), debug: write("debug") };
}
