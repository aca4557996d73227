import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { nodeTelemetrySchema } from "../../contract/report.ts";
import {
  type NodeReading,
  parseCpu,
  parseLoad,
  parseMemory,
  parseNetwork,
  readDisk,
  readNode,
} from "./node-reading.ts";
import { createNodeSampler, toTelemetry } from "./node-sampler.ts";

const READING: NodeReading = {
  cpu: { busyTicks: 100, totalTicks: 1000 },
  cores: 4,
  load: [0.5, 0.4, 0.3],
  memory: { totalBytes: 4096, usedBytes: 1024 },
  network: { receivedBytes: 1000, sentBytes: 2000 },
  temperatureC: 51.26,
  uptimeSeconds: 86_400.7,
};
const DISK = { path: "/state", device: 7, totalBytes: 1000, usedBytes: 250 };

test("rates come from two readings, and the first sample has none", () => {
  const first = toTelemetry(READING, undefined, { elapsedMs: 0, disks: [DISK] });
  expect(first).toEqual({
    cores: 4,
    load: [0.5, 0.4, 0.3],
    memory: { totalBytes: 4096, usedBytes: 1024 },
    disks: [{ path: "/state", totalBytes: 1000, usedBytes: 250 }],
    temperatureC: 51.3,
    uptimeSeconds: 86_401,
  });
  const later = {
    ...READING,
    cpu: { busyTicks: 150, totalTicks: 1200 },
    network: { receivedBytes: 16_000, sentBytes: 2000 },
  };
  expect(toTelemetry(later, READING, { elapsedMs: 15_000, disks: [] })).toMatchObject({
    cpuPercent: 25,
    network: { receivedBytesPerSecond: 1000, sentBytesPerSecond: 0 },
  });
});

test("counters that went back give no rate", () => {
  const fresh = { ...READING, cpu: { busyTicks: 1, totalTicks: 2 }, network: { receivedBytes: 0, sentBytes: 9000 } };
  const told = toTelemetry(fresh, READING, { elapsedMs: 15_000, disks: [] });
  expect(told.cpuPercent).toBeUndefined();
  expect(told.network).toBeUndefined();
});

test("a file system is told once, by its first path", () => {
  const disks = [DISK, { ...DISK, path: "/recordings", usedBytes: 251 }, { ...DISK, path: "/other", device: 8 }];
  expect(toTelemetry(READING, undefined, { elapsedMs: 0, disks }).disks?.map(({ path }) => path)).toEqual([
    "/state",
    "/other",
  ]);
});

test("the kernel's files are understood as Linux writes them", () => {
  expect(parseCpu("cpu  10 1 5 80 4 0 0 0 3 0\ncpu0 1 2 3 4\n")).toEqual({ busyTicks: 16, totalTicks: 100 });
  expect(parseLoad("0.10 0.20 0.30 1/200 4242\n")).toEqual([0.1, 0.2, 0.3]);
  expect(parseMemory("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   400 kB\n")).toEqual({
    totalBytes: 1_024_000,
    usedBytes: 614_400,
  });
  const head = "Inter-|   Receive |  Transmit\n face |bytes packets|bytes\n";
  expect(
    parseNetwork(`${head}    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 2 0 0 0 0 0 0 50 1\nwlan0:7 0 0 0 0 0 0 0 3 0\n`),
  ).toEqual({
    receivedBytes: 107,
    sentBytes: 53,
  });
});

test.each([parseCpu, parseLoad, parseMemory, parseNetwork])(
  "text that is none of the kernel's gives nothing (%o)",
  (parse) => {
    expect(parse("")).toBeUndefined();
    expect(parse("garbage: x")).toBeUndefined();
  },
);

test("this machine can be read, and what is told fits the contract", async () => {
  const disk = await readDisk("/");
  const told = toTelemetry({ ...readNode(), temperatureC: undefined }, undefined, {
    elapsedMs: 0,
    disks: disk === undefined ? [] : [disk],
  });
  expect(nodeTelemetrySchema.parse(told)).toEqual(told);
  expect(told.memory?.totalBytes).toBeGreaterThan(1e6);
  expect(told.cores).toBeGreaterThan(0);
  expect(told.disks?.[0]?.usedBytes).toBeGreaterThan(0);
  expect(await readDisk("/nowhere/at/all")).toBeUndefined();
});

test("a disk that never answers holds up nothing, and is not asked again", async () => {
  const clock = createFakeClock();
  let asked = 0;
  const sampler = createNodeSampler(
    { periodMs: 15_000, diskPaths: ["/dead", "/state"] },
    {
      clock,
      read: () => READING,
      readTemperature: async () => undefined,
      readDisk: (path) => {
        if (path === "/state") return Promise.resolve(DISK);
        asked++;
        return new Promise(() => undefined);
      },
    },
  );
  const stop = new AbortController();
  const done = sampler.run(stop.signal);
  await clock.advance(1000);
  expect(sampler.latest()?.disks).toEqual([{ path: "/state", totalBytes: 1000, usedBytes: 250 }]);
  await clock.advance(60_000);
  expect(asked).toBe(1);
  stop.abort();
  await done;
  expect(clock.pending()).toBe(0);
});
