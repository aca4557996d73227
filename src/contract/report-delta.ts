import { z } from "zod";
import { diffObjects, patchObject } from "./object-patch.ts";
import { type Report, reportSchema } from "./report.ts";

const patchSchema = z.record(z.string(), z.unknown());

/**
 * A report of version 2: what is different since the report `base` of the same session, which the hub has acknowledged. What
 * happened (`occurrences`, `commandResults`, `dropped`) is no state and comes as in a whole report.
 */
export const reportDeltaSchema = z.object({
  version: z.literal(2),
  sequence: z.int().min(1),
  session: z.string(),
  sentAt: z.string(),
  boxId: z.string(),
  /** Sequence of the report that this one builds on. */
  base: z.int().min(1),
  /** Changes of everything but the workloads, as `object-patch.ts` applies them. */
  picture: patchSchema.optional(),
  /** Changes of workloads that were there, and whole ones that are new, each with its `id`. */
  workloads: z.array(z.looseObject({ id: z.string() })).optional(),
  gone: z.array(z.string()).optional(),
  occurrences: reportSchema.shape.occurrences,
  dropped: reportSchema.shape.dropped,
  commandResults: reportSchema.shape.commandResults,
});
export type ReportDelta = z.output<typeof reportDeltaSchema>;

/** `POST /v1/boxes/{box}/report`, of either version. */
export const anyReportSchema = z.discriminatedUnion("version", [reportSchema, reportDeltaSchema]);

/** Pure. `undefined`: the two say nothing that a delta can say, as when workloads have changed their order. */
export function deltaOf(base: Report, next: Report): ReportDelta | undefined {
  const { version: _version, sequence, session, sentAt, boxId, occurrences, dropped, commandResults, ...state } = next;
  if (base.session !== session || base.boxId !== boxId) return undefined;
  const held = new Map(base.workloads.map((workload) => [workload.id, workload]));
  const kept = new Set(next.workloads.map(({ id }) => id));
  if (kept.size !== next.workloads.length || held.size !== base.workloads.length) return undefined;
  const gone = [...held.keys()].filter((id) => !kept.has(id));
  const order = [...held.keys()].filter((id) => kept.has(id));
  for (const { id } of next.workloads) if (!held.has(id)) order.push(id);
  if (next.workloads.some(({ id }, index) => order[index] !== id)) return undefined;
  const workloads = next.workloads.flatMap((workload) => {
    const before = held.get(workload.id);
    const patch = before === undefined ? workload : diffObjects(before, workload);
    return patch === undefined ? [] : [{ ...patch, id: workload.id }];
  });
  const picture = diffObjects(stateOf(base), { ...state, workloads: undefined });
  return {
    version: 2,
    sequence,
    session,
    sentAt,
    boxId,
    base: base.sequence,
    ...(picture === undefined ? {} : { picture }),
    ...(workloads.length === 0 ? {} : { workloads }),
    ...(gone.length === 0 ? {} : { gone }),
    occurrences,
    dropped,
    commandResults,
  };
}

/** Pure. The whole report that a delta stands for; `undefined` when it is none on this base. */
export function applyDelta(base: Report, delta: ReportDelta): Report | undefined {
  if (base.session !== delta.session || base.sequence !== delta.base || base.boxId !== delta.boxId) return undefined;
  const { sequence, session, sentAt, boxId, occurrences, dropped, commandResults } = delta;
  const gone = new Set(delta.gone);
  const workloads = new Map<string, unknown>(
    base.workloads.flatMap((one) => (gone.has(one.id) ? [] : [[one.id, one]])),
  );
  for (const { id, ...patch } of delta.workloads ?? []) {
    const held = workloads.get(id);
    workloads.set(id, { ...patchObject(typeof held === "object" && held !== null ? { ...held } : {}, patch), id });
  }
  const parsed = reportSchema.safeParse({
    ...patchObject(stateOf(base), delta.picture ?? {}),
    version: 1,
    sequence,
    session,
    sentAt,
    boxId,
    workloads: [...workloads.values()],
    occurrences,
    dropped,
    commandResults,
  });
  return parsed.success ? parsed.data : undefined;
}

/** What neither names the report nor has happened. */
function stateOf(report: Report): Readonly<Record<string, unknown>> {
  const {
    version: _version,
    sequence: _sequence,
    session: _session,
    sentAt: _sentAt,
    boxId: _boxId,
    workloads: _workloads,
    occurrences: _occurrences,
    dropped: _dropped,
    commandResults: _results,
    ...state
  } = report;
  return state;
}
