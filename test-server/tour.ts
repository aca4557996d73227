import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError, messageOf } from "../src/base/errors.ts";
import { boxViewSchema } from "../src/contract/fleet/box-view.ts";
import { expectedEntryViewSchema } from "../src/contract/fleet/expected-view.ts";
import type { AgentWorld } from "./agent-world.ts";
import type { HubWorld } from "./hub-world.ts";

/** One thing that the tour makes happen; resolves with what was seen. */
interface Step {
  readonly title: string;
  run(hubWorld: HubWorld): Promise<string>;
}

const ID = "demo";
const MEDIA_GAP_LIMIT_MS = 2000;
const WITHOUT_AGENT_MS = 3000;

const STEPS: readonly Step[] = [
  {
    title: "the box enrols with the hub, and its agent connects",
    run: async (hubWorld) => {
      const { hub, world } = hubWorld;
      await hubWorld.enrol();
      const agent = await world.startAgent();
      await world.until(async () => (await boxOf(hubWorld)).connection === "online", "the hub sees the box online");
      return `pid ${agent.pid}, online at ${hub.origin}`;
    },
  },
  {
    title: "one command starts a stream",
    run: async (hubWorld) => {
      await startStream(hubWorld);
      const { pid } = await hubWorld.world.untilRunning(ID);
      return `FFmpeg pid ${pid}`;
    },
  },
  { title: "media really arrives at the RTMP server", run: describeMedia },
  {
    title: "FFmpeg is killed and comes back by itself",
    run: async ({ world }) => {
      const before = await pidOf(world);
      const connects = connectsOf(world);
      process.kill(before, "SIGKILL");
      const startMs = systemClock.monotonicMs();
      const after = await world.until(async () => {
        const pid = (await world.workload(ID))?.pid;
        return pid === before ? undefined : pid;
      }, "another FFmpeg runs");
      const backMs = Math.round(systemClock.monotonicMs() - startMs);
      await world.until(() => connectsOf(world) === connects + 1, "the RTMP server sees it again");
      await world.untilRunning(ID);
      return `pid ${before} → ${after} within ${backMs} ms; media again`;
    },
  },
  {
    title: "the agent is killed with -9, media never stops, the next agent adopts the same FFmpeg",
    run: async ({ world }) => {
      const before = await pidOf(world);
      const connects = connectsOf(world);
      await world.killAgent("SIGKILL");
      const gapMs = await longestMediaGap(world, WITHOUT_AGENT_MS);
      if (gapMs > MEDIA_GAP_LIMIT_MS) throw new AppError("internal", `no media for ${gapMs} ms without an agent`);
      await world.startAgent();
      const after = await pidOf(world);
      if (after !== before) throw new AppError("internal", `pid ${before} became ${after}`);
      if (connectsOf(world) !== connects) throw new AppError("internal", "the RTMP server saw a reconnect");
      return `pid ${after} throughout, longest gap in media ${gapMs} ms, no reconnect at the RTMP server`;
    },
  },
  {
    title: "the way to the hub is cut, the stream goes on, the reconnect reconciles",
    run: async (hubWorld) => {
      const { relay, world } = hubWorld;
      const before = await pidOf(world);
      const reconciliations = countLines(world, "Reconciliation completed");
      relay.cut();
      await world.until(
        () => countLines(world, "Connection lost, retrying in") > 0,
        "the agent says that it is cut off",
      );
      relay.mend();
      await world.until(() => countLines(world, "Reconnected to SSE endpoint") > 0, "the agent says that it is back");
      await world.until(() => countLines(world, "Reconciliation completed") > reconciliations, "it reconciles");
      const after = await pidOf(world);
      if (after !== before) throw new AppError("internal", `pid ${before} became ${after}`);
      return `pid ${after} throughout; ${lastLine(world, "Reconciliation completed")}`;
    },
  },
  {
    title: "the hub serves its page, and tells of the stream what the box tells",
    run: async (hubWorld) => {
      const { hub, world } = hubWorld;
      const page = await fetch(`${hub.origin}/`);
      if (!page.ok || !(await page.text()).includes("dashboard.js"))
        throw new AppError("internal", "the hub serves no page");
      const status = await world.until(async () => {
        const path = `/v1/boxes/${world.boxId}/workloads/${ID}`;
        const entry = expectedEntryViewSchema.parse(await hub.call("GET", path));
        return entry.status?.state === "running" && entry.status.media?.fps !== undefined ? entry.status : undefined;
      }, "the hub shows the stream running");
      const { fps = 0, bitrateKbit = 0 } = status.media ?? {};
      return `${status.state}, pid ${status.pid}, ${fps.toFixed(1)} fps, ${Math.round(bitrateKbit)} kbit/s`;
    },
  },
  {
    title: "a stop at the hub ends the stream and leaves nothing",
    run: async ({ hub, world }) => {
      await hub.call("DELETE", `/v1/boxes/${world.boxId}/workloads/${ID}`);
      await world.until(() => world.workloadPids().length === 0, "the process is gone");
      await world.until(() => recordsOnDisk(world) === 0, "registry.json is empty");
      await world.until(
        () => world.server.rtmp?.publishers().every(({ publishing }) => !publishing),
        "the publisher is gone",
      );
      return "process gone, registry empty, publisher gone";
    },
  },
];

