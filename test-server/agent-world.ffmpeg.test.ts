import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { isLive } from "../src/base/proc-stat.ts";
import { createProcessTable } from "../src/base/process-table.ts";
import type { Workload } from "../src/contract/workload.ts";
import { type AgentWorld, createAgentWorld } from "./agent-world.ts";

function small(world: AgentWorld, id: string): Workload {
  const input = { url: "test://bars?size=160x120&fps=10" };
  return { kind: "stream", id, spec: { input, outputs: [{ url: `${world.server.rtmp?.url}/${id}` }] } };
}

test("a world ends with nothing left: no process, no directory, no listening port", async () => {
  const { stateDir, origin, pids } = await (async () => {
    await using world = await createAgentWorld();
    await world.startAgent();
    world.server.putStreams(small(world, "cam-1"));
    await world.untilRunning("cam-1");
    expect(world.workloadPids()).toHaveLength(1);
    return { stateDir: world.stateDir, origin: world.server.origin, pids: world.workloadPids() };
  })();
  expect(existsSync(stateDir)).toBe(false);
  const table = createProcessTable();
  for (const pid of pids) expect(isLive(table.stat(pid))).toBe(false);
  await expect(fetch(origin)).rejects.toThrow();
});

test("an agent that is killed leaves its streams, and the next one adopts them without a reconnect", async () => {
  await using world = await createAgentWorld();
  await world.startAgent();
  world.server.putStreams(small(world, "cam-1"));
  const { pid } = await world.untilRunning("cam-1");
  await world.killAgent("SIGKILL");
  expect(world.workloadPids()).toEqual([pid]);
  await world.startAgent();
  expect((await world.untilRunning("cam-1")).pid).toBe(pid);
  expect(world.server.rtmp?.connects("cam-1")).toBe(1);
});

test("the simple form drives an agent as well", async () => {
  await using world = await createAgentWorld({ eventsPath: "/events?form=simple" });
  await world.startAgent();
  world.server.putStreams(small(world, "cam-1"));
  await world.untilRunning("cam-1");
  world.server.set.remove(["cam-1"]);
  await world.until(() => world.workloadPids().length === 0, "cam-1 is stopped");
});

test("an agent that cannot start is reported with its own words", async () => {
  await using world = await createAgentWorld();
  await expect(world.startAgent(["--box-id", "-bad"])).rejects.toThrow(/ended while it started[\s\S]*box/);
  expect(world.agent()).toBeUndefined();
});
