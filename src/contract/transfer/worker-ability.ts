/** What a worker says of itself in its heartbeat, because not every version and not every box can do it. `verify`: it hashes for comparisons. */
export const WORKER_ABILITIES = ["verify"] as const;
export type WorkerAbility = (typeof WORKER_ABILITIES)[number];
