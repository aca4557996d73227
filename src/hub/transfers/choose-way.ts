import type { Dial } from "../../contract/transfer/assignment.ts";
import type { PoolMember } from "./choose-workers.ts";
import type { Worker } from "./worker-record.ts";

/** A way that did not lead from one worker to the other, and is not tried again before then. */
export interface GivenUp {
  readonly way: Dial;
  readonly reason: string;
  /** Monotonic. */
  readonly atMs: number;
  readonly untilMs: number;
  readonly times: number;
}

export interface WayFacts {
  readonly destination: Worker;
  readonly sources: readonly PoolMember[];
  /** Who has the source as what it can copy from without any other worker. */
  readonly holders: readonly PoolMember[];
  /** Why the hub has no router for it; nothing: it has. */
  readonly routerProblem: string | undefined;
  readonly givenUp: readonly GivenUp[];
  readonly nowMs: number;
}

export type WayChoice =
  | { readonly way: "local" }
  | { readonly way: Dial; readonly sources: readonly PoolMember[] }
  | { readonly problem: string };

/**
 * Pure. Who has both sides copies between them, over no network; else the destination dials, else the source, else both meet in a
 * router. What was given up lately comes last, and of that what was given up first. `sources`: those to which this way may lead.
 */
export function chooseWay({ destination, sources, holders, routerProblem, givenUp, nowMs }: WayFacts): WayChoice {
  const { heartbeat: own } = destination;
  if (holders.some(({ worker }) => worker.id === destination.id)) return { way: "local" };
  const mayDial = own.ways.includes("direct");
  const direct = sources.filter(({ worker }) => worker.heartbeat.ways.includes("direct"));
  const listening = direct.filter(({ worker }) => worker.heartbeat.data_plane_endpoints.length > 0);
  const routed = sources.filter(({ worker }) => isRouted(worker));
  const isRoutable = routerProblem === undefined && isRouted(destination) && routed.length > 0;
  const possible: readonly { readonly way: Dial; readonly sources: readonly PoolMember[] }[] = [
    ...(mayDial && listening.length > 0 ? [{ way: "destination" as const, sources: listening }] : []),
    ...(mayDial && own.data_plane_endpoints.length > 0 && direct.length > 0
      ? [{ way: "source" as const, sources: direct }]
      : []),
    ...(isRoutable ? [{ way: "router" as const, sources: routed }] : []),
  ];
  const rankOf = (way: Dial) => {
    const given = givenUp.find((one) => one.way === way);
    return given === undefined || given.untilMs <= nowMs ? Number.NEGATIVE_INFINITY : given.atMs;
  };
  let best: (typeof possible)[number] | undefined;
  for (const one of possible) if (best === undefined || rankOf(one.way) < rankOf(best.way)) best = one;
  return best ?? { problem: whyNone(destination, { sources, routed, routerProblem }) };
}

/** Without a certificate nobody would know who is met there. */
function isRouted({ heartbeat }: Worker): boolean {
  return heartbeat.ways.includes("router") && heartbeat.certificate_sha256 !== undefined;
}

function whyNone(
  destination: Worker,
  {
    sources,
    routed,
    routerProblem,
  }: {
    readonly sources: readonly PoolMember[];
    readonly routed: readonly PoolMember[];
    readonly routerProblem: string | undefined;
  },
): string {
  const names = sources.map((member) => member.worker.id).join(", ");
  const direct = `neither ${destination.id} nor ${names} can dial the other (transfer.listen, transfer.ways)`;
  const mayNot = !isRouted(destination) ? destination.id : routed.length === 0 ? names : undefined;
  if (mayNot !== undefined) return `${direct}, and ${mayNot} may not use a router (transfer.ways)`;
  return `${direct}, and ${routerProblem ?? "there is no router"}`;
}
