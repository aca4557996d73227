import { AppError } from "../../../base/errors.ts";
import { createTurns } from "../../../base/turns.ts";
import { STATE_DIR_LABEL, WORKLOAD_LABEL } from "../../../translate/container-labels.ts";
import { createEngineClient, type EngineClient, type EngineVersion } from "../engine-api/engine-client.ts";
import type { ProcessMark, SessionRun } from "../run-handle.ts";
import type { EngineLaunch, FoundRun, RemovalRules } from "../workload-runtime.ts";
import type { ContainerEngineDeps, ContainerEngineOptions } from "./container-engine-options.ts";
import { type ContainerFacts, isLive } from "./container-facts.ts";
import { containerLabel, createContainerRun } from "./container-run.ts";
import { createContainerWatch } from "./container-watch.ts";
import { removeSession, startContainer } from "./start-container.ts";

/** One engine that is there: what it runs of this box's, and what is done to that. Loaded when its socket is first seen. */
export interface ContainerEngine {
  readonly client: EngineClient;
  start(mark: ProcessMark, launch: EngineLaunch, version: EngineVersion): Promise<SessionRun>;
  sweep(): Promise<readonly FoundRun[]>;
  /** Removes what this session has left, unless it is wanted again by then. */
  discard(workloadId: string, rules: RemovalRules): Promise<void>;
  /** The same for all that were discarded while nobody could be asked. */
  tidy(rules: RemovalRules): Promise<void>;
  /** Learns what happens to the containers until the connection ends, or `signal`. */
  follow(signal: AbortSignal): Promise<void>;
}

/** At boot the streams wait for it. */
const SWEEP_LIMIT_MS = 3000;
/** Between two looks at everything that is watched, whatever the events say. */
const LOOK_ALL_MS = 30_000;
const PING_MS = 5000;
const PING_LIMIT_MS = 5000;

export function createContainerEngine(options: ContainerEngineOptions, deps: ContainerEngineDeps): ContainerEngine {
  const { clock, log, signal: life } = deps;
  const { engine, title, socketPath, stateDir } = options;
  const client = createEngineClient({ title, socketPath }, deps);
  const watch = createContainerWatch({ stateDir }, client);
  const ours = { [STATE_DIR_LABEL]: stateDir };
  /** What is done to one session is done one after the other. */
  const inTurn = createTurns();

  const toRun = (facts: ContainerFacts, mark: ProcessMark, isAdopted: boolean): SessionRun =>
    createContainerRun(
      { platform: engine, id: facts.id, mark, isAdopted, watched: watch.watch(facts) },
      { client, watch, clock, log, signal: life },
    );

  /** Of this box's, whatever they do. */
  const look = async (limitMs?: number): Promise<readonly ContainerFacts[]> => {
    const ids = await client.containers(ours, limitMs);
    return (await Promise.all(ids.map((id) => watch.look(id, limitMs)))).filter((facts) => facts !== undefined);
  };

  const removeUnlessKept = (workloadId: string, { isKept, volumeRules }: RemovalRules): Promise<void> =>
    inTurn(workloadId, async () => {
      if (isKept(workloadId)) return;
      const labels = { ...ours, [WORKLOAD_LABEL]: workloadId };
      await removeSession({ workloadId, labels, volumeRules: volumeRules(workloadId) }, client);
    });

  return {
    client,
    start: (mark, launch, { logDriver }) =>
      inTurn(mark.workloadId, async () => {
        const facts = await startContainer(
          mark,
          launch,
          { engine, stateDir, address: options.address, logDriver },
          { client, log },
        );
        // What was woken keeps the mark that it was made with: labels are for ever.
        return toRun(facts, { ...mark, ...facts.mark }, false);
      }),
    sweep: async () =>
      (await look(SWEEP_LIMIT_MS)).flatMap((facts): readonly FoundRun[] => {
        const { mark } = facts;
        const isOver = facts.phase === "over" || facts.phase === "dead";
        if (mark === undefined || (!isLive(facts) && !isOver)) return [];
        return [
          {
            label: containerLabel(facts.id),
            mark: { ...mark, kind: "session" },
            engine,
            isLeader: true,
            order: facts.startedAtWallMs,
            ...(isOver ? { endedAtWallMs: facts.endedAtWallMs } : {}),
            adopt: () => toRun(facts, { ...mark, kind: "session" }, true),
          },
        ];
      }),
    discard: removeUnlessKept,
    tidy: async (rules) => {
      const found = await look();
      const live = new Set(found.filter(isLive).map(({ mark }) => mark?.workloadId));
      const ids = new Set(found.flatMap(({ mark }) => mark?.workloadId ?? []));
      for (const { Labels } of [...(await client.networks(ours)), ...(await client.volumes(ours))]) {
        const id = Labels?.[WORKLOAD_LABEL];
        if (id !== undefined) ids.add(id);
      }
      // What runs is stopped first, by who stops things.
      for (const id of ids) if (!live.has(id)) await removeUnlessKept(id, rules);
    },
    follow: async (signal) => {
      const over = new AbortController();
      const stop = AbortSignal.any([signal, over.signal]);
      const events = await client.events(ours, stop);
      // Only what happens from here on is told.
      await watch.lookAll();
      const reading = (async () => {
        for await (const { containerId } of events) {
          if (watch.isWatched(containerId)) await watch.look(containerId);
        }
        throw new AppError("unavailable", `${title} at ${socketPath} ended the connection`);
      })();
      const pinging = (async () => {
        for (let beats = 1; ; beats += 1) {
          await clock.delay(PING_MS, stop);
          await client.ping(PING_LIMIT_MS, stop);
          if ((beats * PING_MS) % LOOK_ALL_MS === 0) await watch.lookAll();
        }
      })();
      try {
        await Promise.race([reading, pinging]);
      } finally {
        over.abort();
        await Promise.allSettled([reading, pinging]);
      }
    },
  };
}
