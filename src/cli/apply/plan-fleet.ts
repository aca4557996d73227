import { AppError } from "../../base/errors.ts";
import type { HubClient } from "../../client/hub-client.ts";
import type { FleetFile } from "../../config/fleet-file.ts";
import { orNothing } from "../find-box.ts";
import { collect } from "../output.ts";
import {
  type FleetStep,
  planBox,
  planRollouts,
  planRules,
  planSessions,
  planStreams,
  planTunnels,
  wantedStreams,
} from "./fleet-plan.ts";

export interface PlanOptions {
  readonly prune: boolean;
  readonly onBox: (box: string) => void;
}

/**
 * Looks at what the file names and says what differs. The order is that in which it can be carried out: an id that moves
 * between a rollout and a person's own streams is free before it is taken. Rejects with `not-found` for boxes that are not there.
 */
export async function planFleet(
  hub: HubClient,
  file: FleetFile,
  { options, signal }: { readonly options: PlanOptions; readonly signal: AbortSignal },
): Promise<FleetStep[]> {
  const boxSteps: FleetStep[] = [];
  const streamSteps: FleetStep[] = [];
  const missing: string[] = [];
  for (const [id, wanted] of Object.entries(file.boxes ?? {})) {
    options.onBox(id);
    const box = await hub.boxes.get(id, signal).catch(orNothing);
    if (box === undefined) {
      missing.push(id);
      continue;
    }
    const step = planBox(box, wanted);
    if (step !== undefined) boxSteps.push(step);
    if (wanted.streams === undefined) continue;
    const held = await hub.boxes.expected(id, signal);
    const body = wantedStreams(held, wanted.streams, options);
    const differing = await hub.workloads.compareAll(id, { body, ifRevision: held.revision }, signal);
    const streams = planStreams(id, held, { body, differing });
    if (streams !== undefined) streamSteps.push(streams);
  }
  if (missing.length > 0) {
    throw new AppError("not-found", `there is no box ${missing.join(", ")}: boxes join by enrolment, not by a file`, {
      field: "boxes",
    });
  }
  const { prune } = options;
  const rollouts: FleetStep[] = [];
  if (file.rollouts !== undefined) {
    const differing = await differingOf(file.rollouts, (id, body) => hub.rollouts.compare(id, body, signal));
    const held = await collect(hub.rollouts.list({}, signal));
    rollouts.push(...planRollouts({ held, wanted: file.rollouts, differing, prune }));
  }
  const rules: FleetStep[] = [];
  if (file.alertRules !== undefined) {
    const differing = await differingOf(file.alertRules, (id, body) => hub.alerts.compareRule(id, body, signal));
    const held = await collect(hub.alerts.rules({}, signal));
    rules.push(...planRules({ held, wanted: file.alertRules, differing, prune }));
  }
  const tunnels: FleetStep[] = [];
  if (file.tunnels !== undefined) {
    const differing = await differingOf(file.tunnels, (uid, body) => hub.tunnels.compare(uid, body, signal));
    const held = await collect(hub.tunnels.list({}, signal));
    tunnels.push(...planTunnels({ held, wanted: file.tunnels, differing, prune }));
  }
  const sessions: FleetStep[] = [];
  if (file.sessions !== undefined) {
    const wanted = Object.fromEntries(Object.entries(file.sessions).map(([id, body]) => [id, { id, ...body }]));
    const differing = await differingOf(wanted, (id, body) => hub.sessions.compare(id, body, signal));
    const held = await collect(hub.sessions.list({}, signal));
    sessions.push(...planSessions({ held, wanted, differing, prune }));
  }
  const isRemoval = ({ write }: FleetStep) => write.kind === "rollout-remove";
  return [
    ...rollouts.filter(isRemoval),
    ...boxSteps,
    // Before the streams that go through them.
    ...tunnels,
    ...streamSteps,
    ...sessions,
    ...rollouts.filter((step) => !isRemoval(step)),
    ...rules,
  ];
}

/** Ids of what the hub would change. */
async function differingOf<Wanted>(
  wanted: Readonly<Record<string, Wanted>>,
  compare: (id: string, body: Wanted) => Promise<{ readonly changed: boolean }>,
): Promise<ReadonlySet<string>> {
  const differing = new Set<string>();
  for (const [id, body] of Object.entries(wanted)) if ((await compare(id, body)).changed) differing.add(id);
  return differing;
}
