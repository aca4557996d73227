/** What every container, network and volume of a session says of whose it is. Engines never change them afterwards. */
export interface SessionMark {
  readonly boxId: string;
  readonly generation: number;
  /** 128 random bits, hexadecimal. */
  readonly nonce: string;
  readonly specHash: string;
}

/** A mark as it was found, and of which session. */
export interface FoundMark extends SessionMark {
  readonly workloadId: string;
}

export const STATE_DIR_LABEL = "sluice.state-dir";
export const WORKLOAD_LABEL = "sluice.workload";
const BOX_LABEL = "sluice.box";
const GENERATION_LABEL = "sluice.generation";
const NONCE_LABEL = "sluice.nonce";
const SPEC_LABEL = "sluice.spec";
/** Of a volume: `delete` when it goes with its session. */
export const ON_STOP_LABEL = "sluice.on-stop";

export interface LabelOwner {
  /** The state directory makes it ours, not the box id. */
  readonly stateDir: string;
  readonly boxId: string;
  readonly workloadId: string;
}

export function toOwnerLabels({ stateDir, boxId, workloadId }: LabelOwner): Record<string, string> {
  return { [STATE_DIR_LABEL]: stateDir, [BOX_LABEL]: boxId, [WORKLOAD_LABEL]: workloadId };
}

export function toMarkLabels(owner: LabelOwner, mark: SessionMark): Record<string, string> {
  return {
    ...toOwnerLabels(owner),
    [GENERATION_LABEL]: String(mark.generation),
    [NONCE_LABEL]: mark.nonce,
    [SPEC_LABEL]: `session/${mark.specHash}`,
  };
}

/** Undefined for labels that are not ours, or not whole. */
export function readMarkLabels(
  labels: Readonly<Record<string, string>> | null | undefined,
  stateDir: string,
): FoundMark | undefined {
  if (labels?.[STATE_DIR_LABEL] !== stateDir) return undefined;
  const { [WORKLOAD_LABEL]: workloadId, [BOX_LABEL]: boxId, [NONCE_LABEL]: nonce } = labels;
  const generation = Number(labels[GENERATION_LABEL]);
  const [kind, specHash] = (labels[SPEC_LABEL] ?? "").split("/");
  if (workloadId === undefined || boxId === undefined || nonce === undefined) return undefined;
  if (kind !== "session" || specHash === undefined || !Number.isSafeInteger(generation) || generation < 0) {
    return undefined;
  }
  return { boxId, workloadId, generation, nonce, specHash };
}
