import { oneLine } from "../base/log.ts";
import type { SyncProgress } from "../contract/transfer/sync-progress.ts";
import { comparisonText, type TreeComparison } from "../contract/transfer/tree-comparison.ts";
import { formatAge, formatBytes, formatDuration } from "./duration.ts";
import { countOf, type View } from "./output.ts";
import type { Tone } from "./paint.ts";
import { renderTable } from "./render-table.ts";

const TONES: Readonly<Record<SyncProgress["state"], Tone>> = {
  QUEUED: "warn",
  PROGRESS: "good",
  COMPLETED: "good",
  FAILED: "bad",
  CANCELLED: "quiet",
};
const WAYS: Readonly<Record<SyncProgress["ways"][number], string>> = {
  local: "within one storage",
  destination: "direct, the destination dials",
  source: "direct, the source dials",
  router: "through a router",
};
const BAR_CHARACTERS = 24;
/** What is wrong with hundreds of files is mostly one thing, and is to be seen beside the rest. */
const SHOWN_FAILURES = 20;
const LEAST_BAR_CHARACTERS = "listing".length;

/** What goes on, what was begun last before the others; then what has ended, by when. */
export function inListOrder(transfers: readonly SyncProgress[]): readonly SyncProgress[] {
  const isOver = ({ state }: SyncProgress) => state === "COMPLETED" || state === "FAILED";
  const momentOf = (one: SyncProgress) => Date.parse(isOver(one) ? one.updated_at : (one.started_at ?? one.updated_at));
  return transfers.toSorted(
    (one, other) => Number(isOver(one)) - Number(isOver(other)) || momentOf(other) - momentOf(one),
  );
}

export function renderTransfers(transfers: readonly SyncProgress[], view: View): string {
  if (transfers.length === 0) return "no transfer\n";
  return renderTable(
    transfers,
    [
      { head: "ID", text: ({ request_id }) => request_id, rank: 9, least: 8 },
      { head: "STATE", text: ({ state }) => state.toLowerCase(), tone: ({ state }) => TONES[state], rank: 9 },
      { head: "DONE", text: percentOf, align: "right", rank: 8 },
      { head: "BYTES", text: amountOf, align: "right", rank: 6 },
      { head: "FILES", text: filesOf, align: "right", rank: 5 },
      { head: "RATE", text: rateOf, align: "right", rank: 6 },
      { head: "LEFT", text: leftOf, align: "right", rank: 4 },
      { head: "CHANGED", text: ({ updated_at }) => formatAge(updated_at, view.nowMs), align: "right", rank: 3 },
      { head: "DOES", text: ({ mode }) => mode, rank: 4 },
      { head: "FROM", text: sourceOf, rank: 7, least: 14 },
      { head: "TO", text: destinationOf, rank: 7, least: 14 },
      { head: "REASON", text: ({ reason }) => reason, rank: 2, least: 16 },
    ],
    view,
  );
}

/** Everything about one transfer. */
export function renderTransfer(transfer: SyncProgress, view: View): string {
  const { paint } = view;
  const { request_id: id, state, reason, failures, failures_total, workers, detail } = transfer;
  const shown = failures.slice(0, SHOWN_FAILURES);
  const more = `--json tells ${failures_total > failures.length ? `${failures.length} of them` : "all"}`;
  const facts: readonly (readonly [string, string | undefined])[] = [
    ["reason", reason === "" ? undefined : reason],
    ["from", sourceOf(transfer)],
    ["to", destinationOf(transfer)],
    ["bytes", amountOf(transfer)],
    ["files", filesOf(transfer)],
    ["rate", rateOf(transfer)],
    ["left", leftOf(transfer)],
    ["way", transfer.ways.length === 0 ? undefined : transfer.ways.map((way) => WAYS[way]).join("; ")],
    ["priority", transfer.priority],
    ["begun", transfer.started_at],
    ["changed", transfer.updated_at],
    ["root hash", transfer.root_hash],
    ["source", rootText(transfer.comparison?.source_root_hash)],
    ["target", rootText(transfer.comparison?.destination_root_hash)],
    ["receipt", transfer.receipt],
  ];
  const lines = [
    `${paint("strong", id)}  ${paint(TONES[state], state.toLowerCase())}  ${percentOf(transfer) ?? ""}`.trimEnd(),
    ...facts.flatMap(([name, value]) => (value === undefined ? [] : [`  ${name.padEnd(10)} ${oneLine(value)}`])),
    ...workers.map((worker) => `  ${"worker".padEnd(10)} ${workerLine(worker)}`),
    ...transfer.ways_given_up.map(
      ({ worker_id, way, reason: why }) =>
        `  ${"given up".padEnd(10)} ${oneLine(`${worker_id}: ${WAYS[way]}: ${why}`)}`,
    ),
    // What the hub says itself is the reason, or among the failures.
    ...Object.entries(detail)
      .filter(([who, text]) => who !== "master" && text !== "PROGRESS")
      .map(([who, text]) => `  ${"said".padEnd(10)} ${oneLine(`${who}: ${text}`)}`),
    // Of one that is whole all the same they are what is no file.
    ...shown.map(
      (failure) => `  ${(state === "COMPLETED" ? "left out" : "failure").padEnd(10)} ${failureText(failure)}`,
    ),
    ...(failures_total > shown.length ? [`  ${countOf(failures_total - shown.length, "more failure")}; ${more}`] : []),
  ];
  return `${lines.join("\n")}\n${transfer.comparison === undefined ? "" : renderComparison(transfer.comparison)}`;
}

