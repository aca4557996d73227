import type { AgentStatus, LinkStatus } from "../../contract/local-status.ts";

export interface StatusLineFacts {
  readonly link: Pick<LinkStatus, "state">;
  readonly enrolment?: AgentStatus["enrolment"];
  readonly hold?: AgentStatus["hold"];
  readonly workloads: readonly { readonly state: string }[];
}

/** The agent in one line, for `systemctl status`: `2 workloads: 1 running, 1 waiting; link live`. Pure. */
export function statusLine({ workloads, ...uplink }: StatusLineFacts): string {
  const states = Map.groupBy(workloads, ({ state }) => state);
  const counts = [...states].sort().map(([state, those]) => `${those.length} ${state}`);
  const total = `${workloads.length} ${workloads.length === 1 ? "workload" : "workloads"}`;
  return `${counts.length === 0 ? "no workloads" : `${total}: ${counts.join(", ")}`}; ${uplinkText(uplink)}`;
}

function uplinkText({ link, enrolment, hold }: Omit<StatusLineFacts, "workloads">): string {
  if (enrolment?.state === "enrolling") return "not enrolled yet";
  if (link.state === "off") return "not configured (set link.endpoint)";
  return `link ${link.state}${hold === undefined ? "" : `, ${hold.reason}`}`;
}
