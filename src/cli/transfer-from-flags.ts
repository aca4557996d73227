import { AppError } from "../base/errors.ts";
import {
  PRESERVED,
  type PRIORITIES,
  type Preserved,
  type SyncRequestInput,
  type VERIFY_LEVELS,
} from "../contract/transfer/sync-request.ts";
import { parseDurationSeconds, parseWhole } from "./parse-values.ts";

export interface TransferFlags {
  readonly id?: string;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly verify?: (typeof VERIFY_LEVELS)[number];
  readonly priority?: (typeof PRIORITIES)[number];
  readonly chunkSize?: string;
  readonly bandwidth?: string;
  readonly deadline?: string;
  readonly delete?: boolean;
  readonly preserve?: string;
}

/** Where something lies: on a box, or on whichever box has that path. */
export interface TransferPlace {
  /** As a person wrote it. */
  readonly box: string | undefined;
  readonly path: string;
}

/** `BOX:/PATH` or `/PATH`. Throws `invalid`. */
export function parseTransferPlace(text: string, field: string): TransferPlace {
  const [, box, path] = /^(?:([^:/]+):)?(\/.*)$/s.exec(text) ?? [];
  if (path === undefined) {
    throw new AppError("invalid", `${field}: given ${JSON.stringify(text)}; allowed: BOX:/PATH, or /PATH alone`, {
      field,
    });
  }
  return { box, path };
}

/** Boxes as ids. Throws `invalid`. */
export function transferFromFlags(
  flags: TransferFlags,
  { source, destination }: { readonly source: TransferPlace; readonly destination: TransferPlace },
  nowMs: number,
): SyncRequestInput {
  const { id, include, exclude, verify, priority, chunkSize, bandwidth, deadline, preserve } = flags;
  return {
    source_path: source.path,
    destination_path: destination.path,
    ...(source.box === undefined ? {} : { source_box: source.box }),
    ...(destination.box === undefined ? {} : { destination_box: destination.box }),
    ...(id === undefined ? {} : { request_id: id }),
    ...(include === undefined ? {} : { include: [...include] }),
    ...(exclude === undefined ? {} : { exclude: [...exclude] }),
    ...(verify === undefined ? {} : { verify }),
    ...(priority === undefined ? {} : { priority }),
    ...(chunkSize === undefined
      ? {}
      : { chunk_size_mb: parseWhole(chunkSize, { field: "--chunk-size", min: 1, max: 1024 }) }),
    ...(bandwidth === undefined ? {} : { bandwidth_mbps: parseMbit(bandwidth) }),
    ...(deadline === undefined ? {} : { deadline: parseDeadline(deadline, nowMs) }),
    ...(flags.delete === true ? { delete_extraneous: true } : {}),
    ...(preserve === undefined ? {} : { preserve: parsePreserved(preserve, "--preserve", PRESERVED) }),
  };
}

/** What a person wrote, by the field of the request that it became. */
const WRITTEN: Readonly<Record<string, string>> = {
  source_path: "SOURCE",
  destination_path: "DESTINATION",
  request_id: "--id",
  include: "--include",
  exclude: "--exclude",
  verify: "--verify",
  priority: "--priority",
  chunk_size_mb: "--chunk-size",
  bandwidth_mbps: "--bandwidth",
  deadline: "--deadline",
  delete_extraneous: "--delete",
  preserve: "--preserve",
};
/** In messages fields are also named on their own. */
const NAMED = [
  ["neither is source_path nor", "neither is SOURCE nor"],
  ["file_list, include and exclude", "--include and --exclude"],
  ["mode verify", "sluice sync verify"],
  ["mode copy", "sluice sync start"],
] as const;

/** Throws a refusal of the hub in the words of who wrote the command, and anything else as it is. */
export function refuseByFlag(error: unknown): never {
  throw inWordsOfFlags(error);
}

/** What is in the way of a field, and stays there, is wrong with the command: whoever gives it again is refused again. */
function inWordsOfFlags(thrown: unknown): unknown {
  if (!(thrown instanceof AppError) || thrown.field === undefined) return thrown;
  const isLasting = thrown.code === "conflict" && thrown.retryAfterMs === undefined;
  const error = isLasting ? new AppError("invalid", thrown.message, { field: thrown.field, cause: thrown }) : thrown;
  const field = WRITTEN[thrown.field.replace(/\[\d+\]$/, "")];
  const prefix = `${thrown.field}: `;
  if (field === undefined || !error.message.startsWith(prefix)) return error;
  const { code, retryAfterMs } = error;
  let said = error.message.slice(prefix.length);
  for (const [hubs, ours] of NAMED) said = said.replace(hubs, ours);
  return new AppError(code, `${field}: ${said}`, { field, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
}

function parseMbit(text: string): number {
  const value = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : 0;
  if (value > 0 && value <= 1_000_000) return value;
  throw new AppError(
    "invalid",
    `--bandwidth: given ${JSON.stringify(text)}; allowed: Mbit/s, more than 0 and at most 1000000`,
    { field: "--bandwidth" },
  );
}

/** A moment, or how long from now. */
function parseDeadline(text: string, nowMs: number): string {
  const atMs = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(atMs)) return new Date(atMs).toISOString();
  try {
    return new Date(nowMs + parseDurationSeconds(text, "--deadline") * 1000).toISOString();
  } catch (cause) {
    throw new AppError(
      "invalid",
      `--deadline: given ${JSON.stringify(text)}; allowed: a time such as 2026-01-15T10:00:00Z, or how long from now: 15m, 24h`,
      { field: "--deadline", cause },
    );
  }
}

/** Throws `invalid` with the flag's name. */
export function parsePreserved(text: string, field: string, allowed: readonly Preserved[]): Preserved[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => {
      const known = allowed.find((each) => each === part);
      if (known !== undefined) return known;
      throw new AppError("invalid", `${field}: given ${JSON.stringify(part)}; allowed: ${allowed.join(", ")}`, {
        field,
      });
    });
}
