/** Why a workload that is expected does not run: it sleeps, or it has done its work. Neither is a failure. */
export type Rest = "hibernated" | "ended";
