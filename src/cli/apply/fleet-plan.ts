import type { FleetFile, FleetFileBox, FleetFileStream } from "../../config/fleet-file.ts";
import type { AlertRuleView } from "../../contract/fleet/alert.ts";
import type { BoxPatchBody, BoxView } from "../../contract/fleet/box-view.ts";
import type { ExpectedDiffView, ExpectedView, WorkloadSetPut } from "../../contract/fleet/expected-view.ts";
import { maskWebhook } from "../../contract/fleet/mask-webhook.ts";
import type { RolloutView } from "../../contract/fleet/rollout.ts";
import type { SessionView, SessionWish } from "../../contract/fleet/session.ts";
import type { TunnelView } from "../../contract/fleet/tunnel.ts";
import { maskWorkload } from "../../contract/mask-workload.ts";
import { diffValues, type FieldChange } from "./diff-values.ts";

/** One thing that differs, for people and for `--json`. */
export interface PlannedChange {
  /** `box/north-1`, `stream/north-1/cam-1`, `rollout/lobby`, `alert-rule/offline`, `tunnel/lobby`, `session/web`. */
  readonly subject: string;
  readonly change: "add" | "change" | "remove";
  readonly fields: readonly FieldChange[];
  /** For `add` and `remove`: what it is. */
  readonly summary?: string | undefined;
}

/** One write, on condition that what it changes is as it was seen. */
export type FleetWrite =
  | { readonly kind: "box"; readonly box: string; readonly ifRevision: number; readonly body: BoxPatchBody }
  | { readonly kind: "streams"; readonly box: string; readonly ifRevision: number; readonly body: WorkloadSetPut }
  | {
      readonly kind: "rollout";
      readonly id: string;
      readonly ifRevision: number | undefined;
      readonly body: FileRollout;
    }
  | { readonly kind: "rollout-remove"; readonly id: string; readonly ifRevision: number }
  | { readonly kind: "rule"; readonly id: string; readonly ifRevision: number | undefined; readonly body: FileRule }
  | { readonly kind: "rule-remove"; readonly id: string; readonly ifRevision: number }
  | { readonly kind: "tunnel"; readonly id: string; readonly ifRevision: number | undefined; readonly body: FileTunnel }
  | { readonly kind: "tunnel-remove"; readonly id: string; readonly ifRevision: number }
  | {
      readonly kind: "session";
      readonly id: string;
      readonly ifRevision: number | undefined;
      readonly body: SessionWish;
    }
  | { readonly kind: "session-remove"; readonly id: string; readonly ifRevision: number };

export interface FleetStep {
  readonly write: FleetWrite;
  readonly changes: readonly PlannedChange[];
}

type FileRollout = NonNullable<FleetFile["rollouts"]>[string];
type FileRule = NonNullable<FleetFile["alertRules"]>[string];
type FileTunnel = NonNullable<FleetFile["tunnels"]>[string];

/** Name, labels and draining: only what the file says. */
export function planBox(held: BoxView, wanted: FleetFileBox): FleetStep | undefined {
  const body: BoxPatchBody = {
    ...(wanted.name === undefined ? {} : { name: wanted.name }),
    ...(wanted.labels === undefined ? {} : { labels: wanted.labels }),
    ...(wanted.draining === undefined ? {} : { draining: wanted.draining }),
  };
  const seen = { name: held.name, labels: held.labels, draining: held.draining };
  const fields = diffValues(seen, { ...seen, ...body });
  if (fields.length === 0) return undefined;
  return {
    write: { kind: "box", box: held.id, ifRevision: held.revision, body },
    changes: [{ subject: `box/${held.id}`, change: "change", fields }],
  };
}

/**
 * Everything that people own on the box once the file is applied. Streams that the file does not name stay, as the hub
 * showed them (it knows what it masked), unless `prune`; whether one is hibernated stays as it is unless the file says.
 */
