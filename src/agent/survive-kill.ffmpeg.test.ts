import { expect, test } from "vitest";
import { type AgentWorld, createAgentWorld } from "../../test-server/agent-world.ts";
import { makeClip } from "../../test-server/clip.ts";
import { systemClock } from "../base/clock.ts";
import type { Workload } from "../contract/workload.ts";

const STREAMS = 20;
const KILLS = process.env["SLUICE_TEST_LONG"] === "1" ? 100 : 8;
/** Where nothing else takes the processor: of the quickest quarter. The others have a machine's worst moments in them. */
const ADOPTION_MS = 1000;
const SLOWEST_ADOPTION_MS = 10_000;

const ids = Array.from({ length: STREAMS }, (_, index) => `cam-${String(index + 1).padStart(2, "0")}`);

function copyOf(path: string, id: string, world: AgentWorld): Workload {
  const input = { url: path, loop: true };
  return { kind: "stream", id, spec: { input, outputs: [{ url: `${world.server.rtmp?.url}/${id}` }], audio: "none" } };
}

async function pids(world: AgentWorld): Promise<ReadonlyMap<string, number | undefined>> {
  return new Map((await world.status()).workloads.map(({ id, pid }) => [id, pid]));
}

test(`${KILLS} kills of the agent change no process of ${STREAMS} streams, and no receiver sees a reconnect`, async () => {
  await using clip = await makeClip({ seconds: 4, size: "160x90", fps: 5 });
  await using world = await createAgentWorld({ agentArguments: ["--policy-file-roots", clip.directory] });
  const media = () => ids.map((id) => world.server.rtmp?.mediaBytes(id) ?? 0);
  await world.startAgent();
  world.server.putStreams(...ids.map((id) => copyOf(clip.path, id, world)));
  for (const id of ids) await world.untilRunning(id, 40_000);
  const first = await pids(world);
  expect(first.size).toBe(STREAMS);
  const history = (await world.status()).workloads.map(({ id, generation, restarts }) => ({
    id,
    generation,
    restarts,
  }));
  const adoptionsMs: number[] = [];

  for (let kill = 1; kill <= KILLS; kill++) {
    await world.killAgent("SIGKILL");
    const before = media();
    await world.until(() => media().every((bytes, index) => bytes > (before[index] ?? 0)), "media goes on", 10_000);

    await world.startAgent();
    const { startedAt, workloads } = await world.status();
    adoptionsMs.push(systemClock.wallMs() - Date.parse(startedAt));
    expect(new Map(workloads.map(({ id, pid }) => [id, pid])), `after kill ${kill}`).toEqual(first);
  }

  adoptionsMs.sort((left, right) => left - right);
  expect(adoptionsMs[KILLS / 4]).toBeLessThanOrEqual(ADOPTION_MS);
  expect(adoptionsMs.at(-1)).toBeLessThanOrEqual(SLOWEST_ADOPTION_MS);
  expect(ids.map((id) => world.server.rtmp?.connects(id))).toEqual(ids.map(() => 1));
  const { workloads } = await world.status();
  expect(workloads.map(({ id, generation, restarts }) => ({ id, generation, restarts }))).toEqual(history);
  for (const id of ids) await world.untilRunning(id);
  expect([...world.workloadPids()].sort()).toEqual([...first.values()].sort());
}, 300_000);
