import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { systemClock } from "../../base/clock.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createMetricsServer } from "../../base/metrics-server.ts";
import { sampleStatus, sampleWorkload } from "../local-api/local-api.fake.ts";
import { renderMetrics } from "./metrics.ts";

const PROCESS = { rssBytes: 64_000_000, startedWallMs: 1_768_473_045_000 };
const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

async function linesOf(given: Parameters<typeof sampleStatus>[0]): Promise<string[]> {
  const text = await renderMetrics(sampleStatus(given), PROCESS);
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

test("tell workloads by state, and the counters and rates of each", async () => {
  const lines = await linesOf({
    badInputs: { "event:not-json": 3 },
    workloads: [
      sampleWorkload({
        restarts: 4,
        media: { fps: 25, bitrateKbit: 1800, speed: 0.5, totalBytes: 9000, frames: 250, outTimeSeconds: 10 },
        cpuPercent: 12.5,
      }),
      sampleWorkload({ id: "cam-2", state: "waiting", media: undefined }),
    ],
  });
  expect(lines).toEqual(
    expect.arrayContaining([
      'sluice_workloads{state="running"} 1',
      'sluice_workloads{state="waiting"} 1',
      'sluice_workloads{state="stalled"} 0',
      'sluice_workload_restarts_total{id="cam-1"} 4',
      'sluice_workload_media_bytes_total{id="cam-1"} 9000',
      'sluice_workload_frames_total{id="cam-1"} 250',
      'sluice_workload_fps{id="cam-1"} 25',
      'sluice_workload_speed_ratio{id="cam-1"} 0.5',
      'sluice_workload_bitrate_bits{id="cam-1"} 1800000',
      'sluice_workload_cpu_ratio{id="cam-1"} 0.125',
      'sluice_workload_running{id="cam-2"} 0',
      'sluice_bad_inputs_total{kind="event:not-json"} 3',
      "process_resident_memory_bytes 64000000",
    ]),
  );
  expect(lines.filter((line) => line.startsWith("sluice_workload_fps"))).toHaveLength(1);
});

test("tell sessions by state, how often they slept and woke, and how long a wake takes", async () => {
  const session = { user: "anna", turn: 3, hibernations: 2, wakes: 1, openConnections: 4, wakeMs: { frozen: 20 } };
  const lines = await linesOf({
    workloads: [
      sampleWorkload({ id: "web", kind: "session", state: "hibernated", media: undefined, session }),
      sampleWorkload({ id: "cam-1" }),
    ],
  });
  expect(lines).toEqual(
    expect.arrayContaining([
      'sluice_sessions{state="hibernated"} 1',
      'sluice_sessions{state="running"} 0',
      'sluice_session_hibernations_total{id="web"} 2',
      'sluice_session_wakes_total{id="web"} 1',
      'sluice_session_open_connections{id="web"} 4',
      'sluice_session_wake_seconds{id="web",depth="frozen"} 0.02',
    ]),
  );
  expect(lines.some((line) => /^sluice_session.*cam-1/.test(line))).toBe(false);
});

test("tell what the resource guard sees and whom it holds back", async () => {
  const lines = await linesOf({
    guard: {
      limitsBy: "cgroup",
      cpuPercent: 42,
      memoryAvailableBytes: 1e9,
      roots: [
        { root: "/srv/a", freeBytes: 5e9, recordedBytes: 2e9 },
        { root: "/srv/b", freeBytes: 1e6, paused: "/srv/b has 1 MiB free, and the floor is 256 MiB" },
      ],
    },
    workloads: [
      sampleWorkload({ limits: { memoryBytes: 268_435_456, cpuCores: 0.5, by: "cgroup" } }),
      sampleWorkload({ id: "cam-2", held: { by: "disk", reason: "no room" } }),
    ],
  });
  expect(lines).toEqual(
    expect.arrayContaining([
      "sluice_box_cpu_ratio 0.42",
      "sluice_box_memory_available_bytes 1000000000",
      'sluice_recordings_free_bytes{root="/srv/a"} 5000000000',
      'sluice_recordings_bytes{root="/srv/a"} 2000000000',
      'sluice_recordings_paused{root="/srv/a"} 0',
      'sluice_recordings_paused{root="/srv/b"} 1',
      'sluice_workload_memory_limit_bytes{id="cam-1"} 268435456',
      'sluice_workload_cpu_limit_ratio{id="cam-1"} 0.5',
      'sluice_workload_held{id="cam-2",by="disk"} 1',
    ]),
  );
});

test("tell of each stream what was expected, what was proved, and the gaps by cause", async () => {
  const start = "2026-01-15T10:30:45.000Z";
  const gaps = [{ start, end: "2026-01-15T10:30:55.000Z", seconds: 10, cause: "network" }];
  const byCause = { starting: { count: 1, seconds: 0.8 }, network: { count: 3, seconds: 42.5 } };
  const proof = {
    since: start,
    expectedSeconds: 600,
    provenSeconds: 556.7,
    percent: 92.78,
    gapCount: 4,
    byCause,
    gaps,
  };
  const open = { ...proof, gapCount: 5, gaps: [...gaps, { start, seconds: 7, cause: "silent" }] };
  const lines = await linesOf({
    workloads: [
      sampleWorkload({ proof }),
      sampleWorkload({ id: "cam-2", proof: open }),
      sampleWorkload({ id: "cam-3" }),
    ],
  });
  expect(lines.filter((line) => /expected_seconds|proven|gap/.test(line) && !line.includes("cam-2"))).toEqual([
    'sluice_workload_expected_seconds_total{id="cam-1"} 600',
    'sluice_workload_proven_seconds{id="cam-1"} 556.7',
    'sluice_workload_open_gap_seconds{id="cam-1"} 0',
    'sluice_workload_gaps_total{id="cam-1",cause="starting"} 1',
    'sluice_workload_gaps_total{id="cam-1",cause="network"} 3',
    'sluice_workload_gap_seconds_total{id="cam-1",cause="starting"} 0.8',
    'sluice_workload_gap_seconds_total{id="cam-1",cause="network"} 42.5',
  ]);
  expect(lines).toContain('sluice_workload_open_gap_seconds{id="cam-2"} 7');
});

test("tell the link's state as one of all states, and whether the registry is on disk", async () => {
  const lines = await linesOf({ registry: { durable: false, reason: "ENOSPC" } });
  expect(lines.filter((line) => line.startsWith("sluice_link_state"))).toEqual([
    'sluice_link_state{state="off"} 0',
    'sluice_link_state{state="connecting"} 0',
    'sluice_link_state{state="live"} 1',
    'sluice_link_state{state="waiting"} 0',
    'sluice_link_state{state="degraded"} 0',
  ]);
  expect(lines).toContain("sluice_registry_durable 0");
});

test("are what they are now at each reading: nothing adds up between two of them", async () => {
  const first = await renderMetrics(sampleStatus(), PROCESS);
  expect(await renderMetrics(sampleStatus(), PROCESS)).toBe(first);
});

test("are served at /metrics of a loopback port, and nothing else is", async () => {
  const stop = new AbortController();
  stops.push(stop);
  const { promise, resolve } = Promise.withResolvers<number>();
  const done = createMetricsServer(
    { listen: { host: "127.0.0.1", port: 0 } },
    {
      render: async () => "up 1\n",
      clock: systemClock,
      random: () => 0.5,
      log: createMemoryLog(),
      onListening: resolve,
    },
  ).run(stop.signal);
  const origin = `http://127.0.0.1:${await promise}`;
  const answer = await fetch(`${origin}/metrics`);
  expect(answer.headers.get("content-type")).toContain("version=0.0.4");
  expect(await answer.text()).toBe("up 1\n");
  expect((await fetch(`${origin}/v1/status`)).status).toBe(404);
  expect((await fetch(`${origin}/metrics`, { method: "POST" })).status).toBe(404);
  stop.abort();
  await done;
});

test("a taken port is said once, tried again, and ends nothing", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  const address = holder.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const clock = createFakeClock();
  const log = createMemoryLog();
  const stop = new AbortController();
  stops.push(stop);
  let listening = 0;
  const done = createMetricsServer(
    { listen: { host: "127.0.0.1", port } },
    { render: async () => "", clock, random: () => 1, log, onListening: () => listening++ },
  ).run(stop.signal);
  for (let tries = 0; tries < 3; tries++) {
    await systemClock.delay(20);
    await clock.advance(60_000);
  }
  await expect.poll(() => log.lines).toEqual([expect.stringMatching(/metrics\.listen.*EADDRINUSE/)]);
  expect(listening).toBe(0);
  holder.close();
  await once(holder, "close");
  // An attempt takes as long as the machine likes; the next one is due only after it.
  const attempt = async () => {
    await clock.advance(60_000);
    return listening;
  };
  await expect.poll(attempt).toBe(1);
  stop.abort();
  await done;
});
