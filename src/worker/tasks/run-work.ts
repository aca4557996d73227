import type { Assignment } from "../../contract/transfer/assignment.ts";
import { fault } from "../fault.ts";
import type { Pace } from "../wire/pace.ts";
import { closeWork, discardWork } from "./close-work.ts";
import { copyWork } from "./copy-work.ts";
import { finishWork } from "./finish-work.ts";
import { hashWork } from "./hash-work.ts";
import { listWork } from "./list-work.ts";
import { serveWork } from "./serve-work.ts";
import type { TaskContext, TaskOutcome } from "./task-context.ts";

/** Rejects with what ended it; `outcome` has what was done by then. */
export async function runWork(
  { work, ...assignment }: Assignment,
  outcome: TaskOutcome,
  given: {
    readonly context: TaskContext;
    readonly signal: AbortSignal;
    readonly onBytes: (bytes: number) => void;
    readonly onNearlyDone: () => void;
    readonly pace: Pace;
  },
): Promise<void> {
  const { context, ...life } = given;
  switch (work.kind) {
    case "list":
      return listWork({ assignment, work, ...life }, context);
    case "copy":
      return copyWork({ assignment, work, ...life }, outcome, context);
    case "serve":
      return serveWork({ assignment, work, ...life }, outcome, context);
    case "finish":
      return finishWork({ assignment, work, ...life }, outcome, context);
    case "hash":
      return hashWork({ assignment, work, ...life }, outcome, context);
    case "close":
      return closeWork({ assignment, work, ...life }, outcome, context);
    case "discard":
      return discardWork({ assignment, work, ...life }, context);
    case "plain":
      throw fault("unsupported", "work without a lease protocol was given to a worker that has it");
  }
}