export function wantedStreams(
  held: ExpectedView,
  wanted: readonly FleetFileStream[],
  { prune }: { readonly prune: boolean },
): WorkloadSetPut {
  const named = new Set(wanted.map(({ id }) => id));
  const kept = prune ? [] : held.items.filter(({ owner, workload }) => owner === undefined && !named.has(workload.id));
  return {
    workloads: [
      ...kept.map(({ workload, desired }) => ({ workload, desired })),
      ...wanted.map(({ desired, ...workload }) => ({
        workload,
        desired: desired ?? held.items.find((entry) => entry.workload.id === workload.id)?.desired ?? "running",
      })),
    ],
  };
}

/** `differing` is what the hub found, secrets included; what people see of it is found here. */
export function planStreams(
  box: string,
  held: ExpectedView,
  { body, differing }: { readonly body: WorkloadSetPut; readonly differing: ExpectedDiffView },
): FleetStep | undefined {
  const changes = [
    ...differing.put.map((id) => streamChange(box, id, held, body)),
    ...differing.remove.map((id): PlannedChange => {
      const entry = held.items.find(({ workload }) => workload.id === id);
      const subject = `stream/${box}/${id}`;
      return { subject, change: "remove", fields: [], summary: summaryOf(entry?.workload) };
    }),
  ];
  if (changes.length === 0) return undefined;
  return { write: { kind: "streams", box, ifRevision: differing.revision, body }, changes };
}

function streamChange(box: string, id: string, held: ExpectedView, body: WorkloadSetPut): PlannedChange {
  const subject = `stream/${box}/${id}`;
  const after = body.workloads.find(({ workload }) => workload.id === id);
  const shown = after === undefined ? undefined : { ...maskWorkload(after.workload), desired: after.desired };
  const before = held.items.find(({ workload }) => workload.id === id);
  if (before === undefined) return { subject, change: "add", fields: [], summary: summaryOf(after?.workload) };
  return changed(subject, diffValues({ ...before.workload, desired: before.desired }, shown));
}

/** What the hub holds, what the file says, and which of it the hub finds to differ, secrets included. */
export interface Compared<Held, Wanted> {
  readonly held: readonly Held[];
  readonly wanted: Readonly<Record<string, Wanted>>;
  readonly differing: ReadonlySet<string>;
  /** What the file does not name goes. */
  readonly prune: boolean;
}

export function planRollouts({ held, wanted, differing, prune }: Compared<RolloutView, FileRollout>): FleetStep[] {
  const gone = prune ? held.filter(({ id }) => !Object.hasOwn(wanted, id)) : [];
  return [
    ...gone.map(({ id, revision, template }): FleetStep => {
      const change = { subject: `rollout/${id}`, change: "remove", fields: [], summary: summaryOf(template) } as const;
      return { write: { kind: "rollout-remove", id, ifRevision: revision }, changes: [change] };
    }),
    ...Object.entries(wanted).flatMap(([id, body]): FleetStep[] => {
      if (!differing.has(id)) return [];
      const before = held.find((rollout) => rollout.id === id);
      const seen = before && { selector: before.selector, template: before.template, enabled: before.enabled };
      const change = changeOf(`rollout/${id}`, seen, { ...body, template: maskWorkload(body.template) });
      return [{ write: { kind: "rollout", id, ifRevision: before?.revision, body }, changes: [change] }];
    }),
  ];
}

