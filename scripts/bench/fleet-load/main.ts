/** The load tool for a hub; `scripts/bench/fleet` is its front door. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock } from "../../../src/base/clock.ts";
import { AppError, messageOf } from "../../../src/base/errors.ts";
import type { Row } from "../measurement.ts";
import { readProcessFigures } from "../process-figures.ts";
import { renderTable } from "../render-table.ts";
import { callHub } from "./call-hub.ts";
import { createHubProcess, type Fleet, type HubProcess, prepareFleet } from "./hub-process.ts";
import { startReporting } from "./reporting.ts";
import { createSimulatedBox, type SimulatedBox } from "./simulated-box.ts";

const MAX_BOXES = 10_000;
const LIMIT_SECONDS = 400;
const ADDRESSES = 8;
const CHANGES = 30;

interface Run {
  readonly rows: Row[];
  readonly seconds: number;
  readonly signal: AbortSignal;
}

interface World {
  readonly fleet: Fleet;
  readonly hub: HubProcess;
  readonly boxes: readonly SimulatedBox[];
  /** Called with each box that hears of the workload. */
  watch(workload: string, onHeard: (box: SimulatedBox) => void): void;
  up(): number;
  refused(): number;
}

const say = (text: string) => void process.stderr.write(`fleet: ${text}\n`);

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { boxes: { type: "string" }, seconds: { type: "string" }, json: { type: "string" } },
  });
  const count = Number(values.boxes ?? 1000);
  const seconds = Number(values.seconds ?? 30);
  if (!Number.isInteger(count) || count < 1 || count > MAX_BOXES || !(seconds >= 1 && seconds <= 3600)) {
    say(`--boxes 1 to ${MAX_BOXES} and --seconds 1 to 3600 are allowed`);
    return 64;
  }
  const stop = AbortSignal.timeout((seconds + LIMIT_SECONDS) * 1000);
  const ended = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.once(name, () => ended.abort(new AppError("cancelled", name)));
  const signal = AbortSignal.any([stop, ended.signal]);
  const directory = await mkdtemp(join(tmpdir(), "sluice-fleet-"));
  let world: World | undefined;
  const rows: Row[] = [];
  const tell = async () => {
    if (world === undefined || rows.length === 0) return;
    process.stdout.write(`${renderTable(rows)}\n\n${describeMachine(count, world)}\n`);
    if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(rows)}\n`);
  };
  try {
    say(`writing a store with ${count} boxes`);
    const fleet = await prepareFleet(directory, count);
    const hub = await createHubProcess(directory, fleet);
    await hub.start();
    world = createWorld(fleet, hub);
    await measure(world, { rows, seconds, signal });
    await tell();
    return 0;
  } catch (thrown) {
    await tell();
    say(`ended early: ${messageOf(thrown)}`);
    return 1;
  } finally {
    for (const box of world?.boxes ?? []) box.stop();
    await world?.hub.kill();
    await rm(directory, { recursive: true, force: true });
  }
}

function createWorld(fleet: Fleet, hub: HubProcess): World {
  const watchers = new Map<string, (box: SimulatedBox) => void>();
  let up = 0;
  let refused = 0;
  const boxWorld = {
    host: "127.0.0.1",
    port: hub.port,
    onUp: () => {
      up++;
    },
    onDown: () => {
      up--;
    },
    onRefused: () => {
      refused++;
    },
    onEvent: (box: SimulatedBox, name: string, block: string) => {
      if (name !== "change" && name !== "expected") return;
      for (const [workload, heard] of watchers) if (block.includes(`"${workload}"`)) heard(box);
    },
  };
  const boxes = [...fleet.keys].map(([id, key], at) =>
    createSimulatedBox({ id, key, localAddress: `127.0.0.${2 + (at % ADDRESSES)}` }, boxWorld),
  );
  return {
    fleet,
    hub,
    boxes,
    watch: (workload, onHeard) => void watchers.set(workload, onHeard),
    up: () => up,
    refused: () => refused,
  };
}

/** Puts what it has measured into `rows` as it goes: a run that ends early still tells what it knows. */
async function measure(world: World, { rows, seconds, signal }: Run): Promise<void> {
  const { hub, boxes } = world;
  const count = boxes.length;
  await systemClock.delay(2000, signal);
  const bare = readProcessFigures(hub.pid());
  say("connecting");
  const connectMs = await timed(async () => {
    for (const box of boxes) box.start(Math.random() * 1000);
    await reach(world, count, signal);
  });
  rows.push({ what: `connect ${count} boxes`, unit: "ms", samples: [connectMs] });
  say(`all connected after ${Math.round(connectMs)} ms; reporting for ${seconds} s`);
  const reporting = startReporting(boxes, hub.port);
  // Whatever ends the run ends its reports: nothing else would.
  using _ended = { [Symbol.dispose]: reporting.stop };
  await systemClock.delay(15_000, signal);
  reporting.latenciesMs.length = 0;
  const before = readProcessFigures(hub.pid());
  const steadyMs = await timed(() => systemClock.delay(seconds * 1000, signal));
  const after = readProcessFigures(hub.pid());
  const heartbeats = [...reporting.latenciesMs];
  rows.push(
    { what: "heartbeat (a report and its answer)", unit: "ms", samples: heartbeats },
    { what: "reports a second", unit: "/s", samples: [(heartbeats.length / steadyMs) * 1000] },
    {
      what: "hub: KiB RSS a box",
      unit: "",
      samples: [((after.rssMB - bare.rssMB) * 1024) / count],
      bar: { of: "max", limit: 25 },
    },
    { what: "hub: RSS", unit: "MB", samples: [after.rssMB] },
    { what: "hub: CPU of a report", unit: "ms", samples: [(after.cpuMs - before.cpuMs) / heartbeats.length] },
    { what: "hub: CPU of one core", unit: "%", samples: [((after.cpuMs - before.cpuMs) / steadyMs) * 100] },
  );
  say(`one change of one box, ${CHANGES} times`);
  const single = await changeSome(world, signal);
  rows.push({ what: "change of one box → that box", unit: "ms", samples: single });
  say("one rollout to all");
  const cpuMs = () => readProcessFigures(hub.pid()).cpuMs;
  const beforeAllMs = cpuMs();
  const all = await changeAll(world, signal);
  const rolloutCpuMs = cpuMs() - beforeAllMs;
  rows.push(
    { what: "rollout → each box", unit: "ms", samples: all, bar: { of: "max", limit: 1000 } },
    { what: "hub: CPU of the rollout, a box", unit: "ms", samples: [rolloutCpuMs / count] },
  );
  say("killing the hub");
  const storm = await stormOf(world, signal);
  rows.push(
    { what: "storm: hub answers again", unit: "ms", samples: [storm.answersMs] },
    { what: "storm: half of the boxes back", unit: "ms", samples: [storm.halfMs] },
    { what: "storm: 99 % back", unit: "ms", samples: [storm.mostMs] },
    { what: "storm: all back", unit: "ms", samples: [storm.allMs], bar: { of: "max", limit: 60_000 } },
    { what: "reports that failed, the storm's included", unit: "", samples: [reporting.failed] },
  );
}

async function changeSome(world: World, signal: AbortSignal): Promise<number[]> {
  const samples: number[] = [];
  for (let at = 0; at < Math.min(CHANGES, world.boxes.length); at++) {
    const box = world.boxes[at * Math.floor(world.boxes.length / CHANGES)] ?? world.boxes[at];
    if (box === undefined) continue;
    const workload = `single-${at}`;
    const heard = Promise.withResolvers<void>();
    world.watch(workload, () => heard.resolve());
    const startedMs = systemClock.monotonicMs();
    await callHub(world, `/v1/boxes/${box.id}/workloads/${workload}`, { workload: streamOf(workload) });
    await Promise.race([heard.promise, systemClock.delay(10_000, signal)]);
    samples.push(systemClock.monotonicMs() - startedMs);
  }
  return samples;
}

async function changeAll(world: World, signal: AbortSignal): Promise<number[]> {
  const heard = new Map<string, number>();
  const startedMs = systemClock.monotonicMs();
  world.watch("everywhere", (box) => {
    if (!heard.has(box.id)) heard.set(box.id, systemClock.monotonicMs() - startedMs);
  });
  await callHub(world, "/v1/rollouts/all", { selector: "site=bench", template: streamOf("everywhere") });
  while (heard.size < world.boxes.length) await systemClock.delay(10, signal);
  return [...heard.values()];
}

async function stormOf(world: World, signal: AbortSignal) {
  const count = world.boxes.length;
  await world.hub.kill();
  const startedMs = systemClock.monotonicMs();
  const since = () => systemClock.monotonicMs() - startedMs;
  while (world.up() > 0) await systemClock.delay(5, signal);
  await world.hub.start();
  const answersMs = since();
  const at = async (share: number) => {
    await reach(world, Math.ceil(count * share), signal);
    return since();
  };
  return { answersMs, halfMs: await at(0.5), mostMs: await at(0.99), allMs: await at(1) };
}

async function reach(world: World, count: number, signal: AbortSignal): Promise<void> {
  while (world.up() < count) await systemClock.delay(10, signal);
}

async function timed(act: () => Promise<void>): Promise<number> {
  const startedMs = systemClock.monotonicMs();
  await act();
  return systemClock.monotonicMs() - startedMs;
}

function streamOf(id: string) {
  return {
    kind: "stream",
    id,
    spec: { input: { url: "test://bars" }, outputs: [{ url: `rtmp://ingest.example/live/${id}` }] },
  };
}

function describeMachine(count: number, world: World): string {
  const load = loadavg().map((value) => value.toFixed(1));
  return `${count} boxes, ${world.refused()} connections were told to come later. ${cpus().length} cores shared by hub and load (load average ${load.join(", ")}).`;
}

process.exitCode = await main(process.argv.slice(2));
