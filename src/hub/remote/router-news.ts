import type { RouterChange, RouterFigure } from "../../contract/fleet/router.ts";
import type { HubContext } from "../hub-context.ts";
import { decideParted, type RemoteDecision } from "./decide-remote.ts";
import { type Changed, type Ending, isLeftAlone, type RemoteBook } from "./remote-book.ts";
import { type Remote, type RemoteRecord, recordOf } from "./remote-record.ts";

/** Writes down what routers tell of sessions: the hub's own, and those that register. */
export interface RouterNews {
  /** Rejects with the store's error; what was told is asked for again. */
  take(
    routerId: string,
    told: { readonly changes: readonly RouterChange[]; readonly sessions: readonly RouterFigure[] },
  ): Promise<void>;
}

/** Figures of a session that goes on are written no more often. */
const FIGURES_MS = 15_000;

export function createRouterNews(
  { clock }: Pick<HubContext, "clock">,
  { book }: { readonly book: RemoteBook },
): RouterNews {
  const writtenAtMs = new Map<string, number>();

  const opened = (routerId: string, change: RouterChange) =>
    book.change(change.id, (remote) => {
      if (remote.router !== routerId || remote.state === "open") return undefined;
      const record: RemoteRecord = {
        ...recordOf(remote),
        state: "open",
        reason: "both ends are there",
        sinceMs: clock.wallMs(),
        // Of a pair whose parting nobody has told.
        bytesToBox: remote.bytesToBox + remote.pairToBox,
        bytesFromBox: remote.bytesFromBox + remote.pairFromBox,
        pairToBox: 0,
        pairFromBox: 0,
      };
      return { record, context: openEvent(remote) };
    });

  /** Of a short session both is told at once, and is written once. False: it is no such one, and nothing was written. */
  const openedAndEnded = async (routerId: string, change: PartedChange): Promise<boolean> => {
    const ended = await book.end(change.id, (remote) => {
      // What earlier pairs have moved is counted where they are told one by one.
      const isNew = remote.router === routerId && remote.state === "waiting" && remote.attempt === 1;
      const decision = isNew ? decideParted(remote, change) : undefined;
      if (decision?.kind !== "end") return undefined;
      return { ...endingOf(routerId, change, decision), ...openEvent(remote) };
    });
    return ended !== undefined;
  };

  const parted = async (routerId: string, change: PartedChange) => {
    const { id, bytesToBox, bytesFromBox } = change;
    writtenAtMs.delete(id);
    const decisionFor = (remote: Remote) => (remote.router === routerId ? decideParted(remote, change) : undefined);
    const bytes = { toBox: bytesToBox, fromBox: bytesFromBox };
    let mustEnd = false;
    await book.change(id, (remote) => {
      const decision = decisionFor(remote);
      mustEnd = decision?.kind === "end";
      return decision?.kind === "break" ? broken(remote, { decision, bytes, nowMs: clock.wallMs() }) : undefined;
    });
    if (!mustEnd) return;
    await book.end(id, (remote) => {
      const decision = decisionFor(remote);
      return decision?.kind === "end" ? endingOf(routerId, change, decision) : undefined;
    });
  };

  const noteFigures = async (routerId: string, sessions: readonly RouterFigure[]) => {
    const nowMs = clock.monotonicMs();
    const known = new Map(book.open().map((remote) => [remote.id, remote]));
    for (const { id, bytesToBox, bytesFromBox } of sessions) {
      const held = known.get(id);
      if (held === undefined || held.router !== routerId || held.state !== "open") continue;
      if (held.pairToBox === bytesToBox && held.pairFromBox === bytesFromBox) continue;
      if (nowMs - (writtenAtMs.get(id) ?? Number.NEGATIVE_INFINITY) < FIGURES_MS) continue;
      writtenAtMs.set(id, nowMs);
      await book.change(id, (remote) =>
        remote.router === routerId && remote.state === "open"
          ? { record: { ...recordOf(remote), pairToBox: bytesToBox, pairFromBox: bytesFromBox } }
          : undefined,
      );
    }
    for (const id of writtenAtMs.keys()) if (!known.has(id)) writtenAtMs.delete(id);
  };

  return {
    take: async (routerId, { changes, sessions }) => {
      const done = new Set<RouterChange>();
      for (const [index, change] of changes.entries()) {
        if (done.has(change)) continue;
        if (change.what === "parted") {
          await parted(routerId, change);
          continue;
        }
        const next = changes.slice(index + 1).find(({ id }) => id === change.id);
        if (next?.what === "parted" && (await openedAndEnded(routerId, next))) done.add(next);
        else await opened(routerId, change);
      }
      await noteFigures(routerId, sessions);
    },
  };
}

type PartedChange = Extract<RouterChange, { readonly what: "parted" }>;

function endingOf(
  routerId: string,
  { bytesToBox, bytesFromBox }: PartedChange,
  { reason }: Extract<RemoteDecision, { readonly kind: "end" }>,
): Ending {
  const bytes = { toBox: bytesToBox, fromBox: bytesFromBox };
  return { reason, bytes, audit: { actor: `router:${routerId}`, action: "remote.end" }, isRouters: true };
}

function openEvent(remote: Remote) {
  const text = `Remote session ${remote.id} of ${remote.operator} on ${remote.box} is open`;
  return eventOf(remote, "remote.open", text);
}

/** Pure. The session as its end is gone; the same where it waits for that already. */
export function broken(
  remote: Remote,
  {
    decision,
    bytes,
    nowMs,
  }: {
    readonly decision: Extract<RemoteDecision, { readonly kind: "break" }>;
    readonly bytes?: { readonly toBox: number; readonly fromBox: number };
    readonly nowMs: number;
  },
): Changed | undefined {
  if (remote.state === "broken") return undefined;
  const record: RemoteRecord = {
    ...recordOf(remote),
    state: "broken",
    reason: decision.reason,
    sinceMs: nowMs,
    bytesToBox: remote.bytesToBox + (bytes?.toBox ?? remote.pairToBox),
    bytesFromBox: remote.bytesFromBox + (bytes?.fromBox ?? remote.pairFromBox),
    pairToBox: 0,
    pairFromBox: 0,
  };
  const what = isLeftAlone({ ...remote, ...record }) ? "goes on alone" : "is broken and may be resumed";
  const text = `Remote session ${remote.id} of ${remote.operator} on ${remote.box} ${what}: ${decision.reason}`;
  return { record, context: eventOf(remote, "remote.broken", text) };
}

function eventOf(remote: Remote, kind: string, text: string) {
  return { event: { kind, boxId: remote.box, text, data: { id: remote.id, operator: remote.operator } } };
}
