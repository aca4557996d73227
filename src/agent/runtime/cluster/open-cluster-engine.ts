import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../../base/clock.ts";
import { errnoOf } from "../../../base/errors.ts";
import { createHttpFetch, type HttpFetch, type HttpTrust } from "../../../base/http-fetch.ts";
import type { Log } from "../../../base/log.ts";
import type { LoopProgress } from "../../../base/progress-watch.ts";
import type { Random } from "../../../base/random.ts";
import { realPath } from "../../../base/real-path.ts";
import type { AgentOptions } from "../../../config/agent-options.ts";
import { ownerLabel } from "../../../translate/kubernetes-manifests.ts";
import { createAttendedEngine } from "../attended-engine.ts";
import type { SessionEngine } from "../workload-runtime.ts";

export interface ClusterOptions extends Omit<AgentOptions["sessions"]["kubernetes"], "kubeconfig"> {
  /** Absent: the service account of the pod that the agent runs in. */
  readonly kubeconfig: string | undefined;
  readonly boxId: string;
  readonly stateDir: string;
}

export interface OpenClusterDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly progress: LoopProgress;
  /** Ends the watching, not the sessions. */
  readonly signal: AbortSignal;
  readonly createFetch?: (trust: HttpTrust) => HttpFetch;
}

/** Every pod has it that was not told otherwise. */
const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/** A Kubernetes cluster as an engine of sessions. A box that has no way to one loads and holds nothing of it. */
export function openClusterEngine(options: ClusterOptions, deps: OpenClusterDeps): SessionEngine {
  const { kubeconfig, boxId, stateDir: directory, ...settings } = options;
  const stateDir = realPath(directory);
  const file = kubeconfig ?? join(SERVICE_ACCOUNT, "token");
  const title = `Kubernetes (${kubeconfig ?? "service account"}, namespace ${settings.namespace})`;
  return createAttendedEngine(
    {
      name: "kubernetes",
      place: title,
      // Nobody has it by default.
      isNamed: true,
      absence: () => {
        try {
          accessSync(file, constants.R_OK);
          return undefined;
        } catch (thrown) {
          const isAbsent = errnoOf(thrown) === "ENOENT";
          return { reason: `${title}: ${file} ${isAbsent ? "is not there" : "is not for this user"}`, isAbsent };
        }
      },
      load: async () => {
        const [{ createClusterEngine }, { createClusterAccess }] = await Promise.all([
          import("./cluster-engine.ts"),
          import("../cluster-api/cluster-access.ts"),
        ]);
        const { clock, log, signal, createFetch = createHttpFetch } = deps;
        const access = createClusterAccess({ kubeconfig, serviceAccount: SERVICE_ACCOUNT }, { clock, createFetch });
        const owner = ownerLabel(boxId, stateDir);
        return createClusterEngine({ title, owner, place: { ...settings, stateDir } }, { clock, access, log, signal });
      },
    },
    deps,
  );
}
