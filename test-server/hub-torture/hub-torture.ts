import type { Clock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { seededRandom } from "../../src/base/random.ts";
import { expectedViewSchema } from "../../src/contract/fleet/expected-view.ts";
import { enrolmentCreatedSchema } from "../../src/contract/fleet/token.ts";
import { startBalancer } from "../balancer.ts";
import { startRedis } from "../redis-server.ts";
import { type Chance, createChance } from "../torture/draw-action.ts";
import { type Invariant, violation } from "../torture/violation.ts";
import { type BoxModel, STEADY } from "./draw-write.ts";
import { type FleetAgent, startFleetAgents } from "./fleet-agents.ts";
import { createFleetWriter, type FleetWriter } from "./fleet-writer.ts";
import { type HubPair, killAtRandom, startHubPair } from "./hub-pair.ts";
import { createRevisionWatch, type RevisionWatch } from "./revision-watch.ts";

export interface HubTortureOptions {
  readonly seed: number;
  readonly minutes: number;
  /** What `scripts/build.ts` made of the sources, and not the sources. */
  readonly isBuilt: boolean;
}

export interface HubTortureDeps {
  readonly clock: Clock;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface HubTortureSummary {
  readonly seed: number;
  readonly seconds: number;
  readonly boxes: number;
  readonly kills: number;
  /** Acknowledged; each is one revision of one box. */
  readonly writes: number;
  /** Requests that were sent again because their answer was lost or a refusal for now. */
  readonly repeated: number;
  readonly commands: number;
  /** Of the boxes, to whichever hub. */
  readonly connections: number;
  /** From the last kill and the last write until everything agreed. */
  readonly settledMs: number;
  readonly failure: { readonly invariant: Invariant | "carried out"; readonly evidence: string } | undefined;
}

const BOXES = 10;
const START_MS = 120_000;
/** The longest wait of an agent that was turned away again and again, and the time of a lap. */
const SETTLE_MS = 90_000;
const POLL_MS = 250;
const PAUSE_MS = { least: 100, most: 1500 };

interface Fleet {
  readonly pair: HubPair;
  readonly agents: readonly FleetAgent[];
  readonly writers: readonly FleetWriter[];
  readonly watch: RevisionWatch;
}

/**
 * Two hubs on one real Redis behind a TCP balancer, ten real agents with FFmpeg streams: hubs are killed while what boxes should
 * run changes all the time. Afterwards each acknowledged write must be there exactly once, each box must have been sent each
 * revision once and in order, and no stream that nobody stopped may have been interrupted. Rejects only when it cannot be run.
 */
export async function tortureHubs(options: HubTortureOptions, deps: HubTortureDeps): Promise<HubTortureSummary> {
  const { clock, say, signal } = deps;
  const startMs = clock.monotonicMs();
  const chance = createChance(seededRandom(options.seed));
  const watch = createRevisionWatch();
  await using redis = await startRedis({ durable: true });
  let pair: HubPair | undefined;
  await using balancer = await startBalancer({ servers: () => pair?.ports() ?? [], tap: watch.tap });
  const origin = `http://127.0.0.1:${balancer.port}`;
  await using hubs = await startHubPair({
    publicUrl: origin,
    storeUrl: `redis://${redis.host}:${redis.port}`,
    isBuilt: options.isBuilt,
    flags: ["--limits-operator-per-second", "1000", "--limits-address-per-second", "1000"],
  });
  pair = hubs;
  const ids = Array.from({ length: BOXES }, (_one, at) => `box-${at}`);
  const enrolmentTokens = new Map(
    await Promise.all(ids.map(async (boxId) => [boxId, await enrolmentToken(hubs, boxId)] as const)),
  );
  await using agents = await startFleetAgents({ enrolmentTokens, isBuilt: options.isBuilt });
  const writers = ids.map((boxId) =>
    createFleetWriter({ boxId, origin, token: hubs.adminToken }, createChance(seededRandom(chance.below(2 ** 31)))),
  );
  const fleet: Fleet = { pair: hubs, agents: agents.all, writers, watch };
  let settledMs = 0;
  let failure: HubTortureSummary["failure"];
  try {
    const steady = await begin(fleet, deps);
    say(`${BOXES} agents stream after ${((clock.monotonicMs() - startMs) / 1000).toFixed(1)} s`);
    await writeAndKill(fleet, { minutes: options.minutes, chance }, deps);
    const endedMs = clock.monotonicMs();
    await untilConverged(fleet, deps);
    settledMs = Math.round(clock.monotonicMs() - endedMs);
    await judge(fleet, steady);
  } catch (thrown) {
    if (signal.aborted) throw signal.reason;
    const invariant =
      thrown instanceof AppError && thrown.code === "violated" ? (thrown.field as Invariant) : undefined;
    failure = { invariant: invariant ?? "carried out", evidence: messageOf(thrown) };
    say(`FAILED: ${failure.invariant}\n  evidence: ${failure.evidence}`);
    for (const place of [0, 1])
      say(`hub ${place} last said:\n${hubs.hub(place).output().split("\n").slice(-15).join("\n")}`);
  }
  const histories = ids.map((id) => watch.of(id));
  return {
    seed: options.seed,
    seconds: Math.round((clock.monotonicMs() - startMs) / 1000),
    boxes: BOXES,
    kills: hubs.kills(),
    writes: sum(writers.map((writer) => writer.model().revision)),
    repeated: sum(writers.map((writer) => writer.repeated())),
    commands: sum(writers.map((writer) => writer.commands().length)),
    connections: sum(histories.map((history) => history?.connections ?? 0)),
    settledMs,
    failure,
  };
}

/** Process ids of the streams that must never be interrupted, once all of them run. */
async function begin({ agents, writers }: Fleet, deps: HubTortureDeps): Promise<ReadonlyMap<string, number>> {
  await until(
    async () => {
      const states = await Promise.all(agents.map((agent) => agent.status().then(({ link }) => link.state, messageOf)));
      return states.every((state) => state === "live") ? undefined : `links: ${states.join(", ")}`;
    },
    { ...deps, limitMs: START_MS },
  );
  await Promise.all(writers.map((writer) => writer.begin()));
  await until(
    async () => {
      const missing = (
        await Promise.all(agents.map(async (agent) => ((await runs(agent)) ? [] : [agent.boxId])))
      ).flat();
      return missing.length === 0 ? undefined : `no steady stream yet on ${missing.join(", ")}`;
    },
    { ...deps, limitMs: START_MS },
  );
  return new Map(agents.map((agent) => [agent.boxId, agent.pidOf(STEADY) ?? 0]));
}

async function runs(agent: FleetAgent): Promise<boolean> {
  const { workloads } = await agent.status();
  return workloads.some(({ id, state }) => id === STEADY && state === "running");
}

async function writeAndKill(
  { pair, writers }: Fleet,
  { minutes, chance }: { readonly minutes: number; readonly chance: Chance },
  deps: HubTortureDeps,
): Promise<void> {
  const { clock, signal } = deps;
  const over = new AbortController();
  const either = AbortSignal.any([over.signal, signal]);
  const work = [
    killAtRandom(pair, chance, { ...deps, signal: either }),
    ...writers.map(async (writer) => {
      const pause = createChance(seededRandom(chance.below(2 ** 31)));
      while (!either.aborted) {
        await writer.step();
        await clock.delay(pause.between(PAUSE_MS.least, PAUSE_MS.most), either).catch(() => undefined);
      }
    }),
  ];
  // None of them ends before it is told to, unless it fails: that ends the run at once.
  await Promise.race([clock.delay(minutes * 60_000, either), ...work]).finally(() => over.abort());
  const ends = await Promise.allSettled(work);
  const thrown = ends.find((end) => end.status === "rejected");
  if (thrown !== undefined) throw thrown.reason;
}

/** Each agent has the last revision and runs what it should, and each hub shows every box online with all of it. */
async function untilConverged({ pair, agents, writers, watch }: Fleet, deps: HubTortureDeps): Promise<void> {
  const different = async (): Promise<string | undefined> => {
    for (const [at, agent] of agents.entries()) {
      const model = writers[at]?.model();
      if (model === undefined) continue;
      const running = [...model.entries].filter(([, { desired }]) => desired === "running").map(([id]) => id);
      const sent = watch.of(agent.boxId)?.revision;
      if (sent !== model.revision) return `${agent.boxId} was sent revision ${sent}, ${model.revision} is due`;
      const { expected, workloads } = await agent.status();
      if (expected.revision !== model.revision) {
        return `${agent.boxId} holds revision ${expected.revision}, ${model.revision} is due`;
      }
      const does = workloads.map(({ id, state }) => `${id} ${state}`).sort();
      const due = running.map((id) => `${id} running`).sort();
      if (does.join() !== due.join()) return `${agent.boxId} does ${does.join(", ")}; due: ${due.join(", ")}`;
      for (const place of [0, 1]) {
        const shown = await connectionOf(pair, { place, boxId: agent.boxId });
        if (shown !== "online") return `hub ${place} shows ${agent.boxId} as ${shown}`;
      }
    }
    return undefined;
  };
  await until(different, { ...deps, limitMs: SETTLE_MS });
}

async function judge({ pair, agents, writers, watch }: Fleet, steady: ReadonlyMap<string, number>): Promise<void> {
  const [fault] = watch.faults();
  if (fault !== undefined) throw violation("revisions", `${watch.faults().length} faults; the first: ${fault}`);
  for (const [at, { boxId, pidOf }] of agents.entries()) {
    const writer = writers[at];
    const history = watch.of(boxId);
    if (writer === undefined || history === undefined) throw violation("converged", `${boxId} was never there`);
    const model = writer.model();
    // The whole set once at the beginning, and then each revision by itself.
    if (history.snapshots !== 1) throw violation("revisions", `${boxId} got ${history.snapshots} whole sets`);
    for (const place of [0, 1]) await compare(pair, { place, model });
    const unknown = [...history.commands.keys()].filter((id) => !writer.commands().includes(id));
    if (unknown.length > 0)
      throw violation("commands", `${boxId} was sent ${unknown.join(", ")}, which nobody was promised`);
    const pid = pidOf(STEADY);
    if (pid !== steady.get(boxId)) {
      throw violation("streams", `${STEADY} of ${boxId} was process ${steady.get(boxId)} and is ${pid}`);
    }
  }
}

/** What a hub answers that a box should run, against what was acknowledged. */
async function compare(pair: HubPair, asked: { readonly place: number; readonly model: BoxModel }): Promise<void> {
  const { place, model } = asked;
  const view = expectedViewSchema.parse(await pair.hub(place).call("GET", `/v1/boxes/${model.boxId}/workloads`));
  const lineOf = (id: string, desired: string, priority: number | undefined) => `${id} ${desired} ${priority}`;
  const held = view.items.map(({ workload, desired }) => lineOf(workload.id, desired, workload.priority)).sort();
  const acknowledged = [...model.entries].map(([id, { desired, priority }]) => lineOf(id, desired, priority)).sort();
  if (view.revision === model.revision && held.join() === acknowledged.join()) return;
  throw violation(
    "writes",
    `${model.boxId} at hub ${place}: acknowledged is revision ${model.revision} with ${acknowledged.join(", ")}; held is revision ${view.revision} with ${held.join(", ")}`,
  );
}

async function connectionOf(pair: HubPair, asked: { readonly place: number; readonly boxId: string }): Promise<string> {
  const box = await pair.hub(asked.place).call("GET", `/v1/boxes/${asked.boxId}`);
  return typeof box === "object" && box !== null && "connection" in box ? String(box.connection) : "unknown";
}

async function enrolmentToken(pair: HubPair, boxId: string): Promise<string> {
  const { token } = enrolmentCreatedSchema.parse(await pair.hub(0).call("POST", "/v1/enrolments", { box: boxId }));
  if (token === undefined) throw new AppError("internal", "the hub gave no enrolment token");
  return token;
}

/** Until nothing is different any more; `converged` is violated when something still is after the time. */
async function until(
  different: () => Promise<string | undefined>,
  { clock, signal, limitMs }: HubTortureDeps & { readonly limitMs: number },
): Promise<void> {
  const endMs = clock.monotonicMs() + limitMs;
  for (;;) {
    const difference = await different().catch(messageOf);
    if (difference === undefined) return;
    if (clock.monotonicMs() > endMs) throw violation("converged", `not within ${limitMs / 1000} s: ${difference}`);
    await clock.delay(POLL_MS, signal);
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
