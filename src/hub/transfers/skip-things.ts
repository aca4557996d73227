import type { PlanPage } from "../../contract/transfer/plan-page.ts";
import { MAX_RELISTED } from "./decide-transfer.ts";
import type { Skipped, Transfer } from "./transfer-record.ts";

const NONE: Skipped = { total: 0, first: [] };

/**
 * Pure. What a walk skipped, with what this page tells. Pipes and the like are left out for good; all else should have been there. A later
 * walk looks for what has changed: what has gone meanwhile is no loss.
 */
export function skipThings(
  { round, unread = NONE, leftOut = NONE }: Pick<Transfer["list"], "round" | "unread" | "leftOut">,
  skipped: PlanPage["skipped"],
): Pick<Transfer["list"], "unread" | "leftOut"> {
  const isGone = ({ code }: PlanPage["skipped"][number]) => round > 0 && code === "not-found";
  const told = skipped.filter((one) => !isGone(one));
  return {
    ...kept(
      "unread",
      add(
        unread,
        told.filter(({ code }) => code !== "unsupported"),
      ),
    ),
    ...kept(
      "leftOut",
      add(
        leftOut,
        told.filter(({ code }) => code === "unsupported"),
      ),
    ),
  };
}

/** Pure. What is listed again by a retry, and what remains untold because there was too much of it. */
export function relistUnread(unread: Skipped): { readonly paths: string[]; readonly rest: Skipped | undefined } {
  const paths = unread.first.map(({ path }) => path);
  const total = unread.total - paths.length;
  return { paths, rest: total > 0 ? { total, first: [] } : undefined };
}

function kept<Name extends "unread" | "leftOut">(name: Name, skipped: Skipped): { [Key in Name]?: Skipped } {
  return (skipped.total === 0 ? {} : { [name]: skipped }) as { [Key in Name]?: Skipped };
}

/** A walk that is taken up again may tell the same thing twice. */
function add({ total, first }: Skipped, more: PlanPage["skipped"]): Skipped {
  const known = new Set(first.map(({ path }) => path));
  const fresh = more.filter(({ path }) => !known.has(path));
  const told = fresh.map(({ path, code, message }) => ({ path, code, message: message.slice(0, 300) }));
  return { total: total + fresh.length, first: [...first, ...told].slice(0, MAX_RELISTED) };
}
