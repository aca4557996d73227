import { knownBoxes, seriesLog, thinnings } from "./box-documents.ts";
import { type Engine, keyOf, type Outcome, putOf } from "./engine.ts";
import { type Point, type Sample, type SeriesStep, STEP_KEPT, thin, toPoint } from "./thinning.ts";

/** Recent figures of each box, thinned with age: an hour of 15 s, a day of 1 min, thirty days of 15 min. Relaxed durability. */
export interface TelemetryStore {
  /**
   * Adds samples of a box, at most `SAMPLES_AT_ONCE`, each with at most `FIGURES_PER_SAMPLE` figures; more are left out.
   * A sample older than the buckets that still fill is left out; one further than a bucket in the future of `nowMs` too,
   * so that a wrong clock on a box cannot shut out its later samples. Its cost is one for each call, not for each sample: a
   * hub with thousands of boxes gathers a minute of each. Nothing is kept of a box that is not known.
   */
  append(boxId: string, samples: readonly Sample[], nowMs: number): Promise<void>;
  /** Points with `fromMs` ≤ time < `toMs`, oldest first, the one that still fills included. At most `limit`, the newest. */
  read(boxId: string, range: SeriesRange): Promise<readonly Point[]>;
}

export interface SeriesRange {
  readonly step: SeriesStep;
  readonly fromMs: number;
  readonly toMs: number;
  readonly limit: number;
}

export const SAMPLES_AT_ONCE = 240;
export const FIGURES_PER_SAMPLE = 2000;
const FUTURE_MS = 15_000;

export function createTelemetryStore(engine: Engine): TelemetryStore {
  return {
    append: (boxId, samples, nowMs) =>
      engine.transact([keyOf(knownBoxes, boxId), keyOf(thinnings, boxId)], ([isKnown, open]): Outcome<void> => {
        const usable = samples.filter(({ atMs }) => atMs >= 0 && atMs <= nowMs + FUTURE_MS).slice(-SAMPLES_AT_ONCE);
        if (isKnown === undefined || usable.length === 0) return { answer: undefined };
        const next = thin(open, usable.map(bounded));
        return {
          answer: undefined,
          puts: [putOf(keyOf(thinnings, boxId), next.open)],
          appends: next.closed.map(({ step, point }) => ({
            log: seriesLog(boxId, step),
            body: point,
            atMs: point.atMs,
            sequence: point.atMs + 1,
            keep: STEP_KEPT[step],
          })),
          durability: "relaxed",
        };
      }),
    read: async (boxId, { step, fromMs, toMs, limit }) => {
      // The open bucket first: one that is closed in between is then seen twice, never missed.
      const [open] = await engine.read([keyOf(thinnings, boxId)]);
      const entries = await engine.readLogBack(seriesLog(boxId, step), toMs + 1, limit);
      const bucket = open?.[step];
      const points = entries.map(({ body }) => body).toReversed();
      const last = points.at(-1);
      if (bucket !== undefined && (last === undefined || bucket.startMs > last.atMs)) points.push(toPoint(bucket));
      return points.filter(({ atMs }) => atMs >= fromMs && atMs < toMs).slice(-limit);
    },
  };
}

function bounded(sample: Sample): Sample {
  const values = Object.entries(sample.values);
  if (values.length <= FIGURES_PER_SAMPLE) return sample;
  return { ...sample, values: Object.fromEntries(values.slice(0, FIGURES_PER_SAMPLE)) };
}
