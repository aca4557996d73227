import type { Workload } from "../../contract/workload.ts";
import type { ExpectedEntry, ExpectedSet, LoggedChange } from "../store/expected-set.ts";
import { changeEvent, expectedEvent } from "./box-events.ts";

/** As a box must know it: the store holds some of its secrets sealed. */
export type OpenWorkload = (workload: Workload) => Workload;

/** Pure. The whole set as a box hears it: what is hibernated is not to run, so it is not in it. */
export function setEvent({ epoch, revision, entries }: ExpectedSet, open: OpenWorkload): string {
  return expectedEvent({ epoch, revision, workloads: runningOf(entries, open) });
}

/** Pure. One step as a box hears it: going to sleep is a removal. */
export function stepEvent(epoch: string, { revision, put, remove }: LoggedChange, open: OpenWorkload): string {
  const asleep = put.filter(({ desired }) => desired === "hibernated").map(({ workload }) => workload.id);
  return changeEvent({ epoch, revision, put: runningOf(put, open), remove: [...remove, ...asleep] });
}

function runningOf(entries: readonly ExpectedEntry[], open: OpenWorkload): readonly Workload[] {
  return entries.filter(({ desired }) => desired === "running").map(({ workload }) => open(workload));
}