/** The differences, and how many there are. */
export function renderComparison(comparison: TreeComparison): string {
  const { differences = [], differing, only_in_source, only_in_destination } = comparison;
  const lines = differences.map(({ path, differs, message }) => {
    const [first] = differs;
    const name = path === "" ? "." : path;
    if (first === "only-in-source") return `only in source: ${oneLine(name)}, ${message}`;
    if (first === "only-in-destination") return `only in destination: ${oneLine(name)}, ${message}`;
    return `differs: ${oneLine(name)}: ${differs.join(", ")}: ${oneLine(message)}`;
  });
  const all = differing + only_in_source + only_in_destination;
  // What is in a directory that one side alone has is counted, and not named.
  const rest = all > differences.length ? [`(${differences.length} told of ${all})`] : [];
  return [...lines, ...rest, comparisonText(comparison)].map((line) => `${line}\n`).join("");
}

/** Of the place itself the path is empty. */
export function failureText({ path, code, message }: SyncProgress["failures"][number]): string {
  return oneLine(`${path === "" ? "." : path}: ${code}: ${message}`);
}

function rootText(hash: string | undefined): string | undefined {
  return hash === undefined ? undefined : `root hash ${hash}`;
}

/** A bar with its figures, as long as `columns` leave it room, and a line for each worker: what a person watches. */
export function renderTransferProgress(transfer: SyncProgress, columns: number): readonly string[] {
  const left = leftOf(transfer);
  const figures = [percentOf(transfer), amountOf(transfer), `${filesOf(transfer)} files`, rateOf(transfer)];
  const text = [...figures, left === undefined ? undefined : `${left} left`]
    .filter((one) => one !== undefined)
    .join("  ");
  const characters = Math.max(LEAST_BAR_CHARACTERS, Math.min(BAR_CHARACTERS, columns - text.length - "[] ".length));
  const share = shareOf(transfer);
  const filled = "#".repeat(Math.round((share ?? 0) * characters));
  const bar = share === undefined ? "listing".padEnd(characters) : filled.padEnd(characters, "-");
  return [
    `[${bar}] ${text}`,
    // Who works says more, unless nobody does.
    ...(transfer.workers.length > 0 || transfer.reason === "" ? [] : [`  ${oneLine(transfer.reason)}`]),
    ...transfer.workers.map((worker) => `  ${workerLine(worker)}`),
  ];
}

function workerLine({ worker_id, work, bytes, rate_bytes_s, way }: SyncProgress["workers"][number]): string {
  const rate = rate_bytes_s > 0 ? `, ${formatBytes(Math.round(rate_bytes_s))}/s` : "";
  return oneLine(`${worker_id}: ${work}, ${formatBytes(bytes)}${rate}${way === undefined ? "" : `, ${WAYS[way]}`}`);
}

/** 0 to 1; `undefined` until the end of the listing. */
function shareOf({ state, is_listed, ...counts }: SyncProgress): number | undefined {
  if (state === "COMPLETED") return 1;
  if (!is_listed) return undefined;
  // A tree of empty files has no bytes to count.
  const [done, all] =
    counts.total_bytes > 0 ? [counts.transferred_bytes, counts.total_bytes] : [counts.files_done, counts.files_total];
  return all === 0 ? 0 : Math.min(1, done / all);
}

function percentOf(transfer: SyncProgress): string | undefined {
  const share = shareOf(transfer);
  return share === undefined ? undefined : `${Math.floor(share * 100)} %`;
}

/** A plus sign says that more may be found. */
function amountOf({ transferred_bytes, total_bytes, is_listed }: SyncProgress): string {
  return `${formatBytes(transferred_bytes)} of ${formatBytes(total_bytes)}${is_listed ? "" : "+"}`;
}

function filesOf({ files_done, files_total, is_listed }: SyncProgress): string {
  return `${files_done} of ${files_total}${is_listed ? "" : "+"}`;
}

function rateOf({ rate_bytes_s }: SyncProgress): string | undefined {
  return rate_bytes_s > 0 ? `${formatBytes(Math.round(rate_bytes_s))}/s` : undefined;
}

function leftOf({ seconds_left }: SyncProgress): string | undefined {
  return seconds_left === undefined ? undefined : formatDuration(seconds_left);
}

function sourceOf({ source_box, source_path }: SyncProgress): string {
  return source_box === undefined ? source_path : `${source_box}:${source_path}`;
}

function destinationOf({ destination_box, destination_path }: SyncProgress): string {
  return destination_box === undefined ? destination_path : `${destination_box}:${destination_path}`;
}
