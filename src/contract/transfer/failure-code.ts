/**
 * Why something of a transfer could not be done. `unreachable`: no endpoint of the other side answered; `fenced`: a later attempt
 * has it; `no-storage`: it is not mounted, or something else is; `corrupt`: bytes and hash differ; `source-changed`: it is not what was listed.
 */
export const TRANSFER_FAILURES = [
  "no-space",
  "no-storage",
  "read-only",
  "io",
  "denied",
  "source-changed",
  "not-found",
  "corrupt",
  "unreachable",
  "fenced",
  "cancelled",
  "unsupported",
] as const;
export type TransferFailureCode = (typeof TRANSFER_FAILURES)[number];
