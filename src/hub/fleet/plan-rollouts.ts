import { isSameJson } from "../../base/same-json.ts";
import type { WorkloadTemplate } from "../../contract/fleet/rollout.ts";
import type { LabelRequirement } from "../../contract/fleet/selector.ts";
import { matchesSelector } from "../../contract/fleet/selector.ts";
import type { Box } from "../store/box.ts";
import type { ExpectedEntry } from "../store/expected-set.ts";
import { fillTemplate } from "./fill-template.ts";

export interface Rollout {
  readonly id: string;
  readonly revision: number;
  readonly requirements: readonly LabelRequirement[];
  readonly template: WorkloadTemplate;
  readonly enabled: boolean;
}

/** What has to be done to one box: its part of each rollout, made exactly this. */
export interface BoxPlan {
  readonly writes: readonly OwnerWrite[];
  /** How each rollout stands with this box, once the writes are done. Rollouts that do not concern it are absent. */
  readonly standings: ReadonlyMap<string, Standing>;
}

export interface OwnerWrite {
  /** `rollout/doors`. */
  readonly owner: string;
  readonly entries: readonly ExpectedEntry[];
}

export type Standing = { readonly kind: "placed" } | { readonly kind: "waiting" | "failed"; readonly reason: string };

const OWNER_PREFIX = "rollout/";

export function ownerOf(rolloutId: string): string {
  return `${OWNER_PREFIX}${rolloutId}`;
}

/**
 * Pure.
 * - A box that matches and is approved gets the workload; one that does not any more loses it.
 * - A draining box keeps what it has, also in newer form, and gets nothing new.
 * - What cannot be filled in, or would take another owner's place, leaves what is there and is a failure with its reason.
 * - A rollout that is off places nothing and takes nothing away. One that is gone takes away what it placed.
 * - Hibernated stays hibernated: that is a person's word about one box.
 * - Of two rollouts with the same workload id the one that is there already, else the first by id, has the place.
 * - A place that one rollout leaves is there for the next one at once: writes are in the order in which they can be done.
 */
export function planBox(box: Box, entries: readonly ExpectedEntry[], rollouts: readonly Rollout[]): BoxPlan {
  const writes: OwnerWrite[] = [];
  let held = entries;
  // Each round but the last gives at least one rollout its last place. Without one that waits for a place, one round is all.
  for (let round = 0; ; round++) {
    const plan = planRound(box, held, rollouts);
    writes.push(...plan.writes);
    const isSettled = plan.writes.length === 0 || !plan.isAwaited;
    if (isSettled || round > rollouts.length) return { writes, standings: plan.standings };
    held = plan.writes.reduce(afterWrite, held);
  }
}

function afterWrite(held: readonly ExpectedEntry[], { owner, entries }: OwnerWrite): readonly ExpectedEntry[] {
  return [...held.filter((entry) => entry.owner !== owner), ...entries];
}

interface Round extends BoxPlan {
  /** A rollout found its place taken: what is written now may give it free. */
  readonly isAwaited: boolean;
}

function planRound(box: Box, entries: readonly ExpectedEntry[], rollouts: readonly Rollout[]): Round {
  const writes: OwnerWrite[] = [];
  const standings = new Map<string, Standing>();
  const ownerById = new Map(entries.map(({ workload, owner }) => [workload.id, owner]));
  const known = new Set(rollouts.map(({ id }) => ownerOf(id)));

  for (const owner of new Set(entries.map((entry) => entry.owner))) {
    if (owner?.startsWith(OWNER_PREFIX) === true && !known.has(owner)) writes.push({ owner, entries: [] });
  }
  for (const rollout of rollouts.toSorted((one, other) => (one.id < other.id ? -1 : 1))) {
    const owner = ownerOf(rollout.id);
    const held = entries.filter((entry) => entry.owner === owner);
    const isWanted = box.state === "approved" && matchesSelector(box.labels, rollout.requirements);
    if (!isWanted) {
      if (rollout.enabled && held.length > 0 && box.state === "approved") writes.push({ owner, entries: [] });
      continue;
    }
    const standing = stand(box, rollout, { held, ownerById });
    if ("write" in standing) {
      ownerById.set(standing.write.workload.id, owner);
      if (!isSameJson([standing.write], held)) writes.push({ owner, entries: [standing.write] });
      standings.set(rollout.id, { kind: "placed" });
    } else standings.set(rollout.id, standing);
  }
  const isAwaited = [...standings.values()].some(({ kind }) => kind === "failed");
  return { writes, standings, isAwaited };
}

function stand(
  box: Box,
  rollout: Rollout,
  on: { readonly held: readonly ExpectedEntry[]; readonly ownerById: ReadonlyMap<string, string | undefined> },
): Standing | { readonly write: ExpectedEntry } {
  const { held, ownerById } = on;
  if (!rollout.enabled) {
    return held.length > 0 ? { kind: "placed" } : { kind: "waiting", reason: "the rollout is off" };
  }
  if (held.length === 0 && box.draining) return { kind: "waiting", reason: "the box is draining" };
  const filled = fillTemplate(rollout.template, box);
  if (!filled.ok) return { kind: "failed", reason: filled.reason };
  const { workload } = filled;
  const owner = ownerOf(rollout.id);
  if (ownerById.has(workload.id) && ownerById.get(workload.id) !== owner) {
    const whose = ownerById.get(workload.id) ?? "a person";
    return { kind: "failed", reason: `workload ${workload.id} is there already and belongs to ${whose}` };
  }
  const before = held.find((entry) => entry.workload.id === workload.id) ?? held[0];
  return { write: { workload, owner, desired: before?.desired ?? "running" } };
}