export function planRules({ held, wanted, differing, prune }: Compared<AlertRuleView, FileRule>): FleetStep[] {
  const gone = prune ? held.filter(({ id }) => !Object.hasOwn(wanted, id)) : [];
  return [
    ...gone.map(({ id, revision, condition }): FleetStep => {
      const change = { subject: `alert-rule/${id}`, change: "remove", fields: [], summary: condition } as const;
      return { write: { kind: "rule-remove", id, ifRevision: revision }, changes: [change] };
    }),
    ...Object.entries(wanted).flatMap(([id, body]): FleetStep[] => {
      if (!differing.has(id)) return [];
      const before = held.find((rule) => rule.id === id);
      const seen = before && {
        condition: before.condition,
        selector: before.selector,
        forSeconds: before.forSeconds,
        clearAfterSeconds: before.clearAfterSeconds,
        threshold: before.threshold,
        enabled: before.enabled,
        webhook: { url: before.webhook.url },
      };
      const change = changeOf(`alert-rule/${id}`, seen, { ...body, webhook: { url: maskWebhook(body.webhook.url) } });
      return [{ write: { kind: "rule", id, ifRevision: before?.revision, body }, changes: [change] }];
    }),
  ];
}

export function planTunnels({ held, wanted, differing, prune }: Compared<TunnelView, FileTunnel>): FleetStep[] {
  const gone = prune ? held.filter(({ uid, phase }) => !Object.hasOwn(wanted, uid) && phase !== "ending") : [];
  return [
    ...gone.map((tunnel): FleetStep => {
      const { uid, revision } = tunnel;
      const summary = `${tunnel.producer} → ${tunnel.consumer}`;
      const change = { subject: `tunnel/${uid}`, change: "remove", fields: [], summary } as const;
      return { write: { kind: "tunnel-remove", id: uid, ifRevision: revision }, changes: [change] };
    }),
    ...Object.entries(wanted).flatMap(([id, body]): FleetStep[] => {
      if (!differing.has(id)) return [];
      const before = held.find(({ uid }) => uid === id);
      const change = changeOf(`tunnel/${id}`, before?.wish, body);
      return [{ write: { kind: "tunnel", id, ifRevision: before?.revision, body }, changes: [change] }];
    }),
  ];
}

export function planSessions({ held, wanted, differing, prune }: Compared<SessionView, SessionWish>): FleetStep[] {
  const gone = prune ? held.filter(({ id, state }) => !Object.hasOwn(wanted, id) && state !== "stopping") : [];
  return [
    ...gone.map(({ id, revision, wish }): FleetStep => {
      const summary = `${wish.template.image ?? wish.template.command?.[0] ?? ""} for ${wish.user}`;
      const change = { subject: `session/${id}`, change: "remove", fields: [], summary } as const;
      return { write: { kind: "session-remove", id, ifRevision: revision }, changes: [change] };
    }),
    ...Object.entries(wanted).flatMap(([id, body]): FleetStep[] => {
      if (!differing.has(id)) return [];
      const before = held.find((session) => session.id === id);
      const change = changeOf(`session/${id}`, before?.wish, maskWorkload({ spec: body }).spec);
      return [{ write: { kind: "session", id, ifRevision: before?.revision, body }, changes: [change] }];
    }),
  ];
}

function changeOf(subject: string, seen: object | undefined, shown: object): PlannedChange {
  if (seen === undefined) return { subject, change: "add", fields: [], summary: JSON.stringify(shown) };
  return changed(subject, diffValues(seen, shown));
}

function changed(subject: string, fields: readonly FieldChange[]): PlannedChange {
  return {
    subject,
    change: "change",
    fields,
    ...(fields.length === 0 ? { summary: "a secret that is not shown" } : {}),
  };
}

/** `rtsp://cam/1 → rtmp://host/live/***`, for whatever has an input and outputs. */
function summaryOf(workload: object | undefined): string | undefined {
  if (workload === undefined) return undefined;
  const masked: object = maskWorkload(workload);
  const spec = "spec" in masked && typeof masked.spec === "object" && masked.spec !== null ? masked.spec : {};
  const input = "input" in spec ? addressOf(spec.input) : "?";
  const outputs = "outputs" in spec && Array.isArray(spec.outputs) ? spec.outputs.map(addressOf) : ["?"];
  return `${input} → ${outputs.join(", ")}`;
}

function addressOf(end: unknown): string {
  if (typeof end === "string") return end;
  return typeof end === "object" && end !== null && "url" in end ? String(end.url) : "?";
}
