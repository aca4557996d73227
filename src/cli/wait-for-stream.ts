import { AppError } from "../base/errors.ts";
import type { HubClient } from "../client/hub-client.ts";
import type { FleetWorkloadView } from "../contract/fleet/expected-view.ts";
import type { CommandContext } from "./command-context.ts";
import { formatDuration } from "./duration.ts";
import { orNothing } from "./find-box.ts";
import { createProgress } from "./progress.ts";
import { streamState } from "./stream-views.ts";

export interface Awaited {
  readonly box: string;
  readonly id: string;
  readonly until: "running" | "gone";
  readonly limitSeconds: number;
  /** The box must have taken over this revision. */
  readonly revision: number;
}

const LOOK_PERIOD_MS = 500;

/** How far it is, and whether that is all. */
export type Step = { readonly done: boolean; readonly text: string };

/** Pure. `refused` never comes to run: waiting for it is over, and failed. */
export function judgeStep(
  { box, id, until, revision }: Awaited,
  seen: { readonly stream: FleetWorkloadView | undefined; readonly appliedRevision: number | undefined },
): Step {
  const { stream, appliedRevision } = seen;
  if (appliedRevision === undefined || appliedRevision < revision) {
    return { done: false, text: `${box} has not taken over revision ${revision} yet` };
  }
  if (until === "gone") return { done: stream?.status === undefined, text: `${box} stops ${id}` };
  const state = stream === undefined ? "unknown" : streamState(stream);
  const cause = stream?.status?.cause === undefined ? "" : `: ${stream.status.cause}`;
  if (state === "refused") throw new AppError("refused", `${box} refuses ${id}${cause}`);
  return { done: state === "running", text: `${box}/${id} is ${state}${cause}` };
}

/** Rejects with `timeout` when it does not come to that in time, and with `refused`. */
export async function waitForStream(wanted: Awaited, hub: HubClient, context: CommandContext): Promise<void> {
  const { clock, signal, io } = context;
  const progress = createProgress(io);
  const beganMs = clock.monotonicMs();
  try {
    for (;;) {
      const [box, entry] = await Promise.all([
        hub.boxes.get(wanted.box, signal),
        hub.workloads.get(wanted.box, wanted.id, signal).catch(orNothing),
      ]);
      const stream = entry === undefined ? undefined : { ...entry, box: box.id, boxName: box.name };
      const step = judgeStep(wanted, { stream, appliedRevision: box.applied?.revision });
      if (step.done) return;
      const waitedSeconds = (clock.monotonicMs() - beganMs) / 1000;
      if (waitedSeconds > wanted.limitSeconds) {
        throw new AppError(
          "timeout",
          `after ${formatDuration(waitedSeconds)}: ${step.text} (the change itself is made)`,
        );
      }
      progress.say(`${step.text} … ${formatDuration(waitedSeconds)}`);
      await clock.delay(LOOK_PERIOD_MS, signal);
    }
  } finally {
    progress.end();
  }
}
