import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type AgentWorld, createAgentWorld } from "../../test-server/agent-world.ts";
import { runSluice } from "../../test-server/sluice-command.ts";
import { formatDocument, parseDocument } from "../base/document.ts";
import { createLocalAgent } from "../client/local-agent.ts";
import type { Workload } from "../contract/workload.ts";
import { REGISTRY_FORMAT } from "./registry/registry.ts";

const IDS = ["cam-1", "cam-2", "cam-3", "cam-4"];

/** What happens to every generation of the file, and what the agent says of the newest. */
const LOSSES: readonly { title: string; damage: (text: string) => string | undefined; says: string | undefined }[] = [
  { title: "deleted", damage: () => undefined, says: undefined },
  { title: "garbage", damage: () => "]]}} <html>", says: "it is not JSON, or not all of it" },
  { title: "emptied", damage: () => "", says: "it is empty" },
  { title: "NUL bytes", damage: (text) => "\0".repeat(text.length), says: "it holds only NUL bytes" },
  { title: "cut in half", damage: (text) => text.slice(0, text.length / 2), says: "it is not JSON, or not all of it" },
  {
    title: "one digit changed",
    damage: (text) => text.replace(/"generation":\d/, '"generation":7'),
    says: "its checksum does not fit",
  },
  {
    title: "from a newer release",
    damage: () => formatDocument({ ...REGISTRY_FORMAT, version: 9, minReader: 9 }, '{"streams":{}}', "2030-01-01"),
    says: "a newer release wrote it (version 9)",
  },
  {
    title: "other things where records should be",
    damage: () => formatDocument(REGISTRY_FORMAT, '{"records":[{"id":"cam-1","pid":-1},7]}', "2026-01-01"),
    says: "Part of",
  },
];

function bars(world: AgentWorld, id: string): Workload {
  const outputs = [{ url: `${world.server.rtmp?.url}/${id}` }];
  return { kind: "stream", id, spec: { input: { url: "test://bars?size=160x90&fps=5" }, outputs, audio: "none" } };
}

async function pidsOf(world: AgentWorld): Promise<Record<string, number | undefined>> {
  return Object.fromEntries((await world.status()).workloads.map(({ id, pid }) => [id, pid]));
}

test.concurrent("whatever happens to the registry while no agent lives, every stream is adopted and none is restarted", async () => {
  await using world = await createAgentWorld();
  const generations = () =>
    readdirSync(world.stateDir)
      .filter((name) => /^registry\.json(\.\d)?$/.test(name))
      .map((name) => join(world.stateDir, name));

  await world.startAgent();
  world.server.putStreams(...IDS.map((id) => bars(world, id)));
  for (const id of IDS) await world.untilRunning(id);
  const first = await pidsOf(world);

  for (const { title, damage, says } of LOSSES) {
    await world.killAgent("SIGKILL");
    expect(generations().length, title).toBeGreaterThan(0);
    for (const path of generations()) {
      const damaged = damage(readFileSync(path, "utf8"));
      if (damaged === undefined) rmSync(path);
      else writeFileSync(path, damaged);
    }
    const agent = await world.startAgent();

    expect(await pidsOf(world), title).toEqual(first);
    const { badInputs } = await world.status();
    if (says === undefined) expect(badInputs, title).toEqual({});
    else {
      expect(badInputs["stored-state"], title).toBeGreaterThan(0);
      expect(agent.output(), title).toContain(says);
    }
    await world.until(() => {
      const parsed = parseDocument(readFileSync(join(world.stateDir, "registry.json"), "utf8"), REGISTRY_FORMAT);
      return parsed.kind === "good" && IDS.every((id) => JSON.stringify(parsed.data).includes(`"id":"${id}"`));
    }, `the registry is whole again after: ${title}`);
  }

  expect((await runSluice(world, ["status"])).text).toMatch(/bad input +.*stored-state \d/);
  for (const id of IDS) await world.untilRunning(id);
  expect(IDS.map((id) => world.server.rtmp?.connects(id))).toEqual(IDS.map(() => 1));
  const aside = readdirSync(world.stateDir).filter((name) => /^registry\.json\.(bad|v9)-/.test(name));
  expect(aside.length).toBeGreaterThan(0);
}, 120_000);

test.concurrent("an agent that lost everything it knew keeps what runs until the server has said what is expected", async () => {
  await using world = await createAgentWorld();
  await world.startAgent();
  world.server.putStreams(...IDS.map((id) => bars(world, id)));
  for (const id of IDS) await world.untilRunning(id);
  const first = await pidsOf(world);
  const known = () => readdirSync(world.stateDir).filter((name) => /^(registry|persistent_state)\.json/.test(name));

  await world.killAgent("SIGKILL");
  for (const name of known()) rmSync(join(world.stateDir, name));
  world.server.fault("refuse", { status: 503, seconds: 0 });
  const agent = await world.startAgent();
  const local = createLocalAgent({ socketPath: join(world.stateDir, "agent.sock") });
  const limit = AbortSignal.timeout(20_000);
  expect(await local.reconcile(limit)).toEqual({ kept: 0, started: 0, stopped: 0 });
  expect(await pidsOf(world)).toEqual(first);
  expect((await local.explain("cam-1", limit)).because[0]).toContain("kept until the server has named the whole set");
  const { processes } = await local.cleanup({ dryRun: false, scope: "strays" }, limit);
  expect(processes.map(({ reason }) => reason)).toEqual(
    IDS.map(() => "the server has not said yet whether it is expected"),
  );

  world.server.set.remove(["cam-4"]);
  world.server.board.clear("refuse");
  await world.until(async () => !("cam-4" in (await pidsOf(world))), "what the server does not expect is stopped");
  const { "cam-4": _stopped, ...others } = first;
  expect(await pidsOf(world)).toEqual(others);

  await world.killAgent("SIGKILL");
  for (const name of known()) writeFileSync(join(world.stateDir, name), "\0\0\0\0");
  await world.startAgent();
  await world.until(async () => (await world.status()).expected.workloads === 3, "the server has named the set");
  expect(await pidsOf(world)).toEqual(others);
  expect(Object.keys(others).map((id) => world.server.rtmp?.connects(id))).toEqual([1, 1, 1]);
  expect(agent.output()).not.toContain("Stopping pid");
});
