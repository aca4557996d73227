import type { Workload } from "../../contract/workload.ts";

/** What a workload's spec says about how its health must be read. */
export interface WorkloadTraits {
  readonly hasFollowers: boolean;
  readonly writesFilesOnly: boolean;
  /** Its source comes in segments of some seconds each. */
  readonly sendsInBursts: boolean;
}

const UNKNOWN: WorkloadTraits = { hasFollowers: false, writesFilesOnly: false, sendsInBursts: false };

/** Asked for each second, of a spec that changes once a month. */
const known = new WeakMap<Workload, WorkloadTraits>();

export function traitsOf(workload: Workload | undefined): WorkloadTraits {
  if (workload === undefined) return UNKNOWN;
  const traits = known.get(workload) ?? readTraits(workload);
  known.set(workload, traits);
  return traits;
}

function readTraits(workload: Workload): WorkloadTraits {
  if (workload.kind !== "stream") return UNKNOWN;
  const { input, outputs } = workload.spec;
  return {
    hasFollowers: outputs.length > 1,
    writesFilesOnly: outputs.every(({ url }) => isFile(url)),
    sendsInBursts: /^https?:[^?#]*\.m3u8(?:[?#]|$)/i.test(input.url),
  };
}

function isFile(url: string): boolean {
  return url.startsWith("/") || url.toLowerCase().startsWith("file:");
}
