/** How a launcher runs an agent (`write_launcher` in `scripts/bootstrap.sh`), for those who must start Node themselves. */
export const AGENT_ENVIRONMENT = { MALLOC_ARENA_MAX: "1", MALLOC_MMAP_THRESHOLD_: "32768" } as const;
export const AGENT_NODE_OPTIONS = ["--max-semi-space-size=1", "--heap-growing-percent=30", "--no-opt"] as const;