/** Goes through every step, saying what was seen. False as soon as one fails. */
export async function runTour(world: HubWorld, say: (line: string) => void): Promise<boolean> {
  const startMs = systemClock.monotonicMs();
  for (const [index, step] of STEPS.entries()) {
    const stepMs = systemClock.monotonicMs();
    const seconds = () => `${((systemClock.monotonicMs() - stepMs) / 1000).toFixed(1)} s`;
    try {
      const seen = await step.run(world);
      say(`ok   ${index + 1}/${STEPS.length} ${step.title} (${seconds()}): ${seen}`);
    } catch (thrown) {
      say(`FAIL ${index + 1}/${STEPS.length} ${step.title} (${seconds()}): ${messageOf(thrown)}`);
      return false;
    }
  }
  say(`All ${STEPS.length} steps seen in ${((systemClock.monotonicMs() - startMs) / 1000).toFixed(1)} s`);
  return true;
}

/** With the command line, as an operator would. */
export async function startStream({ world, sluice, pictureUrl }: HubWorld): Promise<void> {
  const file = join(world.stateDir, `${ID}.json`);
  const spec = {
    input: "test://bars?size=640x360&fps=25&tone=440",
    outputs: [`${world.server.rtmp?.url}/${ID}`],
  };
  await writeFile(file, JSON.stringify({ kind: "stream", id: ID, pictureUrl: pictureUrl(ID), spec }));
  await sluice("stream", "start", `${world.boxId}/${ID}`, "--file", file);
}

export async function boxOf({ hub, world }: HubWorld) {
  return boxViewSchema.parse(await hub.call("GET", `/v1/boxes/${world.boxId}`));
}

export async function describeMedia({ world }: HubWorld): Promise<string> {
  const { rtmp } = world.server;
  if (rtmp === undefined) throw new AppError("internal", "this test server has no RTMP receiver");
  const firstBytes = rtmp.mediaBytes(ID);
  await world.until(() => rtmp.mediaBytes(ID) > firstBytes + 50_000, "50 kB of media arrive");
  const publisher = await world.until(() => {
    const found = rtmp.publishers().find(({ key }) => key === ID);
    return found?.bitrateKbit === undefined || found.bitrateKbit === 0 ? undefined : found;
  }, "the receiver measures a bitrate");
  const { video } = publisher;
  const picture = video === undefined ? "sound only" : `${video.codec} ${video.width}x${video.height}`;
  return `${picture}, ${Math.round(publisher.bitrateKbit ?? 0)} kbit/s`;
}

async function pidOf(world: AgentWorld): Promise<number> {
  const { pid } = await world.untilRunning(ID);
  if (pid === undefined) throw new AppError("internal", `${ID} runs without a pid`);
  return pid;
}

function connectsOf(world: AgentWorld): number {
  return world.server.rtmp?.connects(ID) ?? 0;
}

async function longestMediaGap(world: AgentWorld, forMs: number): Promise<number> {
  const endMs = systemClock.monotonicMs() + forMs;
  let bytes = world.server.rtmp?.mediaBytes(ID) ?? 0;
  let lastMs = systemClock.monotonicMs();
  let longestMs = 0;
  while (systemClock.monotonicMs() < endMs) {
    await systemClock.delay(20);
    const now = world.server.rtmp?.mediaBytes(ID) ?? 0;
    if (now > bytes) lastMs = systemClock.monotonicMs();
    bytes = now;
    longestMs = Math.max(longestMs, systemClock.monotonicMs() - lastMs);
  }
  return Math.round(longestMs);
}

function linesOf(world: AgentWorld, text: string): string[] {
  return (world.agent()?.output() ?? "").split("\n").filter((line) => line.includes(text));
}

function countLines(world: AgentWorld, text: string): number {
  return linesOf(world, text).length;
}

function lastLine(world: AgentWorld, text: string): string {
  return linesOf(world, text).at(-1) ?? "";
}

/** Records in `registry.json` as it stands on disk. */
function recordsOnDisk(world: AgentWorld): number {
  const document: unknown = JSON.parse(readFileSync(join(world.stateDir, "registry.json"), "utf8"));
  const data = typeof document === "object" && document !== null && "data" in document ? document.data : undefined;
  const records = typeof data === "object" && data !== null && "records" in data ? data.records : undefined;
  if (!Array.isArray(records)) throw new AppError("invalid", "registry.json holds no list of records");
  return records.length;
}
