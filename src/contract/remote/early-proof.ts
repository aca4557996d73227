import type { RemoteOperation } from "./operation.ts";

/** Among the capabilities of a box whose holders take a proof that was made before they have asked for it. */
export const EARLY_PROOF_CAPABILITY = "remote-proof:early";

/**
 * Of what a first attempt may be proved so: what a router can then put off until its operator has gone, while the ticket lasts, is what the
 * operator asked for, and no more. A terminal would let in whoever types. Pure.
 */
export function takesEarlyProof(operation: RemoteOperation, { isSealed }: { readonly isSealed: boolean }): boolean {
  return operation.kind === "exec" && !operation.pty && !isSealed;
}
