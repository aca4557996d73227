/** Why two ends were parted at a router: `EndReason` of `router.proto`, in words. */
export const END_REASONS = [
  /** Both have closed in order. */
  "peer-done",
  /** One's connection broke: both may join again. */
  "peer-lost",
  "rendezvous-timeout",
  /** One has joined again: the newest wins. */
  "replaced",
  "idle",
  "max-age",
  "terminated",
  "draining",
  "protocol",
] as const;
export type EndReasonName = (typeof END_REASONS)[number];
