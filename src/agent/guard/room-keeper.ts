import type { ProcessMark } from "../runtime/run-handle.ts";
import type { Admission } from "./admission.ts";

/** What the reconciler asks before it starts something. */
export interface RoomKeeper {
  /** Of the workloads that are due: which start now, in which order. The others are due again when there is room. */
  admit(due: readonly { readonly id: string; readonly isNew: boolean }[]): Pick<Admission, "admitted" | "held">;
  /** What must not run at the moment, because something had to give: by id, why. */
  shed(): ReadonlyMap<string, string>;
  /** The kernel killed something of this launch, because its memory limit was reached. */
  wasKilledForMemory(launch: Pick<ProcessMark, "workloadId" | "generation">): boolean;
}
