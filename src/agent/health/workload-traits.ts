import type { Workload } from "../../contract/workload.ts";

/** What a workload's spec says about how its health must be read. */
export interface WorkloadTraits {
  readonly hasFollowers: boolean;
  /** What it does is no proof of the network. */
  readonly isLocal: boolean;
  /** Its source comes in segments of some seconds each. */
  readonly sendsInBursts: boolean;
}

const UNKNOWN: WorkloadTraits = { hasFollowers: false, isLocal: false, sendsInBursts: false };

/** Asked for each second, of a spec that changes once a month. */
const known = new WeakMap<Workload, WorkloadTraits>();

export function traitsOf(workload: Workload | undefined): WorkloadTraits {
  if (workload === undefined) return UNKNOWN;
  const traits = known.get(workload) ?? readTraits(workload);
  known.set(workload, traits);
  return traits;
}

function readTraits(workload: Workload): WorkloadTraits {
  // Only the consumer's end goes out into the network.
  if (workload.kind === "session") return UNKNOWN;
  if (workload.kind === "tunnel") return { ...UNKNOWN, isLocal: workload.spec.role === "producer" };
  const { input, outputs } = workload.spec;
  return {
    hasFollowers: outputs.length > 1,
    isLocal: outputs.every(({ url }) => isFile(url)),
    sendsInBursts: /^https?:[^?#]*\.m3u8(?:[?#]|$)/i.test(input.url),
  };
}

function isFile(url: string): boolean {
  return url.startsWith("/") || url.toLowerCase().startsWith("file:");
}
