import { AppError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { VolumeRule } from "../../../contract/session-spec.ts";
import { ON_STOP_LABEL, STATE_DIR_LABEL } from "../../../translate/container-labels.ts";
import { type ContainerRequest, toContainerRequest, volumeName } from "../../../translate/container-request.ts";
import type { ContainerDetails } from "../engine-api/engine-answers.ts";
import type { EngineClient } from "../engine-api/engine-client.ts";
import type { ProcessMark } from "../run-handle.ts";
import type { EngineLaunch } from "../workload-runtime.ts";
import { type ContainerFacts, isLive, toContainerFacts } from "./container-facts.ts";
import { limitContainer } from "./limit-container.ts";

export interface StartOptions {
  readonly engine: "docker" | "podman";
  readonly stateDir: string;
  readonly address: string;
  readonly logDriver: string;
}

export interface StartDeps {
  readonly client: EngineClient;
  readonly log: Log;
}

/**
 * Brings a session's container to life and resolves with what the engine says of it then. Every step looks first, so it goes on
 * wherever an earlier attempt, or another agent, was cut off: there is one name, and so never a second container.
 */
export async function startContainer(
  mark: ProcessMark,
  { workload, signal }: EngineLaunch,
  options: StartOptions,
  deps: StartDeps,
): Promise<ContainerFacts> {
  const { client, log } = deps;
  const request = toContainerRequest(workload, mark, options);
  const existing = await findOurs(request, mark, { options, client });
  const isReusable = existing !== undefined && existing.specHash === mark.specHash && existing.facts.phase !== "dead";
  if (isReusable && isLive(existing.facts)) {
    if (existing.facts.phase === "frozen") await client.unpause(existing.facts.id);
    return lookAgain(existing.facts.id, options, client);
  }
  // What is to be replaced goes only when there is something to replace it with.
  if (!isReusable)
    await ensureImage(workload.spec.template.image ?? "", { workloadId: workload.id, signal, client, log });
  signal.throwIfAborted();
  if (!isReusable && existing !== undefined) {
    const why = existing.facts.phase === "dead" ? "is dead" : "was made for other settings";
    log.info(`Removing container ${existing.facts.id.slice(0, 12)} of ${mark.workloadId}, which ${why}`);
    await client.remove(existing.facts.id);
  }
  const isNewNetwork = await ensureNetwork(request, options, client);
  for (const volume of request.volumes) await ensureVolume(volume, options, client);
  if (!isReusable) {
    const id = await client.create(request.name, request.container);
    await client.start(id);
    return lookAgain(id, options, client);
  }
  const { details, facts } = existing;
  if (isNewNetwork) await client.reconnect({ name: request.network.Name, containerId: facts.id });
  if (options.engine === "docker") await limitContainer(options.engine, { details, limits: request.limits }, client);
  await client.start(facts.id);
  if (options.engine === "podman") await limitContainer(options.engine, { details, limits: request.limits }, client);
  return lookAgain(facts.id, options, client);
}

interface Existing {
  readonly details: ContainerDetails;
  readonly facts: ContainerFacts;
  readonly specHash: string;
}

async function findOurs(
  { name }: ContainerRequest,
  { workloadId }: ProcessMark,
  { options, client }: { readonly options: StartOptions; readonly client: EngineClient },
): Promise<Existing | undefined> {
  const details = await client.inspect(name);
  if (details === undefined) return undefined;
  const facts = toContainerFacts(details, options.stateDir);
  if (facts.mark?.workloadId === workloadId) return { details, facts, specHash: facts.mark.specHash };
  const owner = details.Config.Labels?.[STATE_DIR_LABEL];
  const whose = owner === undefined ? "Sluice did not make" : `belongs to the agent with its state in ${owner}`;
  throw new AppError(
    "conflict",
    `the name ${name} is taken by container ${facts.id.slice(0, 12)}, which ${whose}; remove or rename it`,
  );
}

async function lookAgain(id: string, options: StartOptions, client: EngineClient): Promise<ContainerFacts> {
  const details = await client.inspect(id);
  if (details === undefined)
    throw new AppError("unavailable", `container ${id.slice(0, 12)} vanished while it was started`);
  return toContainerFacts(details, options.stateDir);
}

/** True when it had to be made. */
async function ensureNetwork(
  { network }: ContainerRequest,
  { stateDir }: StartOptions,
  client: EngineClient,
): Promise<boolean> {
  const ours = await client.networks({ [STATE_DIR_LABEL]: stateDir });
  if (ours.some(({ Name }) => Name === network.Name)) return false;
  await client.createNetwork(network);
  return true;
}

async function ensureVolume(
  volume: ContainerRequest["volumes"][number],
  { stateDir }: StartOptions,
  client: EngineClient,
): Promise<void> {
  const { Labels } = await client.createVolume(volume);
  if (Labels?.[STATE_DIR_LABEL] === stateDir) return;
  throw new AppError(
    "conflict",
    `the volume ${volume.Name} is there already and was not made by this agent; remove it`,
  );
}

interface ImageWish {
  readonly workloadId: string;
  readonly signal: AbortSignal;
  readonly client: EngineClient;
  readonly log: Log;
}

const MEGABYTE = 1e6;
/** Between two lines about one pull, in bytes that came. */
const TELL_EVERY_BYTES = 100 * MEGABYTE;

async function ensureImage(reference: string, { workloadId, signal, client, log }: ImageWish): Promise<void> {
  if (await client.hasImage(reference)) return;
  log.info(`Fetching image ${reference} for ${workloadId}`);
  let toldBytes = 0;
  await client.pull(reference, {
    signal,
    onProgress: ({ doneBytes, totalBytes }) => {
      if (doneBytes - toldBytes < TELL_EVERY_BYTES) return;
      toldBytes = doneBytes;
      const [done, total] = [doneBytes, totalBytes].map((bytes) => Math.round(bytes / MEGABYTE));
      log.info(`Fetching image ${reference} for ${workloadId}: ${done} of ${total} MB so far`);
    },
  });
}

/**
 * Everything of one session that its end leaves: its container, its network, and the volumes that go with it. `volumeRules`: what
 * was said last of a volume, by its name; what its label says is what was said when it was made.
 */
export async function removeSession(
  session: {
    readonly workloadId: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly volumeRules: ReadonlyMap<string, VolumeRule>;
  },
  client: EngineClient,
): Promise<void> {
  const { workloadId, labels, volumeRules } = session;
  const rules = new Map([...volumeRules].map(([name, rule]) => [volumeName(workloadId, name), rule]));
  for (const id of await client.containers(labels)) await client.remove(id);
  for (const { Id } of await client.networks(labels)) await client.removeNetwork(Id);
  for (const { Name, Labels } of await client.volumes(labels))
    if ((rules.get(Name) ?? Labels?.[ON_STOP_LABEL]) === "delete") await client.removeVolume(Name);
}
