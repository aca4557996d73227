import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { HEALTH_CAUSES } from "../src/contract/health-cause.ts";
import type { Workload } from "../src/contract/workload.ts";
import { type AgentWorld, createAgentWorld } from "./agent-world.ts";
import { createNetworkNamespace, networkNamespaceProblem } from "./network-namespace.ts";
import { nginxRtmpRefusal, startNginxRtmp } from "./nginx-rtmp.ts";

/** From the moment the fault is made to its name, by the agent's own clock: this machine may be slow to hear of it. */
const FOUND_MS = 10_000;
const HEARD_MS = 20_000;

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

function stream(id: string, output: string, kbit: number): Workload {
  const isSmall = kbit < 1000;
  // Key frames only: a test picture fills a given bit rate no other way.
  const input = { url: `test://bars?size=${isSmall ? "160x90" : "1280x720"}&fps=25` };
  const video = { encoder: "libx264", preset: "ultrafast", bitrateKbit: kbit, gopFrames: 1 };
  return { kind: "stream", id, spec: { input, outputs: [{ url: output }], video, audio: "none" } };
}

async function untilFlowing(world: AgentWorld, id: string): Promise<number> {
  const found = await world.until(async () => {
    const status = await world.workload(id);
    return status?.state === "running" && (status.media?.frames ?? 0) > 50 ? status : undefined;
  }, `${id} flows`);
  return found.pid ?? -1;
}

/** Makes the fault; resolves with the evidence once the agent has named its cause, in time and nothing else before. */
async function nameOf(fault: () => void, world: AgentWorld, id: string): Promise<{ cause: string; text: string }> {
  const madeWallMs = systemClock.wallMs();
  fault();
  const found = await world.until(
    () => occurrences(world, id).find(({ at, kind }) => isCause(kind) && Date.parse(at) >= madeWallMs),
    `a cause is named for ${id}`,
    HEARD_MS,
  );
  const tookMs = Date.parse(found.at) - madeWallMs;
  console.log(`${id}: ${found.kind} named ${tookMs} ms after it was made: ${found.text}`);
  expect(tookMs).toBeLessThanOrEqual(FOUND_MS);
  return { cause: found.kind, text: found.text };
}

function occurrences(world: AgentWorld, id: string) {
  return world.server.reports
    .last()
    .flatMap(({ report }) => report.occurrences)
    .filter(({ workloadId }) => workloadId === id);
}

const isCause = (kind: string) => HEALTH_CAUSES.some((cause) => cause === kind);

async function untilReplaced(world: AgentWorld, id: string, pid: number): Promise<void> {
  await world.until(
    async () => {
      const now = (await world.workload(id))?.pid;
      return now !== undefined && now !== pid;
    },
    `${id} has a new process`,
    15_000,
  );
}

describe.skipIf(nginxRtmpRefusal !== undefined).concurrent("a receiver that is frozen", () => {
  test.each([400, 7000])("is found at %i kbit/s and its stream started again", async (kbit) => {
    await using ingest = await startNginxRtmp();
    await using world = await createAgentWorld();
    await world.startAgent();
    world.server.putStreams(stream("cam-1", `${ingest.url}/k`, kbit));
    const pid = await untilFlowing(world, "cam-1");
    const { cause, text } = await nameOf(() => ingest.signal("SIGSTOP"), world, "cam-1");
    expect(cause).toBe("peer-stalled");
    expect(text).toMatch(/unacknowledged by 127\.0\.0\.1:\d+ for \d+ s/);
    await untilReplaced(world, "cam-1", pid);
    ingest.signal("SIGCONT");
  });
});

test.concurrent("a stopped process is named, continued and replaced", async () => {
  await using world = await createAgentWorld();
  await world.startAgent();
  world.server.putStreams(stream("cam-1", `${world.server.rtmp?.url}/cam-1`, 400));
  const pid = await untilFlowing(world, "cam-1");
  expect((await nameOf(() => process.kill(pid, "SIGSTOP"), world, "cam-1")).cause).toBe("stopped");
  await untilReplaced(world, "cam-1", pid);
});

