import { AppError } from "../../base/errors.ts";
import type { TransferPeer } from "../../contract/transfer/assignment.ts";
import { fault, toFault } from "../fault.ts";
import { type DialledLink, helloFrame } from "../wire/data-dial.ts";
import type { DataLink } from "../wire/data-link.ts";
import { NobodyCame } from "../wire/routed-link.ts";
import { copyLocally } from "./local-copy.ts";
import { receiveLease } from "./receive-lease.ts";
import { requireStorage, type Task, type TaskContext, type TaskOutcome } from "./task-context.ts";

/** Of a connection that breaks while bytes come, for as long as each attempt brings some. */
const MAX_BARREN = 3;
const RETRY_MS = 500;

/** Brings the items of a lease here, from whichever source answers. */
export async function copyWork(task: Task<"copy">, outcome: TaskOutcome, context: TaskContext): Promise<void> {
  const { work, signal } = task;
  if (work.local) return copyLocally(task, outcome, context);
  const storage = requireStorage(context, work.destination.storage_id, "write");
  const told = { bytes: 0 };
  for (let barren = 0, round = 0; ; round++) {
    const before = told.bytes;
    const place: { opened: DialledLink | undefined } = { opened: undefined };
    try {
      await receiveLease(task, outcome, {
        context,
        root: storage.root,
        open: async () => {
          const opened = await openLink(task, context, outcome, round);
          place.opened = opened;
          return opened;
        },
        told,
        onNearlyDone: () => place.opened?.lend(),
      });
      place.opened?.keep();
      return;
    } catch (thrown) {
      place.opened?.link.close();
      signal.throwIfAborted();
      const error = toFault(thrown);
      if (error.code === "unreachable") place.opened?.broke();
      barren = told.bytes > before ? 0 : barren + 1;
      // Nothing comes this way, or who was sent to dial has gone.
      const isUseless =
        barren >= MAX_BARREN || (work.dial === "router" && barren > 0 && !(thrown instanceof NobodyCame));
      if (error.code === "unreachable" && isUseless) outcome.isDialFailed = true;
      const isOver = outcome.isDialFailed || work.dial !== "destination" || barren >= MAX_BARREN;
      if (error.code !== "unreachable" || isOver) throw error;
    }
    await context.clock.delay(RETRY_MS, signal);
  }
}

/** Of what serves once. */
function onceOnly(link: DataLink, worker: string): DialledLink {
  return { link, worker, lend: () => undefined, keep: () => link.close(), broke: () => undefined };
}

async function openLink(
  { work, assignment, signal }: Task<"copy">,
  context: TaskContext,
  outcome: TaskOutcome,
  round: number,
): Promise<DialledLink> {
  outcome.way = work.dial;
  const [source] = work.sources;
  if (work.dial === "router") {
    if (work.meeting === undefined) throw fault("denied", "the hub names no router");
    try {
      const link = await context.routed.meet(work.meeting, "receiver", signal);
      link.send(helloFrame("pull", source?.ticket ?? "")).catch(() => undefined);
      return onceOnly(link, source?.worker_id ?? "");
    } catch (thrown) {
      outcome.isDialFailed = !(thrown instanceof NobodyCame) && !signal.aborted;
      throw thrown;
    }
  }
  if (work.dial === "source") {
    const link: DataLink = await context.awaitPushed(assignment.lease_id, assignment.attempt, signal);
    return onceOnly(link, source?.worker_id ?? "");
  }
  const problems: string[] = [];
  for (const peer of inTurn(work.sources, round)) {
    try {
      return await context.dialler.dial(peer, "pull", signal);
    } catch (thrown) {
      signal.throwIfAborted();
      problems.push(thrown instanceof AppError ? thrown.message : toFault(thrown).message);
    }
  }
  outcome.isDialFailed = true;
  throw fault("unreachable", problems.length === 0 ? "no worker has the source" : problems.join("; "));
}

/** After a connection that broke the next one is asked. */
function inTurn(peers: readonly TransferPeer[], round: number): readonly TransferPeer[] {
  const from = peers.length === 0 ? 0 : round % peers.length;
  return [...peers.slice(from), ...peers.slice(0, from)];
}
