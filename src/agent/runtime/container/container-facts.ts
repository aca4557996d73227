import { type FoundMark, readMarkLabels } from "../../../translate/container-labels.ts";
import type { ContainerDetails } from "../engine-api/engine-answers.ts";
import type { ProcessExit, RunEndpoint } from "../run-handle.ts";

/** What an engine's word on a container means here. Pure. */
export interface ContainerFacts {
  readonly id: string;
  /** Absent: it is not ours. */
  readonly mark: FoundMark | undefined;
  /** `fresh`: made and never started; `over`: it ended and can be started again; `dead`: it can only be removed. */
  readonly phase: "fresh" | "running" | "frozen" | "over" | "dead";
  /** Of its first process, while it lives. */
  readonly pid: number | undefined;
  readonly startedAtWallMs: number;
  readonly endedAtWallMs: number;
  /** How it ended, where it has. */
  readonly exit: ContainerExit;
  readonly endpoints: readonly RunEndpoint[];
}

export type ContainerExit = Pick<ProcessExit, "code" | "signal" | "reason">;

export function toContainerFacts(details: ContainerDetails, stateDir: string): ContainerFacts {
  const { State: state } = details;
  return {
    id: details.Id,
    mark: readMarkLabels(details.Config.Labels, stateDir),
    phase: phaseOf(state),
    pid: state.Pid === undefined || state.Pid === 0 ? undefined : state.Pid,
    startedAtWallMs: wallMsOf(state.StartedAt),
    endedAtWallMs: wallMsOf(state.FinishedAt),
    exit: exitOf(state),
    endpoints: endpointsOf(details),
  };
}

export function isLive({ phase }: ContainerFacts): boolean {
  return phase === "running" || phase === "frozen";
}

function phaseOf(state: ContainerDetails["State"]): ContainerFacts["phase"] {
  // Podman says of a paused container that it does not run.
  if (state.Paused || state.Status === "paused") return "frozen";
  if (state.Running || state.Status === "stopping") return "running";
  if (state.Dead === true || state.Status === "dead" || state.Status === "removing") return "dead";
  return state.Status === "exited" || state.Status === "stopped" ? "over" : "fresh";
}

const SIGNAL_EXIT = 128;
const SIGNALS: Readonly<Record<number, NodeJS.Signals>> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  11: "SIGSEGV",
  13: "SIGPIPE",
  15: "SIGTERM",
};

/** Engines tell a signal as 128 and its number, as shells do. */
function exitOf({ Status, Dead, ExitCode, OOMKilled }: ContainerDetails["State"]): ContainerExit {
  const code = ExitCode ?? null;
  const signal = code === null ? null : (SIGNALS[code - SIGNAL_EXIT] ?? null);
  if (Status === "removing") return { code, signal, reason: "removed" };
  if (Dead === true || Status === "dead") return { code, signal, reason: "dead" };
  // A child may have been killed without harm: then the application has ended by itself, and well.
  return { code, signal, ...(OOMKilled === true && code !== 0 ? { reason: "oom-killed" } : {}) };
}

/** Zero for Docker's year 1: never. */
function wallMsOf(time: string | undefined): number {
  const ms = Date.parse(time ?? "");
  return Number.isNaN(ms) ? 0 : Math.max(0, ms);
}

function endpointsOf({ NetworkSettings }: ContainerDetails): readonly RunEndpoint[] {
  return Object.entries(NetworkSettings?.Ports ?? {}).flatMap(([key, bindings]) => {
    const [port, protocol] = key.split("/");
    return (bindings ?? []).flatMap(({ HostIp, HostPort }) => {
      const endpoint = {
        port: Number(port),
        protocol: protocol === "udp" ? "udp" : "tcp",
        hostPort: Number(HostPort),
      } as const;
      if (!Number.isInteger(endpoint.port) || !(endpoint.hostPort > 0)) return [];
      // Podman leaves out the address that stands for all.
      return [{ ...endpoint, address: HostIp === undefined || HostIp === "" ? "0.0.0.0" : HostIp }];
    });
  });
}
