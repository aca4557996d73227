import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { readDatagramsOf, readSocketsOf } from "../../../base/local-sockets.ts";
import { createSocketTable } from "../../../base/socket-table.ts";
import type { SessionPlatformName } from "../../../contract/session-spec.ts";
import type { AgentContext, Notices } from "../../agent-context.ts";
import { observeWork } from "../../health/media-health.ts";
import type { Reconciler } from "../../reconcile/reconciler.ts";
import { unitsOf } from "../../reconcile/unit.ts";
import { openSessionFile } from "../../registry/session-file.ts";
import { sessionRun } from "../../runtime/run-handle.ts";
import type { EngineName, EngineStatus, SessionEngine } from "../../runtime/workload-runtime.ts";
import { accepts } from "./port-probe.ts";
import { toEndpoints } from "./session-endpoints.ts";
import { processStatus } from "./session-facts.ts";
import { createSessionKeeper, type SessionKeeper, type SessionKeeperDeps } from "./session-keeper.ts";

export interface SessionParts extends Pick<SessionKeeperDeps, "expected" | "isRefused" | "discard"> {
  readonly reconciler: () => Pick<Reconciler, "units" | "wake">;
  readonly engines: ReadonlyMap<EngineName, SessionEngine>;
  readonly directoryOf: (id: string) => string;
}

/** The keeper of this box's sessions. */
export function openSessions(context: AgentContext, parts: SessionParts, notices: Notices): SessionKeeper {
  const { clock, logFor, options } = context;
  const { reconciler, engines, directoryOf, ...rest } = parts;
  const log = logFor("SESSION");
  const sockets = createSocketTable({ clock });
  const { urlHost } = options.sessions;
  return createSessionKeeper(options.sessions, {
    ...rest,
    clock,
    log,
    progress: context.progress.loop("sessions"),
    accepts: (point) => accepts(point, clock),
    sockets: (networkPid) =>
      networkPid === undefined ? sockets.read({ maxAgeMs: SOCKETS_AGE_MS, needsV6: true }) : readSocketsOf(networkPid),
    datagrams: readDatagramsOf,
    tellEndpoints: (ports, placed) => toEndpoints(ports, placed, { urlHost, boxAddress }),
    openFile: (id) =>
      openSessionFile(join(directoryOf(id), "session.json"), {
        clock,
        log: logFor("REGISTRY"),
        signal: context.life,
      }),
    unitOf: (id) => {
      const unit = reconciler().units().get(id);
      const isRunning = unit?.phase === "running";
      return {
        run: isRunning ? sessionRun(unit.handle) : undefined,
        isIdle: unit === undefined || unitsOf(unit).every(({ phase }) => phase === "waiting"),
      };
    },
    platformStatus: platformStatusOf(options.policy.sessionCommands, engines),
    onReady: (id) => {
      const unit = reconciler().units().get(id);
      if (unit !== undefined) unit.health = observeWork(unit.health, true, 0);
    },
    wake: () => reconciler().wake({ reason: "session", isLoud: false }),
    onChange: notices.changed,
    onOccurrence: notices.occurred,
  });
}

/** How a platform stands that this box may use. */
export function platformStatusOf(
  sessionCommands: readonly string[],
  engines: ReadonlyMap<EngineName, Pick<SessionEngine, "status">>,
): (platform: SessionPlatformName) => EngineStatus {
  return (platform) => {
    if (platform === "process") return processStatus(sessionCommands);
    return engines.get(platform)?.status() ?? { isReady: false, reason: "this agent has no way to it" };
  };
}

/** Many sessions that look at about the same time share one reading. */
const SOCKETS_AGE_MS = 500;

function boxAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return (all.find(({ internal, family }) => !internal && family === "IPv4") ?? all.find(({ internal }) => !internal))
    ?.address;
}
