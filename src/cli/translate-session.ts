import { AppError } from "../base/errors.ts";
import type { SessionPlatformName, SessionSpec } from "../contract/session-spec.ts";
import { sessionWorkload } from "../contract/session-workload.ts";
import type { SessionWorkload } from "../contract/workload.ts";
import { toContainerRequest } from "../translate/container-request.ts";
import { type ClusterPlace, toKubernetesManifests } from "../translate/kubernetes-manifests.ts";
import { toProcessLaunch } from "../translate/process-launch.ts";

/** What stands for what only a box knows. */
const STATE_DIR = "<state directory>";
const MARK = { boxId: "<box>", generation: 1, nonce: "<nonce>", specHash: "<hash of the spec>" };

export interface TranslationBox {
  /** Where ports can be reached that name no address. */
  readonly address: string;
  /** The first port that the box would give where none is asked for. */
  readonly firstPort: number;
  readonly cluster: Omit<ClusterPlace, "stateDir">;
}

/** What a platform would be asked for. Pure. Throws `invalid` and `unsupported` as the translations do. */
export function translateSession(session: SessionSpec, platform: SessionPlatformName, box: TranslationBox): unknown {
  const workload = sessionWorkload(session);
  switch (platform) {
    case "docker":
    case "podman":
      return toContainerRequest(workload, MARK, {
        engine: platform,
        stateDir: STATE_DIR,
        address: box.address,
        logDriver: platform === "docker" ? "json-file" : "",
      });
    case "process":
      return translateProcess(workload, box);
    case "kubernetes":
      return toKubernetesManifests(workload, MARK, { ...box.cluster, stateDir: STATE_DIR });
  }
}

function translateProcess({ id, spec }: SessionWorkload, { address, firstPort }: TranslationBox): unknown {
  if (spec.template.command === undefined) {
    throw new AppError("invalid", "template.command: absent; allowed with the platform process: a program", {
      field: "template.command",
    });
  }
  const root = `${STATE_DIR}/workloads/${id}/root`;
  let next = firstPort;
  const ports = (spec.template.ports ?? []).map((port) => ({
    port: port.port,
    protocol: port.protocol ?? ("tcp" as const),
    address: port.address ?? address,
    hostPort: port.hostPort ?? next++,
  }));
  const volumes = Object.fromEntries(
    (spec.volumes ?? []).map(({ name, hostPath, onStop = "keep" }) => {
      const own = onStop === "keep" ? `volumes/${id}/${name}` : `workloads/${id}/volumes/${name}`;
      return [name, hostPath ?? `${STATE_DIR}/${own}`];
    }),
  );
  return toProcessLaunch(id, spec, { root, ports, volumes });
}
