import { createHttpFetch } from "../../base/http-fetch.ts";
import type { Service } from "../../base/service.ts";
import type { AgentContext } from "../agent-context.ts";
import { openClusterEngine } from "./cluster/open-cluster-engine.ts";
import { openContainerEngine } from "./container/open-container-engine.ts";
import type { EngineHooks, EngineName, FoundRun, SessionEngine } from "./workload-runtime.ts";

export interface EngineParts extends Omit<EngineHooks, "onAppeared" | "isAwaited"> {
  /** Adopts what was found. */
  readonly takeIn: (found: readonly FoundRun[]) => void;
  /** An expected session waits for this one. */
  readonly isAwaited: (engine: EngineName) => boolean;
}

export interface OpenedEngines {
  readonly engines: ReadonlyMap<EngineName, SessionEngine>;
  readonly services: readonly Service[];
}

/** The engines that this box may use, whether or not they are there. */
export function openEngines(context: AgentContext, { takeIn, isAwaited, ...hooks }: EngineParts): OpenedEngines {
  const { clock, random, options, progress, logFor, life } = context;
  const { sessions, files } = options;
  const sockets = { docker: sessions.dockerSocket, podman: sessions.podmanSocket };
  const engines = new Map<EngineName, SessionEngine>();
  for (const engine of ["docker", "podman"] as const) {
    if (!sessions.platforms.includes(engine)) continue;
    const socketPath = sockets[engine];
    engines.set(
      engine,
      openContainerEngine(
        {
          engine,
          socketPath,
          isNamed: sessions.namedPlatforms.includes(engine),
          stateDir: files.stateDir,
          address: sessions.address,
        },
        {
          clock,
          random,
          fetch: createHttpFetch({ socketPath }),
          log: logFor("SESSION"),
          progress: progress.loop(engine),
          signal: life,
        },
      ),
    );
  }
  if (sessions.platforms.includes("kubernetes")) {
    engines.set(
      "kubernetes",
      openClusterEngine(
        { ...sessions.kubernetes, boxId: options.box.id, stateDir: files.stateDir },
        { clock, random, log: logFor("SESSION"), progress: progress.loop("kubernetes"), signal: life },
      ),
    );
  }
  return {
    engines,
    services: [...engines.values()].map((engine) => ({
      name: engine.name,
      run: (signal) =>
        engine.run(signal, {
          ...hooks,
          isAwaited: () => isAwaited(engine.name),
          onAppeared: async () => takeIn(await engine.sweep()),
        }),
    })),
  };
}
