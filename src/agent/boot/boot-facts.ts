import { join } from "node:path";
import { loadDocument, replaceFile } from "../../base/atomic-file.ts";
import type { Clock } from "../../base/clock.ts";
import { type DocumentFormat, formatDocument } from "../../base/document.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { ProcessTable } from "../../base/process-table.ts";
import { type BootFacts, type BootVerdict, decideVerdict } from "./verdict.ts";

export interface BootOptions {
  readonly stateDir: string;
  /** `BOOT_DETECTION_THRESHOLD`. */
  readonly thresholdMs: number;
}

export interface BootDeps {
  readonly table: ProcessTable;
  readonly clock: Clock;
  readonly log: Log;
}

export interface BootJudgement extends BootVerdict {
  readonly today: BootFacts;
  /**
   * Puts today's facts on record. To be called when the verdict has been carried out: a start that is cut off before then
   * is judged again. Never rejects.
   */
  save(): Promise<void>;
}

const MARKER_NAME = ".boot_marker";
const MARKER_FORMAT: DocumentFormat = { format: "sluice.boot-marker", version: 1, minReader: 1 };

/** Compares this start with the last one on record, and says in the log what it is. */
export function judgeBoot(options: BootOptions, deps: BootDeps): BootJudgement {
  const markerPath = join(options.stateDir, MARKER_NAME);
  const loaded = loadDocument(markerPath, MARKER_FORMAT, deps);
  const today = readBootFacts(deps.table);
  const verdict = decideVerdict(toBootFacts(loaded.data), today, options.thresholdMs);
  deps.log.info(describeVerdict(verdict, today.uptimeSeconds));
  if (verdict.verdict === "reboot") deps.log.debug(`Taken for a reboot because ${verdict.because}`);

  return {
    ...verdict,
    today,
    save: async () => {
      const savedAt = new Date(deps.clock.wallMs()).toISOString();
      const text = formatDocument(MARKER_FORMAT, JSON.stringify(today), savedAt);
      await replaceFile(markerPath, text, false).catch((thrown: unknown) => {
        deps.log.warn(`${MARKER_NAME} cannot be written (${messageOf(thrown)}): a restart may be taken for a reboot`);
      });
    },
  };
}

export function readBootFacts(table: ProcessTable): BootFacts {
  return {
    bootId: table.bootId(),
    bootTimeMs: table.bootTimeMs(),
    uptimeSeconds: table.uptimeSeconds(),
    pidNamespace: table.pidNamespace(),
  };
}

/** The line of the log that tells it. */
export function describeVerdict({ verdict, because }: BootVerdict, uptimeSeconds: number | undefined): string {
  const uptime = uptimeSeconds === undefined ? "uptime unknown" : `uptime: ${Math.floor(uptimeSeconds)} seconds`;
  switch (verdict) {
    case "reboot":
      return `Fresh boot detected (${uptime})`;
    case "restart":
      return `Restart on the same boot (${uptime}): ${because}`;
    case "first":
      return `First start in this state directory (${uptime}): ${because}`;
  }
}

function toBootFacts(data: unknown): BootFacts | undefined {
  if (typeof data !== "object" || data === null || Array.isArray(data)) return undefined;
  const fields: Readonly<Record<string, unknown>> = { ...data };
  const text = (name: string) => (typeof fields[name] === "string" ? fields[name] : undefined);
  const number = (name: string) => (typeof fields[name] === "number" ? fields[name] : undefined);
  return {
    bootId: text("bootId"),
    bootTimeMs: number("bootTimeMs"),
    uptimeSeconds: number("uptimeSeconds"),
    pidNamespace: text("pidNamespace"),
  };
}
