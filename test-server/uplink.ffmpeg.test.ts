import { describe, expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
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

describe.skipIf(problem !== undefined)(title, () => {
  test.each(["drop", "unplug"] as const)(
    `with ${STREAMS} streams that is cut (%s) has one incident, no counter grows, and all are back within seconds after it`,
    async (how) => {
      await using net = createNetworkNamespace();
      const server = { host: net.nearAddress, listenAnywhere: true };
      await using world = await createAgentWorld({ namespace: net.name, server });
      await world.startAgent();
      world.server.putStreams(...streams(`${world.server.rtmp?.url}`, STREAMS));
      await untilAllFlow(world);

      if (how === "drop") net.drop(["input", "output"]);
      else net.unplug();
      const cutMs = systemClock.monotonicMs();
      const [incident] = await untilIncident(world);
      const openedMs = systemClock.monotonicMs() - cutMs;
      expect(incident?.kind).toBe("uplink-lost");
      await systemClock.delay(Math.max(0, cutMs + CUT_MS - systemClock.monotonicMs()));
      const during = await world.status();
      expect(during.incidents).toHaveLength(1);
      expect(during.workloads.filter(({ state }) => state === "running")).toEqual([]);
      // As a server does with publishers that have been silent for long.
      for (const { id } of during.workloads) world.server.rtmp?.cut(id);

      if (how === "drop") net.heal();
      else net.plug();
      const healedMs = systemClock.monotonicMs();
      await untilAllFlow(world);
      const backMs = systemClock.monotonicMs() - healedMs;
      console.log(
        `${how}: incident after ${Math.round(openedMs)} ms, cut for ${CUT_MS / 1000} s, all back ${Math.round(backMs)} ms later`,
      );
      expect(backMs).toBeLessThanOrEqual(BACK_MS);
      expect((await untilOver(world)).map(({ kind }) => kind)).toEqual(["uplink-lost"]);
      expect(world.server.rtmp?.publishers().filter(({ publishing }) => publishing)).toHaveLength(STREAMS);
      await expectFirstDelay(world);
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
    world.server.putStreams(...streams(`rtmp://ingest.sluice.test:${world.server.rtmp?.port}/live`, 4));
    await untilAllFlow(world);

    await resolver[Symbol.asyncDispose]();
    // Names are asked for by whoever connects: everybody must.
    for (const { id } of (await world.status()).workloads) world.server.rtmp?.cut(id);
    world.server.fault("drop", {});
    const [incident] = await untilIncident(world);
    expect(incident?.kind).toBe("dns-lost");
    await systemClock.delay(20_000);
    expect((await world.status()).incidents).toHaveLength(1);

    await using _again = await startNameServer(place);
    const healedMs = systemClock.monotonicMs();
    await untilAllFlow(world);
    const backMs = systemClock.monotonicMs() - healedMs;
    console.log(`names: all back ${Math.round(backMs)} ms after they could be resolved again`);
    expect(backMs).toBeLessThanOrEqual(BACK_MS);
    const over = await untilOver(world);
    expect(
      over.map(({ kind }) => kind),
      JSON.stringify(over),
    ).toEqual(["dns-lost"]);
    await expectFirstDelay(world);
  }, 120_000);
});

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

/** The next failure of a stream waits as its first one would: nothing that the incident explains was counted. */
async function expectFirstDelay(world: AgentWorld): Promise<void> {
  // Longer than starts are still spaced out after an incident.
  await systemClock.delay(31_000);
  const pid = (await world.workload("cam-0"))?.pid ?? -1;
  process.kill(pid, "SIGKILL");
  const line = await world.until(
    () => /cam-0 ended \(killed by SIGKILL.*next start in ([\d.]+) s/.exec(world.agent()?.output() ?? ""),
    "the end of cam-0 is told",
  );
  expect(Number(line[1])).toBeLessThanOrEqual(0.2);
}
