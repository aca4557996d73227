import type { Report } from "../../contract/report.ts";
import type { BoxHistory, Gap, Incident } from "../store/box-history.ts";

/** Pure. What a report tells of incidents and gaps. Times are the box's own and for display only; one that is no time is left out. */
export function historyOf(report: Report): Pick<BoxHistory, "incidents" | "gaps"> {
  const told = report.occurrences.flatMap(({ incident }) => (incident === undefined ? [] : [incident]));
  const incidents = [...told, ...(report.incidents ?? [])].flatMap(({ kind, cause, start, end }): Incident[] => {
    const span = spanOf(start, end);
    return span === undefined ? [] : [{ kind, cause, ...span }];
  });
  const ended = report.occurrences.flatMap(({ gap, workloadId }): Gap[] => {
    const span = gap === undefined ? undefined : spanOf(gap.start, gap.end);
    return gap === undefined || workloadId === undefined || span === undefined
      ? []
      : [{ workloadId, cause: gap.cause, ...span }];
  });
  const shown = report.workloads.flatMap(({ id, proof }) =>
    (proof?.gaps ?? []).flatMap(({ start, end, cause }): Gap[] => {
      const span = spanOf(start, end);
      return span === undefined ? [] : [{ workloadId: id, cause, ...span }];
    }),
  );
  return { incidents, gaps: [...ended, ...shown] };
}

function spanOf(start: string, end: string | undefined): { startMs: number; endMs?: number } | undefined {
  const startMs = Date.parse(start);
  if (Number.isNaN(startMs)) return undefined;
  const endMs = end === undefined ? Number.NaN : Date.parse(end);
  return Number.isNaN(endMs) ? { startMs } : { startMs, endMs };
}
