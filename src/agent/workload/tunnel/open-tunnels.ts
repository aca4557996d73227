import { readFile } from "node:fs/promises";
import { createSocketTable } from "../../../base/socket-table.ts";
import type { Workload } from "../../../contract/workload.ts";
import type { AgentContext, Notices } from "../../agent-context.ts";
import type { OutputPump } from "../../reconcile/engine-deps.ts";
import type { Reconciler } from "../../reconcile/reconciler.ts";
import { processHandle } from "../../runtime/process/process-runtime.ts";
import { createStartMarks } from "../../start-marks/start-marks.ts";
import type { WorkloadDriver } from "../driver.ts";
import { ownKeyPath } from "./tunnel-files.ts";
import { shakeHands } from "./tunnel-handshake.ts";
import { createTunnelKeeper, type TunnelKeeper, type TunnelKeeperDeps } from "./tunnel-keeper.ts";
import { proveTunnel } from "./tunnel-proof.ts";

export interface TunnelParts extends Pick<TunnelKeeperDeps, "expected" | "isRefused" | "directoryOf" | "discard"> {
  readonly reconciler: () => Pick<Reconciler, "units" | "wake" | "hasten">;
  readonly pump: OutputPump;
  readonly driverOf: (kind: string) => WorkloadDriver | undefined;
}

/** The keeper of this box's tunnels. */
export function openTunnels(context: AgentContext, parts: TunnelParts, notices: Notices): TunnelKeeper {
  const { clock, logFor, options, spawner } = context;
  const { reconciler, pump, driverOf, ...rest } = parts;
  const marks = createStartMarks(options.files.stateDir);
  const goesThrough = (workload: Workload | undefined, uid: string) =>
    workload?.kind === "stream" && workload.spec.via === uid;
  return createTunnelKeeper(options.tunnels, {
    ...rest,
    clock,
    log: logFor("TUNNEL"),
    runProgram: spawner.runProgram,
    sockets: createSocketTable({ clock }),
    progress: context.progress.loop("tunnels"),
    prove: proveTunnel,
    checkPeer: async ({ spec, files, leg, isGlance }, signal) => {
      const { security } = spec;
      const path = security.kind === "cert" ? ownKeyPath(files, security.keyGeneration) : undefined;
      const own = path === undefined ? undefined : await readFile(path, "utf8").catch(() => undefined);
      return shakeHands({ spec, leg, own, isGlance }, { clock, signal });
    },
    unitOf: (workload) => {
      const unit = reconciler().units().get(workload.id);
      const handle = unit?.phase === "running" ? processHandle(unit.handle) : undefined;
      return {
        handle,
        isCurrent: unit !== undefined && unit.specHash === driverOf(workload.kind)?.specHash(workload),
        generation: unit?.generation ?? 0,
        isIdle: unit === undefined || unit.phase === "waiting",
        absence: handle === undefined ? unit?.cause : undefined,
      };
    },
    outputOf: (id) => {
      pump.flush(id);
      return pump.tail(id);
    },
    wake: () => reconciler().wake({ reason: "tunnel", isLoud: false }),
    onUp: (uid) => {
      const expected = rest.expected();
      reconciler().hasten(({ id }) => (goesThrough(expected.get(id), uid) ? 0 : undefined));
    },
    onPrepared: (id) => reconciler().hasten((unit) => (unit.id === id ? 0 : undefined)),
    onStarted: ({ id, spec: { uid } }, { mark: { nonce }, identity }) => {
      const at = new Date(clock.wallMs()).toISOString();
      void marks.open({ kind: "tunnel", id, uid, nonce, at, ...identity });
    },
    onChange: notices.changed,
    onOccurrence: notices.occurred,
  });
}
