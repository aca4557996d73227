import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type AgentWorld, createAgentWorld } from "../../test-server/agent-world.ts";
import { createTestServer } from "../../test-server/server.ts";
import { type DocumentFormat, formatDocument, parseDocument } from "../base/document.ts";
import type { Workload } from "../contract/workload.ts";
import { REGISTRY_FORMAT } from "./registry/registry.ts";

const MARKER: DocumentFormat = { format: "sluice.boot-marker", version: 1, minReader: 1 };
const OTHER_BOOT = { bootId: "0f0e0d0c-0000-4000-8000-000000000001" };
const IDS = ["cam-1", "cam-2", "cam-3"];

function bars(world: AgentWorld, id: string): Workload {
  const outputs = [{ url: `${world.server.rtmp?.url}/${id}` }];
  return { kind: "stream", id, spec: { input: { url: "test://bars?size=160x90&fps=5" }, outputs, audio: "none" } };
}

async function pidsOf(world: AgentWorld): Promise<Record<string, number | undefined>> {
  return Object.fromEntries((await world.status()).workloads.map(({ id, pid }) => [id, pid]));
}

/** Makes the last start look as if the kernel had told other facts then. */
function editMarker(world: AgentWorld, facts: Readonly<Record<string, unknown>>): void {
  const path = join(world.stateDir, ".boot_marker");
  const parsed = parseDocument(readFileSync(path, "utf8"), MARKER);
  if (parsed.kind !== "good" || typeof parsed.data !== "object") throw new RangeError(`${path} is ${parsed.kind}`);
  writeFileSync(path, formatDocument(MARKER, JSON.stringify({ ...parsed.data, ...facts }), "2026-01-01T00:00:00Z"));
}

function registryOf(world: AgentWorld): unknown {
  const parsed = parseDocument(readFileSync(join(world.stateDir, "registry.json"), "utf8"), REGISTRY_FORMAT);
  return parsed.kind === "good" ? parsed.data : parsed;
}

test.concurrent("a restart touches nothing, however young the machine; a reboot forgets what was expected and sweeps what is left", async () => {
  await using world = await createAgentWorld({ environment: { BOOT_DETECTION_THRESHOLD: "86400" } });
  await world.startAgent();
  world.server.putStreams(...IDS.map((id) => bars(world, id)));
  for (const id of IDS) await world.untilRunning(id);
  const before = await pidsOf(world);

  await world.killAgent("SIGKILL");
  editMarker(world, { uptimeSeconds: 1, bootTimeMs: 0 });
  const restarted = await world.startAgent();
  expect((await world.status()).verdict).toBe("restart");
  expect(await pidsOf(world)).toEqual(before);
  expect(restarted.output()).toMatch(/\[INFO\] \[BOOT\] Restart on the same boot \(uptime: \d+ seconds\)/);

  await world.killAgent("SIGTERM");
  editMarker(world, OTHER_BOOT);
  // The server is away, so that nothing but the box itself decides.
  world.server.fault("refuse", { status: 503, seconds: 0 });
  const rebooted = await world.startAgent();
  expect(rebooted.output()).toMatch(/\[INFO\] \[BOOT\] Fresh boot detected \(uptime: \d+ seconds\)\n/);
  expect(await world.status()).toMatchObject({ verdict: "reboot", expected: { workloads: 0 } });
  await world.until(() => world.workloadPids().length === 0, "what was left over is swept");
  await world.until(() => JSON.stringify(registryOf(world)) === '{"records":[]}', "the registry is empty");

  world.server.board.clear("refuse");
  for (const id of IDS) await world.untilRunning(id);
  expect(Object.values(await pidsOf(world)).filter((pid) => Object.values(before).includes(pid))).toEqual([]);
});

test.concurrent("with boot.onReboot resume the streams run after a reboot although no server can be reached", async () => {
  await using world = await createAgentWorld({ agentArguments: ["--boot-on-reboot", "resume"] });
  await world.startAgent(["--stop-streams-on-exit"]);
  world.server.putStreams(...IDS.map((id) => bars(world, id)));
  for (const id of IDS) await world.untilRunning(id);
  // A machine that goes down takes every process with it.
  await world.killAgent("SIGTERM");
  expect(world.workloadPids()).toEqual([]);
  editMarker(world, OTHER_BOOT);
  world.server.fault("refuse", { status: 503, seconds: 0 });

  const agent = await world.startAgent();
  expect(agent.output()).toContain("Fresh boot detected");
  for (const id of IDS) await world.untilRunning(id);
  expect((await world.status()).link).toMatchObject({ connects: 0 });
});

test.concurrent("a server that is lost, dies and comes back with another set costs no stream that it still expects", async () => {
  await using world = await createAgentWorld();
  const first = await createTestServer({ port: 0, rtmpPort: undefined, beatMs: 1000 });
  const { port } = first;
  try {
    const agent = await world.startAgent(["--link-endpoint", first.eventsUrl]);
    first.putStreams(...IDS.map((id) => bars(world, id)));
    for (const id of IDS) await world.untilRunning(id);
    const before = await pidsOf(world);

    first.fault("drop");
    await world.until(
      () => /\[WARN\] \[SSE\] Connection lost, retrying in [\d.]+ seconds/.test(agent.output()),
      "lost",
    );
    await world.until(() => agent.output().includes("[INFO] [SSE] Reconnected to SSE endpoint"), "reconnected");
    await world.until(
      () => /Reconnected[\s\S]*Reconciliation completed: 3 kept, 0 started, 0 stopped/.test(agent.output()),
      "reconciled",
    );
    expect(await pidsOf(world)).toEqual(before);

    await first.close();
    await world.until(async () => (await world.status()).link.attempts >= 2, "two attempts have failed");
    expect(await pidsOf(world)).toEqual(before);

    await using second = await createTestServer({ port, strictPorts: true, rtmpPort: undefined, beatMs: 1000 });
    second.set.replace(
      ["cam-1", "cam-2", "cam-4"].map((id) => bars(world, id)),
      false,
    );
    await world.untilRunning("cam-4");
    await world.until(async () => !("cam-3" in (await pidsOf(world))), "cam-3 is stopped");
    expect(await pidsOf(world)).toMatchObject({ "cam-1": before["cam-1"], "cam-2": before["cam-2"] });
    expect(IDS.map((id) => world.server.rtmp?.connects(id))).toEqual([1, 1, 1]);
  } finally {
    await first.close();
  }
});
