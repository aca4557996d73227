import { serveItems } from "./data-server.ts";
import { fault, toFault } from "./fault.ts";
import type { Task, TaskContext, TaskOutcome } from "./task-context.ts";

/** Goes to the destination, which cannot come here, and sends what it asks for. */
export async function serveWork(task: Task<"serve">, outcome: TaskOutcome, context: TaskContext): Promise<void> {
  const { work, signal } = task;
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
