import { expect, test } from "vitest";
import type { Workload } from "../../contract/workload.ts";
import { cpuWeightOf, limitsOf, niceOf, oomScoreOf, priorityOf } from "./limits.ts";

const stream = (resources?: Workload["resources"], priority?: number): Workload => ({
  kind: "stream",
  id: "a",
  ...(resources === undefined ? {} : { resources }),
  ...(priority === undefined ? {} : { priority }),
  spec: { input: { url: "test://bars" }, outputs: [{ url: "rtmp://host/live/a" }] },
});
const NO_OPTIONS = { memoryBytes: undefined, cpuCores: undefined, maxMemoryBytes: undefined, maxCpuCores: undefined };
const MIB = 2 ** 20;

test.each([
  { title: "nothing asked and nothing configured: no limit", resources: undefined, options: {}, limits: {} },
  {
    title: "what is asked counts",
    resources: { memory: "256Mi", cpu: "500m" },
    options: {},
    limits: { memoryBytes: 256 * MIB, cpuCores: 0.5 },
  },
  {
    title: "the box's default stands in for what is not asked",
    resources: { cpu: "2" },
    options: { memoryBytes: 512 * MIB, cpuCores: 1 },
    limits: { memoryBytes: 512 * MIB, cpuCores: 2 },
  },
  {
    title: "the box's ceiling beats the hub",
    resources: { memory: "8Gi", cpu: "4" },
    options: { maxMemoryBytes: 1024 * MIB, maxCpuCores: 1.5 },
    limits: { memoryBytes: 1024 * MIB, cpuCores: 1.5 },
  },
  {
    title: "a ceiling is a limit for who names none",
    resources: undefined,
    options: { maxMemoryBytes: 1024 * MIB },
    limits: { memoryBytes: 1024 * MIB },
  },
])("$title", ({ resources, options, limits }) => {
  expect(limitsOf(stream(resources), { ...NO_OPTIONS, ...options })).toEqual(limits);
});

test.each([
  { priority: 0, nice: 10, oomScore: 600, cpuWeight: 6 },
  { priority: 50, nice: 5, oomScore: 300, cpuWeight: 100 },
  { priority: 100, nice: 0, oomScore: 0, cpuWeight: 1600 },
])("priority $priority: nice $nice, OOM score $oomScore, weight $cpuWeight", ({ priority, ...rest }) => {
  const shares = { nice: niceOf(priority, 5), oomScore: oomScoreOf(priority), cpuWeight: cpuWeightOf(priority) };
  expect(shares).toEqual(rest);
});

test("who names no priority is in the middle, and so is who is not known", () => {
  expect([priorityOf(stream()), priorityOf(undefined), priorityOf(stream({}, 7))]).toEqual([50, 50, 7]);
});
