/** Widths of the buckets that a box's figures are kept in, finest first, and how many of each. Pure. */
export type SeriesStep = "15s" | "1m" | "15m";

export const STEP_MS: Readonly<Record<SeriesStep, number>> = { "15s": 15_000, "1m": 60_000, "15m": 900_000 };
/** An hour of 15 s, a day of 1 min, thirty days of 15 min. */
export const STEP_KEPT: Readonly<Record<SeriesStep, number>> = { "15s": 240, "1m": 1440, "15m": 2880 };

/** One moment's figures of a box, by name: `node.cpu`, `cam-1/fps`. */
export interface Sample {
  /** Wall time in milliseconds. */
  readonly atMs: number;
  readonly values: Readonly<Record<string, number>>;
}

/** What a bucket came to. Each figure over the samples that had it. */
export interface Point {
  /** The bucket's start, wall time in milliseconds. */
  readonly atMs: number;
  readonly values: Readonly<Record<string, Figure>>;
}

export interface Figure {
  readonly mean: number;
  readonly min: number;
  readonly max: number;
}

/** Buckets that still fill, one for each step. */
export type Thinning = Readonly<Record<SeriesStep, OpenBucket | undefined>>;

export interface OpenBucket {
  readonly startMs: number;
  /** A row for each figure, not an object: this is read and written with every sample. */
  readonly sums: Readonly<Record<string, Sum>>;
}

type Sum = readonly [count: number, sum: number, min: number, max: number];

export interface ClosedPoint {
  readonly step: SeriesStep;
  readonly point: Point;
}

const STEPS: readonly SeriesStep[] = ["15s", "1m", "15m"];

/**
 * Takes samples in the order of their time; a bucket is closed by the first sample after it. A sample that is older than
 * a step's open bucket is left out of that step: what is closed stays as it is.
 */
export function thin(
  open: Thinning | undefined,
  samples: readonly Sample[],
): { readonly open: Thinning; readonly closed: readonly ClosedPoint[] } {
  const buckets: Record<SeriesStep, OpenBucket | undefined> = {
    "15s": open?.["15s"],
    "1m": open?.["1m"],
    "15m": open?.["15m"],
  };
  const closed: ClosedPoint[] = [];
  for (const sample of samples.toSorted((one, other) => one.atMs - other.atMs)) {
    for (const step of STEPS) {
      const startMs = Math.floor(sample.atMs / STEP_MS[step]) * STEP_MS[step];
      const bucket = buckets[step];
      if (bucket !== undefined && startMs < bucket.startMs) continue;
      if (bucket !== undefined && startMs > bucket.startMs) closed.push({ step, point: toPoint(bucket) });
      buckets[step] = addTo(bucket?.startMs === startMs ? bucket : { startMs, sums: {} }, sample);
    }
  }
  return { open: buckets, closed };
}

export function toPoint({ startMs, sums }: OpenBucket): Point {
  const figures = Object.entries(sums).map(([name, [count, sum, min, max]]): [string, Figure] => [
    name,
    { mean: sum / count, min, max },
  ]);
  return { atMs: startMs, values: Object.fromEntries(figures) };
}

/** Names come from boxes: a map, so that none of them means anything to JavaScript. */
function addTo(bucket: OpenBucket, sample: Sample): OpenBucket {
  const sums = new Map(Object.entries(bucket.sums));
  for (const [name, value] of Object.entries(sample.values)) {
    if (!Number.isFinite(value)) continue;
    const [count, sum, min, max] = sums.get(name) ?? [0, 0, value, value];
    sums.set(name, [count + 1, sum + value, Math.min(min, value), Math.max(max, value)]);
  }
  return { startMs: bucket.startMs, sums: Object.fromEntries(sums) };
}
