import type { LinkStatus } from "../../contract/local-status.ts";

export interface StatusLineFacts {
  readonly link: Pick<LinkStatus, "state">;
  readonly workloads: readonly { readonly state: string }[];
}

/** The agent in one line, for `systemctl status`: `2 workloads: 1 running, 1 waiting; link live`. Pure. */
export function statusLine({ link, workloads }: StatusLineFacts): string {
  const states = Map.groupBy(workloads, ({ state }) => state);
  const counts = [...states].sort().map(([state, those]) => `${those.length} ${state}`);
  const total = `${workloads.length} ${workloads.length === 1 ? "workload" : "workloads"}`;
  const text = link.state === "off" ? "not configured (set link.endpoint)" : `link ${link.state}`;
  return `${counts.length === 0 ? "no workloads" : `${total}: ${counts.join(", ")}`}; ${text}`;
}
