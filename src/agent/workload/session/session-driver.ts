import { mkdir } from "node:fs/promises";
import { describeSession } from "../../../contract/describe-spec.ts";
import { sessionSecrets } from "../../../contract/session-secrets.ts";
import type { SessionPort, SessionRunSpec } from "../../../contract/session-spec.ts";
import type { SessionWorkload } from "../../../contract/workload.ts";
import { type PlacedPort, toProcessLaunch } from "../../../translate/process-launch.ts";
import type { StopLadder } from "../../runtime/run-handle.ts";
import type { WorkloadDriver } from "../driver.ts";
import { specHash } from "../spec-hash.ts";
import type { PathLookup } from "../stream/file-root.ts";
import { admitSession, type SessionPolicy, sessionClaims } from "./session-admission.ts";
import { makeSessionDirectories } from "./session-directories.ts";
import { classifySessionExit } from "./session-exit.ts";
import type { SessionKeeper } from "./session-keeper.ts";

export interface SessionDriverOptions {
  readonly stateDir: string;
  readonly policy: SessionPolicy;
  /** Of ports that name none. */
  readonly address: string;
}

export interface SessionDriverDeps {
  readonly disk: PathLookup;
  readonly keeper: () => Pick<SessionKeeper, "choose" | "refuseCount" | "healthOf" | "launching">;
  readonly placePorts: (id: string, ports: readonly SessionPort[]) => Promise<readonly PlacedPort[]>;
}

/** What an application is given to put things in order: as long as container engines give it. */
export const SESSION_STOP_LADDER: StopLadder = [
  { signal: "SIGTERM", graceMs: 10_000, toGroup: false },
  { signal: "SIGKILL", graceMs: 3000, toGroup: true },
];

const START_DEADLINE_MS = 60_000;

export function createSessionDriver(
  { stateDir, policy, address }: SessionDriverOptions,
  deps: SessionDriverDeps,
): WorkloadDriver<SessionWorkload> {
  return {
    kind: "session",
    stopLadder: SESSION_STOP_LADDER,
    startDeadlineMs: START_DEADLINE_MS,
    admit: ({ id, spec }) => {
      const choice = deps.keeper().choose(id, spec);
      if ("refusal" in choice) return choice.refusal;
      const refusal = admitSession(spec, { platform: choice.platform, policy, disk: deps.disk });
      return refusal ?? deps.keeper().refuseCount(id);
    },
    specHash: ({ spec }) => sessionSpecHash(spec),
    claims: ({ spec }) => sessionClaims(spec, address),
    // A container has one name, and an application one set of files.
    mayOverlap: () => false,
    describe: ({ spec }) => describeSession(spec),
    secrets: ({ spec }) => sessionSecrets(spec),
    prepare: async (workload, { directory }, signal) => {
      const { id, spec } = workload;
      const { keeper } = deps;
      const choice = keeper().choose(id, spec);
      await keeper().launching(workload);
      if ("platform" in choice && choice.platform !== "process") return { engine: choice.platform, workload, signal };
      const { root, volumes } = await makeSessionDirectories(id, spec.volumes ?? [], { directory, stateDir });
      signal.throwIfAborted();
      const ports = await deps.placePorts(id, spec.template.ports ?? []);
      signal.throwIfAborted();
      const launch = toProcessLaunch(id, spec, { root, ports, volumes });
      await mkdir(launch.cwd, { recursive: true, mode: 0o700 });
      return launch;
    },
    openProbe: () => ({ sample: () => undefined, close: () => undefined }),
    healthOf: (id) => deps.keeper().healthOf(id),
    classifyExit: (exit, output, workload) => classifySessionExit(exit, output, workload?.spec.restart),
  };
}

/** Of what only a new start can take up. When it sleeps, ends and is started again is read as it goes. */
export function sessionSpecHash(spec: SessionRunSpec): string {
  const { user, platform, template, gpus } = spec;
  // What becomes of them at its stop is asked then.
  const volumes = spec.volumes?.map(({ onStop: _onStop, ...volume }) => volume);
  return specHash({ user, platform, template, volumes, gpus });
}
