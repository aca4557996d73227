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
  const filling: Record<SeriesStep, Filling | undefined> = {
    "15s": fillingOf(open?.["15s"]),
    "1m": fillingOf(open?.["1m"]),
    "15m": fillingOf(open?.["15m"]),
  };
  const closed: ClosedPoint[] = [];
  for (const sample of samples.toSorted((one, other) => one.atMs - other.atMs)) {
    const figures = Object.entries(sample.values).filter(([, value]) => Number.isFinite(value));
    for (const step of STEPS) {
      const startMs = Math.floor(sample.atMs / STEP_MS[step]) * STEP_MS[step];
      const held = filling[step];
      if (held !== undefined && startMs < held.startMs) continue;
      if (held !== undefined && startMs > held.startMs) closed.push({ step, point: toPoint(bucketOf(held)) });
      const bucket = held?.startMs === startMs ? held : { startMs, sums: new Map<string, MutableSum>() };
      addTo(bucket, figures);
      filling[step] = bucket;
    }
  }
  const openOf = (step: SeriesStep) => (filling[step] === undefined ? undefined : bucketOf(filling[step]));
  return { open: { "15s": openOf("15s"), "1m": openOf("1m"), "15m": openOf("15m") }, closed };
}

type MutableSum = [count: number, sum: number, min: number, max: number];

/** A bucket while samples are added. Names come from boxes: a map, so that none of them means anything to JavaScript. */
interface Filling {
  readonly startMs: number;
  readonly sums: Map<string, MutableSum>;
}

function fillingOf(bucket: OpenBucket | undefined): Filling | undefined {
  if (bucket === undefined) return undefined;
  const { startMs, sums } = bucket;
  return { startMs, sums: new Map(Object.entries(sums).map(([name, [...sum]]) => [name, sum])) };
}

function bucketOf({ startMs, sums }: Filling): OpenBucket {
  return { startMs, sums: Object.fromEntries(sums) };
}

function addTo({ sums }: Filling, figures: readonly (readonly [name: string, value: number])[]): void {
  for (const [name, value] of figures) {
    const sum = sums.get(name);
    if (sum === undefined) sums.set(name, [1, value, value, value]);
    else {
      sum[0]++;
      sum[1] += value;
      sum[2] = Math.min(sum[2], value);
      sum[3] = Math.max(sum[3], value);
    }
  }
}

export function toPoint({ startMs, sums }: OpenBucket): Point {
  const figures = Object.entries(sums).map(([name, [count, sum, min, max]]): [string, Figure] => [
    name,
    { mean: sum / count, min, max },
  ]);
  return { atMs: startMs, values: Object.fromEntries(figures) };
}
