import type { Meeting } from "../../contract/transfer/assignment.ts";
import { fault, toFault } from "../fault.ts";
import { serveItems, serveLink } from "../send/data-server.ts";
import { NobodyCame } from "../wire/routed-link.ts";
import type { Task, TaskContext, TaskOutcome } from "./task-context.ts";

/** Goes to the destination, which cannot come here, and sends what it asks for. */
export async function serveWork(task: Task<"serve">, outcome: TaskOutcome, context: TaskContext): Promise<void> {
  const { work, signal } = task;
  outcome.way = work.meeting === undefined ? "source" : "router";
  if (work.meeting !== undefined) return serveThroughRouter(task, work.meeting, outcome, context);
  const problems: string[] = [];
  for (const peer of work.destinations) {
    let dialled: Awaited<ReturnType<TaskContext["dialler"]["dial"]>>;
    try {
      dialled = await context.dialler.dial(peer, "push", signal);
    } catch (thrown) {
      signal.throwIfAborted();
      problems.push(toFault(thrown).message);
      continue;
    }
    const { link } = dialled;
    const onAbort = () => link.close(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await serveItems(link, peer.ticket, undefined, {
        ...context.serveDeps,
        signal,
        onSent: (bytes) => {
          outcome.bytesSent += bytes;
          task.onBytes(bytes);
        },
      });
      // The destination closes it when it has everything.
      await link.next().catch(() => undefined);
      return;
    } finally {
      signal.removeEventListener("abort", onAbort);
      link.close();
    }
  }
  outcome.isDialFailed = true;
  throw fault("unreachable", problems.length === 0 ? "no worker is the destination" : problems.join("; "));
}

/** As one who is dialled: the destination says hello with its ticket, which is checked as any other. */
async function serveThroughRouter(
  { signal, onBytes }: Task<"serve">,
  meeting: Meeting,
  outcome: TaskOutcome,
  context: TaskContext,
): Promise<void> {
  const link = await context.routed.meet(meeting, "sender", signal).catch((thrown: unknown) => {
    outcome.isDialFailed = !(thrown instanceof NobodyCame) && !signal.aborted;
    throw thrown;
  });
  const onAbort = () => link.close(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await serveLink(link, meeting.certificate_sha256, () => undefined, {
      ...context.serveDeps,
      signal,
      takePushed: () => false,
      onSent: (bytes) => {
        outcome.bytesSent += bytes;
        onBytes(bytes);
      },
    });
  } finally {
    signal.removeEventListener("abort", onAbort);
    link.close();
  }
}
