import { AppError } from "../base/errors.ts";
import { parseBytes, parseCores } from "../contract/quantity.ts";
import type { SessionRunSpec, SessionVolume } from "../contract/session-spec.ts";
import type { SessionWorkload } from "../contract/workload.ts";
import { ON_STOP_LABEL, type SessionMark, toMarkLabels, toOwnerLabels } from "./container-labels.ts";

/** What an engine is told of a session: bodies for the Docker Engine API v1.41, which Podman takes too. Pure. */

export interface ContainerBox {
  readonly engine: "docker" | "podman";
  /** Real path of the state directory. */
  readonly stateDir: string;
  /** Where ports can be reached that name no address: `sessions.address`. */
  readonly address: string;
  /** The driver that keeps output where a container asks for none; "" where the engine does not tell. */
  readonly logDriver: string;
}

export interface ContainerRequest {
  readonly name: string;
  readonly network: NamedBody;
  readonly volumes: readonly NamedBody[];
  readonly container: Readonly<Record<string, unknown>>;
  /** Those of its settings that can be changed while it runs. */
  readonly limits: ContainerLimits;
}

export type NamedBody = Readonly<Record<string, unknown>> & { readonly Name: string };

export interface ContainerLimits {
  readonly NanoCpus?: number;
  readonly Memory?: number;
  readonly MemorySwap?: number;
}

/** More processes and threads than any application needs, fewer than a box dies of. */
const PIDS_LIMIT = 4096;
/** What is kept of a container's output on the box's disk; the agent reads it as it comes. */
const LOG_OPTIONS = { "max-size": "10m", "max-file": "3" } as const;
/** For who stops it by hand; the agent climbs a ladder of its own. */
const STOP_TIMEOUT_SECONDS = 10;

export function containerName(workloadId: string): string {
  return `sluice-${workloadId}`;
}

export function volumeName(workloadId: string, name: string): string {
  return `sluice-${workloadId}-${name}`;
}

/** Throws `invalid` or `unsupported` for what this engine cannot be asked for. */
export function toContainerRequest(workload: SessionWorkload, mark: SessionMark, box: ContainerBox): ContainerRequest {
  const { id, spec } = workload;
  const { image, command, args = [], workingDirectory } = spec.template;
  if (image === undefined) {
    throw new AppError("invalid", "template.image: absent; allowed: the image that the container is made of", {
      field: "template.image",
    });
  }
  const owner = { stateDir: box.stateDir, boxId: mark.boxId, workloadId: id };
  const name = containerName(id);
  const limits = toContainerLimits(workload.resources);
  return {
    name,
    network: { Name: name, Driver: "bridge", CheckDuplicate: true, Labels: toOwnerLabels(owner) },
    volumes: (spec.volumes ?? [])
      .filter(({ hostPath }) => hostPath === undefined)
      .map(({ name: part, onStop = "keep" }) => ({
        Name: volumeName(id, part),
        Driver: "local",
        Labels: { ...toOwnerLabels(owner), [ON_STOP_LABEL]: onStop },
      })),
    container: {
      Image: image,
      // With an entry point of its own nothing of the image's command is left.
      ...(command === undefined ? {} : { Entrypoint: command, Cmd: args }),
      ...(command === undefined && args.length > 0 ? { Cmd: args } : {}),
      Env: Object.entries({ USER: spec.user, SESSION_ID: id, ...spec.template.env }).map(
        ([variable, value]) => `${variable}=${value}`,
      ),
      ...(workingDirectory === undefined ? {} : { WorkingDir: workingDirectory }),
      Labels: toMarkLabels(owner, mark),
      ExposedPorts: Object.fromEntries(portKeys(spec).map(({ key }) => [key, {}])),
      StopTimeout: STOP_TIMEOUT_SECONDS,
      HostConfig: {
        ...limits,
        PidsLimit: PIDS_LIMIT,
        NetworkMode: name,
        PortBindings: toPortBindings(spec, box),
        Mounts: (spec.volumes ?? []).map((volume) => toMount(id, volume)),
        // The agent restarts; two who do would fight.
        RestartPolicy: { Name: "no" },
        SecurityOpt: ["no-new-privileges"],
        ...toLogConfig(box),
        ...toDevices(spec, box),
      },
    },
    limits,
  };
}

export function toContainerLimits(resources: SessionWorkload["resources"]): ContainerLimits {
  const cores = resources?.cpu === undefined ? undefined : parseCores(resources.cpu);
  const bytes = resources?.memory === undefined ? undefined : parseBytes(resources.memory);
  return {
    ...(cores === undefined ? {} : { NanoCpus: Math.round(cores * 1e9) }),
    // Memory and swap together: what is beyond the limit is not swapped out instead.
    ...(bytes === undefined ? {} : { Memory: bytes, MemorySwap: bytes }),
  };
}

function portKeys({ template }: SessionRunSpec) {
  return (template.ports ?? []).map((port) => ({ ...port, key: `${port.port}/${port.protocol ?? "tcp"}` }));
}

function toPortBindings(spec: SessionRunSpec, box: ContainerBox): Record<string, readonly object[]> {
  const bindings: Record<string, object[]> = {};
  for (const { key, address = box.address, hostPort } of portKeys(spec)) {
    bindings[key] ??= [];
    bindings[key].push({ HostIp: address, HostPort: hostPort === undefined ? "" : String(hostPort) });
  }
  return bindings;
}

/** Mounts, not binds: a directory of the box that is not there is an error, and is not made. */
function toMount(workloadId: string, { name, path, hostPath, readOnly = false }: SessionVolume): object {
  return hostPath === undefined
    ? { Type: "volume", Source: volumeName(workloadId, name), Target: path, ReadOnly: readOnly }
    : { Type: "bind", Source: hostPath, Target: path, ReadOnly: readOnly };
}

/** Which driver keeps output is the engine's affair; what it would keep without end gets an end. */
function toLogConfig({ engine, logDriver }: ContainerBox): object {
  // Podman does not tell its driver here, and takes options for whichever it is.
  if (engine === "podman") return { LogConfig: { Type: "", Config: { "max-size": LOG_OPTIONS["max-size"] } } };
  return logDriver === "json-file" ? { LogConfig: { Type: logDriver, Config: LOG_OPTIONS } } : {};
}

function toDevices({ gpus }: SessionRunSpec, { engine }: ContainerBox): object {
  if (gpus === undefined) return {};
  if (engine === "podman") {
    throw new AppError("unsupported", `gpus: ${gpus}; Podman gives none through this API; allowed: platform docker`, {
      field: "gpus",
    });
  }
  return { DeviceRequests: [{ Driver: "", Count: gpus, Capabilities: [["gpu"]] }] };
}
