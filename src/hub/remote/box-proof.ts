import { AppError } from "../../base/errors.ts";
import { EARLY_PROOF_CAPABILITY } from "../../contract/remote/early-proof.ts";
import { REMOTE_COMMAND } from "../../contract/remote/offer.ts";
import type { Store } from "../store/store.ts";

/** By what operators know a box, and how they may prove themselves to it. */
export interface BoxProof {
  readonly key: string;
  readonly takesEarly: boolean;
}

/** As the box last said. Rejects with `unavailable` where it was never heard, and with `unsupported` where its agent takes no sessions. */
export async function boxProofOf(boxId: string, store: Pick<Store, "reports">): Promise<BoxProof> {
  const report = (await store.reports.get(boxId))?.report;
  const field = "box";
  if (report === undefined) {
    throw new AppError(
      "unavailable",
      `box ${boxId} was never heard, so nobody knows its key: try again once it is online`,
      { field },
    );
  }
  const { agentVersion, capabilities, remoteKey } = report;
  if (capabilities?.includes(`command:${REMOTE_COMMAND}`) !== true) {
    throw new AppError(
      "unsupported",
      `box ${boxId} runs sluice ${agentVersion}, which takes no remote sessions: upgrade its agent`,
      { field },
    );
  }
  if (remoteKey === undefined) {
    throw new AppError(
      "unsupported",
      `box ${boxId} (sluice ${agentVersion}) has told no key by which its operators know it: upgrade its agent, or see its log`,
      { field },
    );
  }
  return { key: remoteKey, takesEarly: capabilities.includes(EARLY_PROOF_CAPABILITY) };
}
