import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { registryRecordSchema } from "../src/agent/registry/record.ts";
import { REGISTRY_FORMAT } from "../src/agent/registry/registry.ts";
import { systemClock } from "../src/base/clock.ts";
import { parseDocument } from "../src/base/document.ts";
import type { Workload } from "../src/contract/workload.ts";
import { type AgentWorld, createAgentWorld } from "./agent-world.ts";
import { startNameServer } from "./name-server.ts";
import { createNetworkNamespace, networkNamespaceProblem } from "./network-namespace.ts";

const STREAMS = 20;
const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const CUT_MS = isLong ? 600_000 : 40_000;
/** After an incident all streams are due within a second, and ten start each second. */
const RELEASE_MS = 1000 + STREAMS * 100;
/** From the end of the outage to media of the last stream. */
const BACK_MS = RELEASE_MS + 5000;

const problem = networkNamespaceProblem();
const title = `a box with an uplink of its own${problem === undefined ? "" : ` (skipped: ${problem})`}`;

describe.skipIf(problem !== undefined).concurrent(title, () => {
  const startingTogether = createTurns();
  test.each(["drop", "unplug"] as const)(
    `with ${STREAMS} streams that is cut (%s) has one incident, no counter grows, and all are back within seconds after it`,
    async (how) => {
      await using net = createNetworkNamespace();
      const server = { host: net.nearAddress, listenAnywhere: true };
      await using world = await createAgentWorld({ namespace: net.name, server });
      await world.startAgent();
      await startingTogether(async () => {
        world.server.putStreams(...streams(`${world.server.rtmp?.url}`, STREAMS));
        await untilAllFlow(world);
      });

      if (how === "drop") net.drop(["input", "output"]);
      else net.unplug();
      const cutMs = systemClock.monotonicMs();
      const [incident] = await untilIncident(world);
      const openedMs = systemClock.monotonicMs() - cutMs;
      expect(incident?.kind).toBe("uplink-lost");
      // The registry is written a moment after what it tells of.
      await systemClock.delay(1000);
      const counted = countedFailures(world);
      await systemClock.delay(Math.max(0, cutMs + CUT_MS - systemClock.monotonicMs()));
      const during = await world.status();
      expect(during.incidents).toHaveLength(1);
      expect(countedFailures(world)).toEqual(counted);
      expect(during.workloads.filter(({ state }) => state === "running")).toEqual([]);
      // As a server does with publishers that have been silent for long.
      for (const { id } of during.workloads) world.server.rtmp?.cut(id);

      const healedWallMs = await startingTogether(async () => {
        if (how === "drop") net.heal();
        else net.plug();
        const nowMs = systemClock.wallMs();
        await untilAllFlow(world);
        return nowMs;
      });
      const backMs = (await lastGapEndWallMs(world)) - healedWallMs;
      console.log(
        `${how}: incident after ${Math.round(openedMs)} ms, cut for ${CUT_MS / 1000} s, all back ${Math.round(backMs)} ms later`,
      );
      expect(backMs).toBeLessThanOrEqual(BACK_MS);
      expect((await untilOver(world)).map(({ kind }) => kind)).toEqual(["uplink-lost"]);
      expect(world.server.rtmp?.publishers().filter(({ publishing }) => publishing)).toHaveLength(STREAMS);
    },
    CUT_MS + 180_000,
  );

  test("that resolves no names any more has one incident, and its streams are back within seconds after it", async () => {
    await using net = createNetworkNamespace();
    net.setResolver(net.nearAddress);
    const names = { "hub.sluice.test": net.nearAddress, "ingest.sluice.test": net.nearAddress };
    const place = { address: net.nearAddress, names };
    await using world = await createAgentWorld({
      namespace: net.name,
      server: { host: net.nearAddress, listenAnywhere: true },
      serverName: "hub.sluice.test",
    });
    const resolver = await startNameServer(place);
    await world.startAgent();
    await startingTogether(async () => {
      world.server.putStreams(...streams(`rtmp://ingest.sluice.test:${world.server.rtmp?.port}/live`, 4));
      await untilAllFlow(world);
    });

    await resolver[Symbol.asyncDispose]();
    // Names are asked for by whoever connects: everybody must.
    for (const { id } of (await world.status()).workloads) world.server.rtmp?.cut(id);
    world.server.fault("drop", {});
    const [incident] = await untilIncident(world);
    expect(incident?.kind).toBe("dns-lost");
    await systemClock.delay(1000);
    const counted = countedFailures(world);
    await systemClock.delay(20_000);
    expect((await world.status()).incidents).toHaveLength(1);
    expect(countedFailures(world)).toEqual(counted);

    await using again = new AsyncDisposableStack();
    const healedWallMs = await startingTogether(async () => {
      again.use(await startNameServer(place));
      const nowMs = systemClock.wallMs();
      await untilAllFlow(world);
      return nowMs;
    });
    const backMs = (await lastGapEndWallMs(world)) - healedWallMs;
    console.log(`names: all back ${Math.round(backMs)} ms after they could be resolved again`);
    expect(backMs).toBeLessThanOrEqual(BACK_MS);
    const over = await untilOver(world);
    expect(
      over.map(({ kind }) => kind),
      JSON.stringify(over),
    ).toEqual(["dns-lost"]);
  }, 120_000);
});

