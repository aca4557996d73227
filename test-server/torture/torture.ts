import { readFileSync } from "node:fs";
import type { Clock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { perform } from "./perform.ts";
import { createPublisherWatch, type PublisherWatch } from "./publisher-watch.ts";
import { resourcesOf } from "./resources.ts";
import { type Action, firstStreams, type Step, type TortureStream, torturePlan } from "./schedule.ts";
import { findSecret } from "./secret-search.ts";
import { type Settled, settle } from "./settle.ts";
import { createTortureWorld, type TortureWorld } from "./torture-world.ts";
import { violation } from "./violation.ts";

export interface TortureOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly streams: number;
}

export interface TortureDeps {
  readonly clock: Clock;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface TortureSummary {
  readonly seed: number;
  readonly seconds: number;
  readonly streams: number;
  readonly steps: number;
  /** By kind. */
  readonly actions: Readonly<Record<string, number>>;
  readonly agentStarts: number;
  /** From the end of a step's actions until everything agreed. */
  readonly settledMs: { readonly median: number; readonly longest: number };
  readonly agent: { readonly fdsMost: number; readonly rssMostMB: number };
  /** Looks at the process table for a key that is published twice. */
  readonly publisherLooks: number;
  readonly notes: readonly string[];
  readonly failure:
    | { readonly step: number; readonly actions: string; readonly invariant: string; readonly evidence: string }
    | undefined;
}

const START_DEADLINE_MS = 60_000;
/** For an agent that has to start and to look. */
const QUIET_DEADLINE_MS = 30_000;
/** The longest wait between two starts of a stream, and the time to see that it is due and to bring media. */
const FAILURE_DEADLINE_MS = 90_000;
/** At the end nothing is done for a while, and nothing must happen. */
const REST_MS = 10_000;
/** A program that does the work of few streams needs no more. */
const MOST_RSS_MB = 200;
const MOST_FDS = 60;
const MOST_FDS_A_STREAM = 6;

/** Runs the seed's steps until the time is over or an invariant does not hold. Rejects only when it cannot be run at all. */
export async function torture(options: TortureOptions, deps: TortureDeps): Promise<TortureSummary> {
  const { clock, say, signal } = deps;
  const startMs = clock.monotonicMs();
  await using world = await createTortureWorld(options);
  for (const note of world.notes) say(note);
  const watch = createPublisherWatch({ processes: world.processes, clock });
  const over = new AbortController();
  const watching = watch.run(AbortSignal.any([over.signal, signal]));
  const figures = { actions: {} as Record<string, number>, settledMs: [] as number[], fdsMost: 0, rssMostMB: 0 };
  let failure: TortureSummary["failure"];
  let steps = 0;
  let shown = "start";
  try {
    const first = firstStreams(options.streams);
    await world.server.replace(first.map(world.workloadOf));
    world.agent.start();
    let expected: readonly TortureStream[] = first;
    let settled = await settle(first, START_DEADLINE_MS, { world, clock, signal });
    say(`${options.streams} streams run after ${(settled.tookMs / 1000).toFixed(1)} s`);
    const endMs = clock.monotonicMs() + options.minutes * 60_000;
    for (const step of torturePlan({ ...options, abilities: world.abilities })) {
      if (clock.monotonicMs() > endMs) break;
      steps = step.number;
      shown = step.actions.map(({ action }) => describe(action)).join(" + ");
      for (const { action } of step.actions) figures.actions[action.kind] = (figures.actions[action.kind] ?? 0) + 1;
      const rivalsBefore = await rivals(world);
      await carryOut(step, { ...deps, world });
      const before = settled;
      settled = await settle(step.expected, deadlineOf(step), { world, clock, signal });
      await check({ step, before, settled, formerly: expected, rivalsBefore }, { world, watch });
      expected = step.expected;
      const { fds, rssMB } = resourcesOf(world.agent.pid() ?? 0);
      figures.settledMs.push(settled.tookMs);
      figures.fdsMost = Math.max(figures.fdsMost, fds);
      figures.rssMostMB = Math.max(figures.rssMostMB, rssMB);
      const took = `${(settled.tookMs / 1000).toFixed(1)} s`;
      say(`step ${step.number}: ${shown} → settled in ${took}, ${fds} fds, ${rssMB.toFixed(0)} MB`);
    }
    shown = "nothing";
    const rest = { number: steps, actions: [], expected };
    const rivalsBefore = await rivals(world);
    await clock.delay(REST_MS, signal);
    const rested = await settle(expected, QUIET_DEADLINE_MS, { world, clock, signal });
    const judged = { step: rest, before: settled, settled: rested, formerly: expected, rivalsBefore };
    await check(judged, { world, watch });
  } catch (thrown) {
    if (signal.aborted) throw signal.reason;
    const invariant = thrown instanceof AppError && thrown.code === "violated" ? (thrown.field ?? "") : "carried out";
    failure = { step: steps, actions: shown, invariant, evidence: messageOf(thrown) };
    say(`step ${steps} FAILED: ${shown}\n  invariant: ${invariant}\n  evidence: ${failure.evidence}`);
    say(`the agent's last lines:\n${world.agent.output().trimEnd().split("\n").slice(-60).join("\n")}`);
  } finally {
    over.abort();
    await watching;
  }
  const sorted = figures.settledMs.toSorted((left, right) => left - right);
  return {
    seed: options.seed,
    seconds: Math.round((clock.monotonicMs() - startMs) / 1000),
    streams: options.streams,
    steps,
    actions: figures.actions,
    agentStarts: world.agent.starts(),
    settledMs: { median: Math.round(sorted[sorted.length >> 1] ?? 0), longest: Math.round(sorted.at(-1) ?? 0) },
    agent: { fdsMost: figures.fdsMost, rssMostMB: Math.round(figures.rssMostMB) },
    publisherLooks: watch.looks(),
    notes: world.notes,
    failure,
  };
}

async function carryOut(step: Step, deps: TortureDeps & { readonly world: TortureWorld }): Promise<void> {
  const { world, clock, signal } = deps;
  const ended: Promise<void>[] = [];
  for (const { afterMs, action } of step.actions) {
    await clock.delay(afterMs, signal);
    const done = perform(action, { world, clock, expected: step.expected, signal });
    // What asks the server is over before the server is taken away.
    if (isInstant(action)) await done;
    else ended.push(done);
  }
  const failed = (await Promise.allSettled(ended)).find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  if (step.actions.some(({ action }) => action.kind === "shrink")) {
    await world.server.replace(step.expected.map(world.workloadOf));
  }
}

function isInstant(action: Action): boolean {
  return ["put", "change", "remove", "shrink", "send", "stray", "clock", "ffmpeg"].includes(action.kind);
}

function isOnPeer({ kind }: Action): boolean {
  return kind === "server-kill" || kind === "server-freeze" || kind === "network";
}

function deadlineOf({ actions }: Step): number {
  const hurts = actions.some(({ action }) => action.kind === "ffmpeg" || isOnPeer(action));
  return hurts ? FAILURE_DEADLINE_MS : QUIET_DEADLINE_MS;
}

interface Judged {
  readonly step: Step;
  readonly before: Settled;
  readonly settled: Settled;
  /** What the server expected before the step. */
  readonly formerly: readonly TortureStream[];
  readonly rivalsBefore: number;
}

/** Everything that must hold besides that all agree. */
async function check(
  { step, before, settled, formerly, rivalsBefore }: Judged,
  { world, watch }: { readonly world: TortureWorld; readonly watch: PublisherWatch },
): Promise<void> {
  const harm = world.sentinels.harm();
  if (harm !== undefined) throw violation("no stranger", harm);
  if (readFileSync(world.precious.path, "utf8") !== world.precious.text) {
    throw violation("no stranger", "a file of somebody else was written through a link");
  }
  const doubled = watch.doubled();
  if (doubled !== undefined) throw violation("one publisher", doubled);

  const acts = step.actions.map(({ action }) => action);
  if (!acts.some(isOnPeer)) {
    const came = (await rivals(world)) - rivalsBefore;
    if (came > 0) throw violation("one publisher", `the receiver turned ${came} second publishers away`);
    const touched = new Set(acts.flatMap((action) => (action.kind === "ffmpeg" ? action.id : [])));
    // With one of few down, a shrink stops no more than two, and may.
    const isGuarded = touched.size === 0 || !acts.some(({ kind }) => kind === "shrink");
    const same = step.expected.filter(({ id, version }) =>
      formerly.some((stream) => stream.id === id && stream.version === version),
    );
    for (const { id } of isGuarded ? same : []) {
      if (touched.has(id) || before.pids.get(id) === settled.pids.get(id)) continue;
      throw violation(
        "kept",
        `${id} was pid ${before.pids.get(id)} and is ${settled.pids.get(id)}; nothing touched it`,
      );
    }
  }

  const { fds, rssMB } = resourcesOf(world.agent.pid() ?? 0);
  const mostFds = MOST_FDS + MOST_FDS_A_STREAM * step.expected.length;
  if (fds > mostFds) throw violation("resources", `the agent holds ${fds} descriptors; allowed: ${mostFds}`);
  if (rssMB > MOST_RSS_MB)
    throw violation("resources", `the agent holds ${rssMB.toFixed(0)} MB; allowed: ${MOST_RSS_MB}`);

  const place = await findSecret(step.expected, world);
  if (place !== undefined) throw violation("no secret", `a stream key or the token stands in ${place}`);
}

async function rivals({ server }: TortureWorld): Promise<number> {
  return (await server.publishers()).reduce((sum, publisher) => sum + publisher.rivals, 0);
}

function describe(action: Action): string {
  const { kind, ...rest } = action;
  const words = JSON.stringify(rest).replace(/["{}]/g, "").replaceAll(",", " ");
  return words === "" ? kind : `${kind}(${words.length > 120 ? `${words.slice(0, 120)}…` : words})`;
}
