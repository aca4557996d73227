import type { ContainerLimits } from "../../../translate/container-request.ts";
import type { ContainerDetails } from "../engine-api/engine-answers.ts";
import type { EngineClient } from "../engine-api/engine-client.ts";

export interface LimitWish {
  /** As the engine told of it last. */
  readonly details: Pick<ContainerDetails, "Id" | "HostConfig">;
  readonly limits: ContainerLimits;
}

/**
 * Gives a container other limits than those it was made with. Docker takes them at any time and keeps them; Podman only while it
 * runs and until it ends, and goes on telling the old ones. What was taken away stays until the next container: neither unsets any.
 */
export async function limitContainer(
  engine: "docker" | "podman",
  { details, limits }: LimitWish,
  client: Pick<EngineClient, "update" | "updateRunning">,
): Promise<void> {
  const { NanoCpus, Memory } = limits;
  const isAnother = (wanted: number | undefined, held = 0) => wanted !== undefined && wanted !== held;
  if (!isAnother(NanoCpus, details.HostConfig.NanoCpus) && !isAnother(Memory, details.HostConfig.Memory)) return;
  if (engine === "docker") await client.update(details.Id, limits);
  else await client.updateRunning(details.Id, toOciResources(limits));
}

const CPU_PERIOD_US = 100_000;

function toOciResources({ NanoCpus, Memory }: ContainerLimits): object {
  return {
    ...(Memory === undefined ? {} : { memory: { limit: Memory, swap: Memory } }),
    ...(NanoCpus === undefined
      ? {}
      : { cpu: { quota: Math.round((NanoCpus / 1e9) * CPU_PERIOD_US), period: CPU_PERIOD_US } }),
  };
}
