import type { Command } from "commander";
import { AppError } from "../../base/errors.ts";
import { parseDurationSeconds } from "../parse-values.ts";

export interface PersistFlags {
  readonly persist?: string;
}

const DEFAULT_SECONDS = 600;
const MAX_SECONDS = 24 * 3600;

export function addPersistFlag(command: Command): Command {
  return command.option(
    "--persist <duration>",
    "keep the link to hub and router so long after its last use, for the next command; no: neither keep nor use one (SLUICE_PERSIST; 10m)",
  );
}

/** Seconds; 0: none is kept or used. Throws `invalid`. Pure. */
export function parsePersist({ persist }: PersistFlags, env: Readonly<Record<string, string | undefined>>): number {
  const fromEnvironment = env["SLUICE_PERSIST"] ?? "";
  const [text, field] = persist !== undefined ? [persist, "--persist"] : [fromEnvironment, "SLUICE_PERSIST"];
  if (text === "") return DEFAULT_SECONDS;
  if (text === "no" || text === "0") return 0;
  const seconds = text === "yes" ? DEFAULT_SECONDS : parseDurationSeconds(text, field);
  if (seconds <= MAX_SECONDS) return seconds;
  throw new AppError("invalid", `${field}: given ${JSON.stringify(text)}; allowed: no, or up to 24h`, { field });
}
