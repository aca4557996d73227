import { bytesText, secondsText } from "../shared/quantity.js";

/** What a transfer reads like. All pure. */

const WORDS = {
  QUEUED: "queued",
  PROGRESS: "running",
  COMPLETED: "completed",
  FAILED: "failed",
  CANCELLED: "cancelled",
};

export function stateText({ state }) {
  return WORDS[state] ?? state.toLowerCase();
}

export function isOver({ state }) {
  return state === "COMPLETED" || state === "FAILED" || state === "CANCELLED";
}

/** Somebody works on it, or how far it is stands still and can be told: a bar that runs would say of one that waits that it does not. */
export function isMoving(transfer) {
  return transfer.state === "PROGRESS" && (transfer.workers.length > 0 || shareOf(transfer) !== undefined);
}

/** What it is, for labels and sentences. */
export function nounOf({ mode }) {
  return mode === "verify" ? "comparison" : "transfer";
}

/** `3 differ, 1 only in the source; 12 entries are equal`. */
export function comparisonText({ equal, differing, only_in_source, only_in_destination }) {
  const told = [
    [differing, "differ"],
    [only_in_source, "only in the source"],
    [only_in_destination, "only in the destination"],
  ].flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]));
  const same = `${equal} ${equal === 1 ? "entry is" : "entries are"} equal`;
  return told.length === 0 ? `no difference: ${same}` : `${told.join(", ")}; ${same}`;
}

/** `north-1:/srv/a`, or the path alone where the hub finds the box. */
export function placeText(box, path) {
  return box === undefined ? path : `${box}:${path}`;
}

/** Who said what last, in pairs. That somebody works, and what the hub itself says, stands elsewhere. */
export function saidBy({ detail }) {
  return Object.entries(detail).filter(([who, text]) => who !== "master" && text !== "PROGRESS");
}

/** Of those that are told by name, where there are more: `Failures, 100 of 1234`. */
export function countedTitle(title, told, all) {
  return all > told ? `${title}, ${told} of ${all}` : title;
}

/** 0 to 1; `undefined` while nobody can say. */
export function shareOf({ state, transferred_bytes, total_bytes, files_done, files_total, is_listed }) {
  if (state === "COMPLETED") return 1;
  if (!is_listed) return undefined;
  // A tree of empty files has no bytes to count.
  const [done, all] = total_bytes > 0 ? [transferred_bytes, total_bytes] : [files_done, files_total];
  return all === 0 ? 0 : Math.min(1, done / all);
}

/** `3.1 MiB of 20 MiB`; a plus sign says that more may be found. */
export function amountText({ transferred_bytes, total_bytes, is_listed }) {
  return `${bytesText(transferred_bytes)} of ${bytesText(total_bytes)}${is_listed ? "" : "+"}`;
}

export function filesText({ files_done, files_total, is_listed }) {
  return `${files_done} of ${files_total}${is_listed ? "" : "+"} ${files_total === 1 ? "file" : "files"}`;
}

export function rateText({ rate_bytes_s }) {
  return rate_bytes_s > 0 ? `${bytesText(Math.round(rate_bytes_s))}/s` : undefined;
}

export function leftText({ seconds_left }) {
  return seconds_left === undefined ? undefined : `${secondsText(seconds_left)} left`;
}

const WAYS = {
  local: "within one storage",
  destination: "direct, the destination dials",
  source: "direct, the source dials",
  router: "through a router",
};

/** By which bytes come: `through a router`. Empty while nobody knows. */
export function wayText(way) {
  return WAYS[way] ?? way ?? "";
}

/** All that were used so far; `undefined`: none yet. */
export function waysText({ ways = [] }) {
  return ways.length === 0 ? undefined : ways.map(wayText).join("; ");
}