/** Runs one act at a time: boxes that are cut wait together, and each has the machine when all its streams start. */
function createTurns(): <Result>(act: () => Promise<Result>) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve();
  return (act) => {
    const mine = last.then(act);
    last = mine.catch(() => undefined);
    return mine;
  };
}

function streams(url: string, count: number): Workload[] {
  const video = { encoder: "libx264", preset: "ultrafast", bitrateKbit: 100, gopFrames: 5 };
  return Array.from({ length: count }, (_, index) => {
    const id = `cam-${index}`;
    const input = { url: "test://bars?size=160x90&fps=5" };
    return { kind: "stream", id, spec: { input, outputs: [{ url: `${url}/${id}` }], video, audio: "none" } };
  });
}

async function untilAllFlow(world: AgentWorld): Promise<void> {
  const allFlow = async () => {
    const { workloads } = await world.status();
    return (
      workloads.length > 0 && workloads.every(({ state, media }) => state === "running" && (media?.frames ?? 0) > 0)
    );
  };
  await world.until(allFlow, "media of all streams flows", 90_000);
}

/** When media of the last stream was back, by the agent's own clock: a busy machine hears of it later. */
async function lastGapEndWallMs(world: AgentWorld): Promise<number> {
  const { workloads } = await world.status();
  return Math.max(...workloads.map(({ proof }) => Date.parse(proof?.gaps.at(-1)?.end ?? "")));
}

function untilIncident(world: AgentWorld) {
  const opened = async () => {
    const { incidents } = await world.status();
    return incidents.length > 0 ? incidents : undefined;
  };
  return world.until(opened, "an incident is opened", 45_000);
}

function untilOver(world: AgentWorld) {
  const over = async () => {
    const { incidents } = await world.status();
    return incidents.every(({ end }) => end !== undefined) ? incidents : undefined;
  };
  return world.until(over, "the incident is over", 45_000);
}

/** Failures that were counted against each stream, as the agent keeps them. One that has none yet has one after an incident. */
function countedFailures(world: AgentWorld): ReadonlyMap<string, number> {
  const parsed = parseDocument(readFileSync(join(world.stateDir, "registry.json"), "utf8"), REGISTRY_FORMAT);
  const { records } = recordsSchema.parse(parsed.kind === "good" ? parsed.data : undefined);
  return new Map(records.map(({ id, failures }) => [id, Math.max(1, failures)]));
}

const recordsSchema = z.object({ records: z.array(registryRecordSchema) });
