import type { Workload } from "../../contract/workload.ts";
import type { ExpectedEntry, ExpectedSet, LoggedChange } from "../store/expected-set.ts";
import { changeEvent, expectedEvent } from "./box-events.ts";

/** Pure. The whole set as a box hears it: what is hibernated is not to run, so it is not in it. */
export function setEvent({ epoch, revision, entries }: ExpectedSet): string {
  return expectedEvent({ epoch, revision, workloads: runningOf(entries) });
}

/** Pure. One step as a box hears it: going to sleep is a removal. */
export function stepEvent(epoch: string, { revision, put, remove }: LoggedChange): string {
  const asleep = put.filter(({ desired }) => desired === "hibernated").map(({ workload }) => workload.id);
  return changeEvent({ epoch, revision, put: runningOf(put), remove: [...remove, ...asleep] });
}

function runningOf(entries: readonly ExpectedEntry[]): readonly Workload[] {
  return entries.filter(({ desired }) => desired === "running").map(({ workload }) => workload);
}
