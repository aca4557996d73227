import type { Clock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import type { Action, TortureStream } from "./action.ts";
import { checkInvariants, isOnPeer, rivals } from "./invariants.ts";
import { perform } from "./perform.ts";
import { createPublisherWatch } from "./publisher-watch.ts";
import { resourcesOf } from "./resources.ts";
import { firstStreams, type Step, torturePlan } from "./schedule.ts";
import { settle } from "./settle.ts";
import { createTortureWorld, type TortureWorld } from "./torture-world.ts";

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
      await checkInvariants({ step, before, settled, formerly: expected, rivalsBefore }, { world, watch });
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
    await checkInvariants(judged, { world, watch });
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

function deadlineOf({ actions }: Step): number {
  const hurts = actions.some(({ action }) => action.kind === "ffmpeg" || isOnPeer(action));
  return hurts ? FAILURE_DEADLINE_MS : QUIET_DEADLINE_MS;
}

function describe(action: Action): string {
  const { kind, ...rest } = action;
  const words = JSON.stringify(rest).replace(/["{}]/g, "").replaceAll(",", " ");
  return words === "" ? kind : `${kind}(${words.length > 120 ? `${words.slice(0, 120)}…` : words})`;
}
