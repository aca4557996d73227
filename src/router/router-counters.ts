import type { EndReasonName } from "../contract/remote/end-reason.ts";

export type RelayDirection = "to_box" | "from_box";

/** Figures since the router's start. */
export interface RouterCounters {
  met(seconds: number): void;
  relayed(direction: RelayDirection, bytes: number): void;
  /** Of those that are `relayed`. */
  relayedOnLane(direction: RelayDirection, bytes: number): void;
  ended(reason: EndReasonName): void;
  /** A call that could not begin, by the name of its gRPC status. */
  refused(status: string): void;
  /** A reader that has not read for long: counted once for each time. */
  stalled(): void;
  render(gauges: RouterGauges): string;
}

export interface RouterGauges {
  readonly open: number;
  readonly waiting: number;
  readonly handedOn: number;
  /** Lanes on which both ends have met. */
  readonly lanes: number;
  readonly stalled: number;
  readonly connections: number;
  readonly isDraining: boolean;
}

const RENDEZVOUS_BOUNDS_SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Ends that are as they should be, and those that have a counter of their own, are no errors. */
const ERROR_OF_END: Partial<Record<EndReasonName, string>> = {
  "peer-lost": "PEER_LOST",
  "rendezvous-timeout": "RENDEZVOUS_TIMEOUT",
  replaced: "REPLACED",
  protocol: "PROTOCOL",
};

export function createRouterCounters(): RouterCounters {
  const bytes: Record<RelayDirection, number> = { to_box: 0, from_box: 0 };
  const laneBytes: Record<RelayDirection, number> = { to_box: 0, from_box: 0 };
  const errors = new Map<string, number>();
  const buckets = RENDEZVOUS_BOUNDS_SECONDS.map(() => 0);
  let rendezvous = { count: 0, sumSeconds: 0 };
  let expired = 0;
  let stalls = 0;
  const error = (code: string) => errors.set(code, (errors.get(code) ?? 0) + 1);

  return {
    met: (seconds) => {
      rendezvous = { count: rendezvous.count + 1, sumSeconds: rendezvous.sumSeconds + seconds };
      for (const [index, bound] of RENDEZVOUS_BOUNDS_SECONDS.entries()) {
        if (seconds <= bound) buckets[index] = (buckets[index] ?? 0) + 1;
      }
    },
    relayed: (direction, count) => {
      bytes[direction] += count;
    },
    relayedOnLane: (direction, count) => {
      laneBytes[direction] += count;
    },
    ended: (reason) => {
      const code = ERROR_OF_END[reason];
      if (code !== undefined) error(code);
      if (reason === "idle" || reason === "max-age") expired += 1;
    },
    refused: error,
    stalled: () => {
      stalls += 1;
    },
    render: (gauges) =>
      [
        ...family("sessions_active", "gauge", "Sessions with both sides", [["", gauges.open]]),
        ...family("sessions_waiting", "gauge", "Sessions with one side, which waits for the other", [
          ["", gauges.waiting],
        ]),
        ...family("calls_handed_on", "gauge", "Calls that pass to another router, which their tickets are for", [
          ["", gauges.handedOn],
        ]),
        ...family("lanes_active", "gauge", "Sessions whose ends have met on a lane, sealed from end to end", [
          ["", gauges.lanes],
        ]),
        ...family("streams_stalled", "gauge", "Sides that have not read for 30 s while something waits for them", [
          ["", gauges.stalled],
        ]),
        ...family("connections", "gauge", "Connections of clients, with and without HTTP/2", [
          ["", gauges.connections],
        ]),
        ...family("draining", "gauge", "1 while the router takes no new sessions", [["", gauges.isDraining ? 1 : 0]]),
        ...family("rendezvous_duration_seconds", "histogram", "From the first side to the second", [
          ...RENDEZVOUS_BOUNDS_SECONDS.map((bound, index): Sample => [`_bucket{le="${bound}"}`, buckets[index] ?? 0]),
          ['_bucket{le="+Inf"}', rendezvous.count],
          ["_sum", rendezvous.sumSeconds],
          ["_count", rendezvous.count],
        ]),
        ...family("bytes_total", "counter", "Bytes relayed, as gRPC messages with their prefixes, and those of lanes", [
          ['{direction="to_box"}', bytes.to_box],
          ['{direction="from_box"}', bytes.from_box],
        ]),
        ...family("lane_bytes_total", "counter", "Of the bytes relayed, those of lanes", [
          ['{direction="to_box"}', laneBytes.to_box],
          ['{direction="from_box"}', laneBytes.from_box],
        ]),
        ...family(
          "errors_total",
          "counter",
          "Calls that could not begin, by gRPC status, and sessions that broke, by reason",
          [...errors].map(([code, count]): Sample => [`{code="${code}"}`, count]),
        ),
        ...family(
          "flow_control_timeouts_total",
          "counter",
          "Times that a side did not read for 30 s; nothing is ended for it",
          [["", stalls]],
        ),
        ...family("sessions_expired_total", "counter", "Sessions ended for being idle or too old", [["", expired]]),
        "",
      ].join("\n"),
  };
}

type Sample = readonly [suffix: string, value: number];

function family(name: string, kind: string, help: string, samples: readonly Sample[]): string[] {
  const full = `router_grpc_${name}`;
  return [
    `# HELP ${full} ${help}`,
    `# TYPE ${full} ${kind}`,
    ...samples.map(([suffix, value]) => `${full}${suffix} ${value}`),
  ];
}
