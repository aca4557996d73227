import type { Clock } from "../../../base/clock.ts";
import { AppError, messageOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { toContainerLimits } from "../../../translate/container-request.ts";
import type { EngineClient } from "../engine-api/engine-client.ts";
import type { ProcessMark, SessionRun, StopLadder, StopOutcome } from "../run-handle.ts";
import { type ContainerExit, isLive } from "./container-facts.ts";
import type { ContainerWatch, WatchedContainer } from "./container-watch.ts";
import { limitContainer } from "./limit-container.ts";

export interface RunParts {
  readonly platform: "docker" | "podman";
  readonly id: string;
  readonly mark: ProcessMark;
  readonly isAdopted: boolean;
  readonly watched: WatchedContainer;
}

export interface RunDeps {
  readonly client: Pick<
    EngineClient,
    "kill" | "pause" | "unpause" | "usage" | "output" | "inspect" | "update" | "updateRunning"
  >;
  readonly watch: Pick<ContainerWatch, "look">;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the trying, not the container. */
  readonly signal: AbortSignal;
}

/** Beyond the ladder's own time, for an engine that is away or slow. */
const PATIENCE_MS = 15_000;
const AGAIN_MS = 1000;
/** How often the end is asked for beside what events tell. */
const LOOK_MS = 500;
/** Until an end by SIGKILL is asked about once more. */
const REASON_MS = 300;
const SHOWN_ID = 12;

export function containerLabel(id: string): string {
  return `container ${id.slice(0, SHOWN_ID)}`;
}

export function createContainerRun(parts: RunParts, deps: RunDeps): SessionRun {
  const { id, watched, mark } = parts;
  const { client, clock } = deps;
  let isGone = false;
  let stopping: Promise<StopOutcome> | undefined;

  const exited = watched.gone.then(async (first) => {
    isGone = true;
    const atMonotonicMs = clock.monotonicMs();
    return { ...(await withReason(first)), isAdopted: parts.isAdopted, atMonotonicMs };
  });

  /** The engine learns of a kill at the memory limit by another way than of the end, and sometimes later. */
  const withReason = async (exit: ContainerExit): Promise<ContainerExit> => {
    if (exit.signal !== "SIGKILL" || exit.reason !== undefined || stopping !== undefined) return exit;
    await clock.delay(REASON_MS, deps.signal).catch(() => undefined);
    const later = await deps.watch.look(id).catch(() => undefined);
    return later === undefined || isLive(later) ? exit : later.exit;
  };

  /** After what was done: the engine's word on it, for whoever asks next. */
  const done = async (action: Promise<void>): Promise<void> => {
    await action;
    await deps.watch.look(id);
  };
  const goneWithin = async (ms: number): Promise<boolean> => {
    const untilMs = clock.monotonicMs() + ms;
    while (!isGone && clock.monotonicMs() < untilMs && !deps.signal.aborted) {
      const nap = clock.delay(Math.min(LOOK_MS, untilMs - clock.monotonicMs()), deps.signal).catch(() => undefined);
      await Promise.race([exited, nap]);
      // An event may be lost with its connection.
      if (!isGone) await deps.watch.look(id).catch(() => undefined);
    }
    return isGone;
  };

  /** Once the engine has taken it. One that is away is asked again until it is there. */
  const tell = async (signal: NodeJS.Signals): Promise<void> => {
    while (!isGone && !deps.signal.aborted) {
      try {
        // What is frozen takes no signal.
        if (watched.facts().phase === "frozen") await done(client.unpause(id));
        await client.kill(id, signal);
        return;
      } catch (thrown) {
        // It may have ended in between; what is not there is gone.
        const facts = await deps.watch.look(id).catch(() => undefined);
        if (isGone) return;
        if (facts === undefined) deps.log.warn(`${mark.workloadId} cannot be stopped yet: ${messageOf(thrown)}`);
        await clock.delay(AGAIN_MS, deps.signal).catch(() => undefined);
      }
    }
  };

  const climb = async (ladder: StopLadder): Promise<StopOutcome> => {
    for (const { signal, graceMs } of ladder) {
      await tell(signal);
      if (await goneWithin(graceMs)) return "gone";
    }
    return isGone ? "gone" : "unkillable";
  };

  /** Bounded, whatever the engine does; who does not answer in time is still told when it comes back. */
  const stopWithin = async (ladder: StopLadder): Promise<StopOutcome> => {
    const limitMs = ladder.reduce((sum, { graceMs }) => sum + graceMs, PATIENCE_MS);
    const climbing = climb(ladder).finally(() => {
      stopping = undefined;
    });
    const over = new AbortController();
    const late = clock.delay(limitMs, over.signal).then(
      (): StopOutcome => "unkillable",
      (): StopOutcome => "unkillable",
    );
    return Promise.race([climbing, late]).finally(() => over.abort());
  };

  return {
    label: containerLabel(id),
    platform: parts.platform,
    instance: id,
    mark,
    isAdopted: parts.isAdopted,
    exited,
    canFreeze: true,
    // Not a process of this box that could be read: what it uses is asked of the engine.
    stat: () => undefined,
    signal: (signal) => {
      if (isGone) return false;
      client.kill(id, signal).catch((thrown: unknown) => {
        deps.log.warn(`${mark.workloadId} did not get ${signal}: ${messageOf(thrown)}`);
      });
      return true;
    },
    // One ladder at a time.
    stop: (ladder) => {
      stopping ??= stopWithin(ladder);
      return stopping;
    },
    freeze: async () => {
      if (watched.facts().phase !== "frozen") await done(client.pause(id));
    },
    thaw: async () => {
      if (watched.facts().phase === "frozen") await done(client.unpause(id));
    },
    isFrozen: async () => {
      const facts = await deps.watch.look(id);
      if (facts === undefined) throw new AppError("not-found", `${containerLabel(id)} is gone`);
      return facts.phase === "frozen";
    },
    endpoints: async () => watched.facts().endpoints,
    limit: async (resources) => {
      const details = await client.inspect(id);
      if (details === undefined) return;
      // Podman tells the limits that it was made with.
      const HostConfig = parts.platform === "docker" ? details.HostConfig : {};
      const limits = toContainerLimits(resources);
      await limitContainer(parts.platform, { details: { Id: id, HostConfig }, limits }, client);
    },
    usage: () => client.usage(id).catch(() => undefined),
    output: {
      instance: id,
      read: async function* (sinceNs, signal) {
        yield* await client.output(id, sinceNs, signal);
      },
    },
    networkPid: () => watched.facts().pid,
  };
}
