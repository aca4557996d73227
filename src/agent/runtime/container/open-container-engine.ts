import { accessSync, constants } from "node:fs";
import { AppError, errnoOf } from "../../../base/errors.ts";
import { realPath } from "../../../base/real-path.ts";
import { createAttendedEngine } from "../attended-engine.ts";
import type { EngineVersion } from "../engine-api/engine-client.ts";
import { toAwayError } from "../engine-api/engine-problem.ts";
import type { SessionEngine } from "../workload-runtime.ts";
import type { ContainerEngineDeps, ContainerEngineOptions } from "./container-engine-options.ts";

const TITLES = { docker: "Docker Engine", podman: "Podman" } as const;

/** Docker or Podman as an engine of sessions. A box without a socket that it may use loads and holds nothing of it. */
export function openContainerEngine(
  options: Omit<ContainerEngineOptions, "title">,
  deps: ContainerEngineDeps,
): SessionEngine {
  const whole = { ...options, stateDir: realPath(options.stateDir), title: TITLES[options.engine] };
  const place = `${whole.title} at ${whole.socketPath}`;
  return createAttendedEngine(
    {
      name: options.engine,
      place,
      isNamed: options.isNamed,
      absence: () => {
        try {
          // Who may not write to a socket may not connect to it.
          accessSync(whole.socketPath, constants.W_OK);
          return undefined;
        } catch (thrown) {
          const isAbsent = errnoOf(thrown) === "ENOENT";
          const reason = isAbsent ? `${place}: nothing listens there` : toAwayError(thrown, whole).message;
          return { reason, isAbsent };
        }
      },
      load: async () => {
        const { createContainerEngine } = await import("./container-engine.ts");
        const engine = createContainerEngine(whole, deps);
        let version: EngineVersion | undefined;
        return {
          ...engine,
          version: async (limitMs, signal) => {
            version = await engine.client.version(limitMs, signal);
            return version.version;
          },
          start: async (mark, launch) => {
            if (version === undefined) throw new AppError("unavailable", `${place}: not asked yet`);
            return engine.start(mark, launch, version);
          },
        };
      },
    },
    deps,
  );
}
