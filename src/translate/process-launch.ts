import { join } from "node:path/posix";
import { formatPoint } from "../contract/describe-spec.ts";
import type { SessionPort, SessionRunSpec } from "../contract/session-spec.ts";

/** A session as a plain process of the box. Pure. */
export interface ProcessLaunch {
  readonly file: string;
  /** No shell sees them. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/** A port of a session, and where on the box it listens. */
export interface PlacedPort {
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  readonly address: string;
  readonly hostPort: number;
}

export interface ProcessPlace {
  /** Its own directory: what a container's root would be. */
  readonly root: string;
  /** In the order of the spec. */
  readonly ports: readonly PlacedPort[];
  /** By the volume's name: where its files are. */
  readonly volumes: Readonly<Record<string, string>>;
}

/** Tells the next agent, and whoever looks into `/proc`, where the ports are: `8080/tcp=127.0.0.1:21000,…`. */
export const PORTS_VARIABLE = "SLUICE_PORTS";

/**
 * `PORT` and `ADDRESS` say where the first port is to listen, `PORT_<NAME>` and `ADDRESS_<NAME>` each of them (of a port
 * without a name: its number), `SLUICE_VOLUME_<NAME>` where a volume is. The program listens there by itself.
 */
export function toProcessLaunch(id: string, spec: SessionRunSpec, place: ProcessPlace): ProcessLaunch {
  const { command = [], args = [], env = {}, ports = [], workingDirectory } = spec.template;
  const [file = "", ...first] = command;
  return {
    file,
    args: [...first, ...args],
    env: {
      HOME: place.root,
      ...env,
      USER: spec.user,
      SESSION_ID: id,
      ...portVariables(ports, place.ports),
      ...Object.fromEntries(
        Object.entries(place.volumes).map(([name, path]) => [`SLUICE_VOLUME_${variableOf(name)}`, path]),
      ),
    },
    cwd: insideRoot(place.root, workingDirectory ?? "/"),
  };
}

/** Where an absolute path of the application is on the box, as a root of its own would have it. */
export function insideRoot(root: string, path: string): string {
  return join(root, join("/", path)).replace(/(?<=.)\/$/, "");
}

function portVariables(ports: readonly SessionPort[], placed: readonly PlacedPort[]): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const [index, { address, hostPort }] of placed.entries()) {
    const { name, port = hostPort } = ports[index] ?? {};
    const suffix = variableOf(name ?? String(port));
    variables[`PORT_${suffix}`] = String(hostPort);
    variables[`ADDRESS_${suffix}`] = address;
    if (index > 0) continue;
    variables["PORT"] = String(hostPort);
    variables["ADDRESS"] = address;
  }
  if (placed.length > 0) variables[PORTS_VARIABLE] = formatPorts(placed);
  return variables;
}

function variableOf(name: string): string {
  return name.toUpperCase().replaceAll("-", "_");
}

function formatPorts(ports: readonly PlacedPort[]): string {
  return ports
    .map(({ port, protocol, address, hostPort }) => `${port}/${protocol}=${formatPoint(address, hostPort)}`)
    .join(",");
}

/** What `PORTS_VARIABLE` says; what cannot be read is left out. */
export function parsePorts(text: string): readonly PlacedPort[] {
  return text.split(",").flatMap((part) => {
    const [, port, protocol, address = "", hostPort] = /^(\d+)\/(tcp|udp)=(.+):(\d+)$/.exec(part) ?? [];
    if (protocol !== "tcp" && protocol !== "udp") return [];
    return [{ port: Number(port), protocol, address: address.replace(/^\[(.*)\]$/, "$1"), hostPort: Number(hostPort) }];
  });
}
