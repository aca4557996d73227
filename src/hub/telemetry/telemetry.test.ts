import { afterEach, beforeEach, expect, test } from "vitest";
import type { Report } from "../../contract/report.ts";
import { call, sendReport } from "../box-client.fake.ts";
import { addBox, addOperators, type LiveHub, startLiveHub, VIEWER } from "../live-hub.fake.ts";
import { reportOf } from "../store/store.fake.ts";
import { figuresOf } from "./sample-of-report.ts";

let hub: LiveHub;

beforeEach(async () => {
  hub = await startLiveHub();
  await addOperators(hub.store);
});

afterEach(() => hub.close());

const report = (sequence: number): Report => ({
  ...reportOf("b", "s", sequence),
  node: {
    cpuPercent: 20 * sequence,
    memory: { totalBytes: 200, usedBytes: 50 },
    disks: [
      { path: "/", totalBytes: 100, usedBytes: 10 },
      { path: "/data", totalBytes: 100, usedBytes: 80 },
    ],
    network: { receivedBytesPerSecond: 1000, sentBytesPerSecond: 2000 },
  },
  workloads: [
    {
      id: "cam",
      kind: "stream",
      description: "",
      state: "running",
      generation: 1,
      restarts: 2,
      since: "x",
      media: { fps: 25, bitrateKbit: 4000, speed: 1 },
      cpuPercent: 30,
    },
  ],
});

test("the figures of a report have names, and what a box cannot tell has none", () => {
  expect(figuresOf(report(1))).toEqual({
    "node.cpuPercent": 20,
    "node.memoryPercent": 25,
    "node.diskPercent": 80,
    "node.receivedKbit": 8,
    "node.sentKbit": 16,
    "cam/fps": 25,
    "cam/bitrateKbit": 4000,
    "cam/speed": 1,
    "cam/cpuPercent": 30,
    "cam/restarts": 2,
  });
  expect(figuresOf(reportOf("b", "s", 1))).toEqual({});
});

test("what boxes report can be read as a series within seconds, with mean, minimum and maximum", async () => {
  const key = await addBox(hub.store, "b");
  await sendReport(hub.origin, key, report(1));
  await sendReport(hub.origin, key, report(2));
  const read = async () => {
    const url = `${hub.origin}/v1/boxes/b/telemetry?step=15m&names=node.cpuPercent,cam/fps`;
    const { body } = await call(url, { token: VIEWER });
    return (body as { points: { values: object }[] }).points.map(({ values }) => values);
  };
  await expect.poll(async () => (await read()).length).toBeGreaterThan(0);
  const [values] = await read();
  expect(values).toEqual({
    "node.cpuPercent": { mean: 30, min: 20, max: 40 },
    "cam/fps": { mean: 25, min: 25, max: 25 },
  });
});

test("the metrics of the hub are for viewers, and count what happened", async () => {
  const key = await addBox(hub.store, "b");
  await sendReport(hub.origin, key, report(2));
  await sendReport(hub.origin, key, report(1));
  expect((await call(`${hub.origin}/metrics`, {})).status).toBe(401);
  const { body, headers } = await call(`${hub.origin}/metrics`, { token: VIEWER });
  expect(headers["content-type"]).toContain("text/plain");
  expect(body).toContain('sluice_hub_reports_total{answer="accepted"} 1');
  expect(body).toContain('sluice_hub_reports_total{answer="stale"} 1');
  expect(body).toContain('sluice_hub_boxes{connection="online"} 1');
});