test
  .skipIf(nginxRtmpRefusal !== undefined)
  .concurrent("a source that stops sending is named before FFmpeg gives it up, and asked anew", async () => {
    await using ingest = await startNginxRtmp();
    await using world = await createAgentWorld();
    const camera = spawn(
      "ffmpeg",
      `-nostdin -loglevel quiet -re -f lavfi -i testsrc=size=160x90:rate=10 -c:v libx264 -preset ultrafast -g 10 -f flv ${ingest.url}/src`.split(
        " ",
      ),
      { stdio: "ignore" },
    );
    try {
      await systemClock.delay(1500);
      await world.startAgent();
      const output = `${world.server.rtmp?.url}/cam-1`;
      world.server.putStreams({
        kind: "stream",
        id: "cam-1",
        spec: { input: { url: `${ingest.url}/src` }, outputs: [{ url: output }], audio: "none" },
      });
      const pid = await untilFlowing(world, "cam-1");
      expect((await nameOf(() => camera.kill("SIGSTOP"), world, "cam-1")).cause).toBe("source-stalled");
      await untilReplaced(world, "cam-1", pid);
    } finally {
      await end(camera);
    }
  });

test.concurrent("an agent that was stopped for 15 s restarts nothing and finds no gap", async () => {
  await using world = await createAgentWorld();
  const agent = await world.startAgent();
  world.server.putStreams(stream("cam-1", `${world.server.rtmp?.url}/cam-1`, 400));
  const pid = await untilFlowing(world, "cam-1");
  process.kill(agent.pid, "SIGSTOP");
  await systemClock.delay(15_000);
  process.kill(agent.pid, "SIGCONT");
  await systemClock.delay(4000);
  const status = await world.workload("cam-1");
  expect(status).toMatchObject({ pid, state: "running", restarts: 0 });
  expect(status?.proof).toMatchObject({ gapCount: 1, gaps: [{ cause: "starting" }] });
});

const missing = nginxRtmpRefusal ?? networkNamespaceProblem();
describe
  .skipIf(missing !== undefined)
  .concurrent(`a black hole in the network${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
    test.each([
      ["both ways", ["input", "output"] as const],
      ["one way", ["input"] as const],
    ])("%s is found at 400 kbit/s, and the stream is back after it", async (_name, hooks) => {
      await using net = createNetworkNamespace();
      await using ingest = await startNginxRtmp({ host: net.address, namespace: net.name });
      await using world = await createAgentWorld();
      await world.startAgent();
      world.server.putStreams(stream("cam-1", `${ingest.url}/k`, 400));
      await untilFlowing(world, "cam-1");
      const { cause, text } = await nameOf(() => net.drop(hooks), world, "cam-1");
      expect(cause).toBe("network-lost");
      expect(text).toMatch(/unacknowledged by [\d.:]+ for \d+ s, \d+ retransmit/);
      net.heal();
      await world.until(async () => (await world.workload("cam-1"))?.state === "running", "cam-1 runs again", 50_000);
      const status = await world.workload("cam-1");
      expect(status?.proof?.gaps.at(-1)?.cause).toBe("network-lost");
    });
  });

// It takes the whole machine: alone, after the others.
test("an encoder that is too slow is named and left alone", async () => {
  await using world = await createAgentWorld();
  await world.startAgent();
  const input = { url: "test://bars?size=1920x1080&fps=120" };
  const video = { encoder: "libx264", preset: "medium", bitrateKbit: 4000 };
  world.server.putStreams({
    kind: "stream",
    id: "cam-1",
    spec: { input, video, audio: "none", outputs: [{ url: `${world.server.rtmp?.url}/cam-1` }] },
  });
  const { pid } = await world.until(
    async () => {
      const status = await world.workload("cam-1");
      return (status?.media?.outTimeSeconds ?? 0) > 0 ? status : undefined;
    },
    "cam-1 makes its first media",
    25_000,
  );
  const { cause, text } = await nameOf(() => undefined, world, "cam-1");
  expect(cause).toBe("encoder-slow");
  expect(text).toContain("would not help");
  const status = await world.workload("cam-1");
  expect(status).toMatchObject({ pid, state: "degraded", restarts: 0, fault: "encoder-slow" });
});
