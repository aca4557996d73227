import type { SessionRunSpec } from "./session-spec.ts";
import { maskUrl } from "./stream-secrets.ts";
import type { StreamSpec } from "./stream-spec.ts";
import type { TunnelSpec } from "./tunnel-spec.ts";
import type { Workload } from "./workload.ts";

/** What a workload does in one line for people, secrets masked. */
export function describeWorkload(workload: Workload): string {
  switch (workload.kind) {
    case "stream":
      return describeStream(workload.spec);
    case "tunnel":
      return describeTunnel(workload.spec);
    case "session":
      return describeSession(workload.spec);
  }
}

/** `rtsp://cam/1 → rtmp://host/live/***` */
export function describeStream({ input, outputs }: StreamSpec): string {
  return `${maskUrl(input.url, "input")} → ${outputs.map(({ url }) => maskUrl(url, "output")).join(", ")}`;
}

/** Legs that are named before the rest is only counted: a tunnel may have a hundred. */
const NAMED_LEGS = 3;

/** `tunnel t-1, consumer's end: 127.0.0.1:5100 → 198.51.100.7:20000` */
export function describeTunnel({ uid, role, legs }: TunnelSpec): string {
  const named = legs
    .slice(0, NAMED_LEGS)
    .map(
      ({ listen, connect }) =>
        `${formatPoint(listen.address, listen.port)} → ${formatPoint(connect.host, connect.port)}`,
    );
  const more = legs.length > NAMED_LEGS ? [`${legs.length - NAMED_LEGS} more`] : [];
  return `tunnel ${uid}, ${role}'s end: ${[...named, ...more].join(", ")}`;
}

/** `nginx:1.27 for anna, ports 80`; of a plain command the program alone, for its arguments may hold anything. */
export function describeSession({ user, template: { image, command, ports = [] } }: SessionRunSpec): string {
  const what = image ?? command?.[0] ?? "";
  const open =
    ports.length === 0 ? "" : `, port${ports.length > 1 ? "s" : ""} ${ports.map(({ port }) => port).join(", ")}`;
  return `${what} for ${user}${open}`;
}

/** `127.0.0.1:5100`, `[::1]:5100` */
export function formatPoint(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
