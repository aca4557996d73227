import type { LogComponent } from "../../base/log.ts";

const COMPONENT_OF_KIND: Readonly<Record<string, LogComponent>> = {
  stream: "STREAM",
  tunnel: "TUNNEL",
  session: "SESSION",
};

/** The component under which a kind of workload speaks in the log. */
export function componentOf(kind: string): LogComponent {
  return COMPONENT_OF_KIND[kind] ?? "RECONCILE";
}
