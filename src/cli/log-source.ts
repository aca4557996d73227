import { AppError } from "../base/errors.ts";

export type LogSource =
  | { readonly kind: "local"; readonly id: string }
  | { readonly kind: "hub"; readonly box: string; readonly workload: string | undefined };

export interface LogWish {
  readonly names: readonly string[];
  /** `--local`, or a flag that says where the agent of this machine is. */
  readonly saysLocal: boolean;
  /** `--context`. */
  readonly saysHub: boolean;
  /** Somebody has logged in to a hub here, or the environment names one. */
  readonly knowsHub: boolean;
}

const OWN_LOG = "agent";

/**
 * Whose log `sluice logs` means: with a box, and where a hub is known, the box's through the hub; else that of this machine's own
 * agent. Throws `invalid` for what contradicts itself.
 */
export function chooseLogSource({ names, saysLocal, saysHub, knowsHub }: LogWish): LogSource {
  const [first, second] = names;
  if (saysLocal && saysHub) {
    throw new AppError("invalid", "--local: asks this machine's own agent, so it takes no --context", {
      field: "--local",
    });
  }
  if (saysLocal && second !== undefined) {
    throw new AppError("invalid", "--local: given a box too; allowed: the workload alone, for it is this machine's", {
      field: "--local",
    });
  }
  if (first === undefined && saysHub) {
    throw new AppError("invalid", "BOX: given nothing; allowed: a box of the hub that --context names", {
      field: "BOX",
    });
  }
  if (saysLocal || first === undefined) return { kind: "local", id: first ?? OWN_LOG };
  if (knowsHub || second !== undefined)
    return { kind: "hub", box: first, workload: second === OWN_LOG ? undefined : second };
  return { kind: "local", id: first };
}
