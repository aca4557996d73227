/**
 * What a worker says of itself in its heartbeat, because not every version and not every box can do it.
 * `verify`: it hashes for comparisons; `xattrs`,
 * `privileged-xattrs`: it reads and writes extended attributes, or also those that are for root alone.
 */
export const WORKER_ABILITIES = ["verify", "xattrs", "privileged-xattrs"] as const;
export type WorkerAbility = (typeof WORKER_ABILITIES)[number];
