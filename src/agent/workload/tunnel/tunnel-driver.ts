import type { RunProgram } from "../../../base/spawn.ts";
import { describeTunnel } from "../../../contract/describe-spec.ts";
import type { TunnelSpec } from "../../../contract/tunnel-spec.ts";
import type { TunnelWorkload } from "../../../contract/workload.ts";
import type { StopLadder } from "../../runtime/run-handle.ts";
import type { Claim, OwnHealth, WorkloadDriver } from "../driver.ts";
import { portClaim } from "../port-claim.ts";
import { specHash } from "../spec-hash.ts";
import { checkTunnelPorts } from "./port-check.ts";
import { admitTunnel, type TunnelPolicy } from "./tunnel-admission.ts";
import { classifyTunnelExit } from "./tunnel-exit.ts";
import { tunnelFiles } from "./tunnel-files.ts";
import { loadTunnelKey } from "./tunnel-keys.ts";
import { writeTunnelFiles } from "./write-tunnel-files.ts";

export interface TunnelDriverOptions {
  readonly stunnelPath: string;
  readonly policy: TunnelPolicy;
}

export interface TunnelDriverDeps {
  readonly runProgram: RunProgram;
  readonly healthOf: (id: string) => OwnHealth;
  /** A process is about to be launched that reads just this. */
  readonly onWritten: (id: string, spec: TunnelSpec) => void;
}

/** stunnel ends at once when it is asked to; connections end with it. */
export const TUNNEL_STOP_LADDER: StopLadder = [
  { signal: "SIGTERM", graceMs: 3000, toGroup: false },
  { signal: "SIGKILL", graceMs: 2000, toGroup: true },
];

/** stunnel reads its files and listens within some ten milliseconds. */
const START_DEADLINE_MS = 10_000;

export function createTunnelDriver(
  { stunnelPath, policy }: TunnelDriverOptions,
  deps: TunnelDriverDeps,
): WorkloadDriver<TunnelWorkload> {
  return {
    kind: "tunnel",
    stopLadder: TUNNEL_STOP_LADDER,
    startDeadlineMs: START_DEADLINE_MS,
    admit: ({ spec }) => admitTunnel(spec, policy),
    endsAtWallMs: ({ spec }) => (spec.endsAt === undefined ? undefined : Date.parse(spec.endsAt)),
    specHash: ({ spec }) => tunnelSpecHash(spec),
    claims: ({ spec }) => tunnelClaims(spec),
    // Both would want the same ports.
    mayOverlap: () => false,
    describe: ({ spec }) => describeTunnel(spec),
    secrets: ({ spec: { security } }) => ({
      values: security.kind === "psk" ? security.keys.map(({ secret }) => secret) : [],
      urls: [],
    }),
    prepare: async ({ id, spec }, { directory }, signal) => {
      const files = tunnelFiles(directory);
      const { uid, role, security } = spec;
      if (security.kind === "cert") {
        const { runProgram } = deps;
        await loadTunnelKey({ files, uid, role, generation: security.keyGeneration }, { runProgram, signal });
      }
      await checkTunnelPorts(spec);
      signal.throwIfAborted();
      await writeTunnelFiles(spec, files);
      deps.onWritten(id, spec);
      return { file: stunnelPath, args: [files.configPath], env: {} };
    },
    openProbe: () => ({ sample: () => undefined, close: () => undefined }),
    healthOf: deps.healthOf,
    classifyExit: classifyTunnelExit,
  };
}

/** Of what only a new process can take up. Keys and certificates are read again by the running one. */
export function tunnelSpecHash({ uid, role, legs, minTls, security: { kind } }: TunnelSpec): string {
  return specHash({ uid, role, legs, minTls, security: kind });
}

function tunnelClaims({ legs }: TunnelSpec): readonly Claim[] {
  return legs.map(({ listen }) => portClaim("tcp", listen.address, listen.port));
}
