import type { Lab } from "./lab.ts";
import type { Peer } from "./peers/peer.ts";

/** One line of the table. */
export interface Row {
  readonly what: string;
  readonly unit: "ms" | "MB" | "%" | "/s" | "MB/s" | "s/GiB" | "s/GB" | "×" | "";
  /** One value for a figure that has no distribution. */
  readonly samples: readonly number[];
  readonly bar?: Bar;
  readonly peers?: readonly PeerFigure[];
}

export interface Bar {
  /** What is compared with `limit`. */
  readonly of: "p50" | "p95" | "p99" | "max";
  readonly limit: number;
  /** The figure must not be below it; else it must not be above. */
  readonly isFloor?: boolean;
}

/** The peer's figure of the same kind; the ratio is of medians. */
export interface PeerFigure {
  readonly name: string;
  readonly samples: readonly number[];
}

export interface MeasureContext {
  readonly lab: Lab;
  readonly signal: AbortSignal;
  readonly isLong: boolean;
  /** `--size`: of a large file; what the measurement finds right unless given. */
  readonly sizeMiB?: number;
  /** `--only`: what is named differently is left out. */
  readonly only?: string;
  /** `--count`: of small files; likewise. */
  readonly count?: number;
  /** Progress, for the person who waits. */
  readonly say: (text: string) => void;
  /** A line under the table. */
  readonly note: (text: string) => void;
  /** What could be had of the peers; what could not is said and makes the run incomplete. */
  readonly peers: (lab: Lab) => Promise<readonly Peer[]>;
  /** systemd alone; none where it cannot be booted, which is said and makes the run incomplete. */
  readonly systemd: (lab: Lab) => Promise<readonly Peer[]>;
}

export interface Measurement {
  readonly name: string;
  /** The whole of it, at most. */
  readonly limitMs: number;
  /** Takes long, or much room: a run of all leaves it out. */
  readonly isOnlyNamed?: boolean;
  readonly measure: (context: MeasureContext) => Promise<readonly Row[]>;
}
