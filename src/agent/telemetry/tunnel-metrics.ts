import type { WorkloadMetric } from "./workload-metric.ts";

/** Of tunnels' ends, from what `sluice status` tells of them. */
export const TUNNEL_METRICS: readonly WorkloadMetric[] = [
  {
    name: "sluice_tunnel_up",
    help: "1 while this end of the tunnel is proved",
    isCounter: false,
    read: ({ tunnel }) => (tunnel === undefined ? undefined : Number(tunnel.phase === "up")),
  },
  {
    name: "sluice_tunnel_latency_seconds",
    help: "Time of the last handshake with the other end",
    isCounter: false,
    read: ({ tunnel }) => (tunnel?.latencyMs === undefined ? undefined : tunnel.latencyMs / 1000),
  },
  {
    name: "sluice_tunnel_connections",
    help: "Open connections through this end",
    isCounter: false,
    read: ({ tunnel }) => tunnel?.connections,
  },
  {
    name: "sluice_tunnel_bytes_total",
    help: "Bytes that this process has carried, both ways together",
    isCounter: true,
    read: ({ tunnel }) => tunnel?.bytes,
  },
  {
    name: "sluice_tunnel_rate_bits",
    help: "Bits a second, over the last seconds",
    isCounter: false,
    read: ({ tunnel }) => tunnel?.bitsPerSecond,
  },
  {
    name: "sluice_tunnel_proof_timestamp_seconds",
    help: "When this end last attacked itself, in seconds since 1970",
    isCounter: false,
    read: ({ tunnel }) => (tunnel?.proof === undefined ? undefined : Date.parse(tunnel.proof.at) / 1000),
  },
];
