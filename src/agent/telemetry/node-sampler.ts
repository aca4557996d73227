import type { Clock } from "../../base/clock.ts";
import type { NodeTelemetry } from "../../contract/report.ts";
import type { DiskReading, NodeReading } from "./node-reading.ts";
import { readDisk, readNode, readTemperature } from "./node-reading.ts";

export interface NodeSampler {
  run(signal: AbortSignal): Promise<void>;
  /** The last sample; `undefined` before the first. */
  latest(): NodeTelemetry | undefined;
}

export interface NodeSamplerOptions {
  readonly periodMs: number;
  /** Whose file systems are told, each file system once. */
  readonly diskPaths: readonly string[];
}

export interface NodeSamplerDeps {
  readonly clock: Clock;
  /** The real machine, unless a test stands in for it. */
  readonly read?: () => Omit<NodeReading, "temperatureC">;
  readonly readTemperature?: () => Promise<number | undefined>;
  readonly readDisk?: (path: string) => Promise<DiskReading | undefined>;
}

/** A file system behind a dead server never answers: nobody waits for it, and it is not asked again meanwhile. */
const DISK_LIMIT_MS = 1000;

/** Looks at the machine once a period, as often as a report tells it. */
export function createNodeSampler(options: NodeSamplerOptions, deps: NodeSamplerDeps): NodeSampler {
  const { clock, read = readNode } = deps;
  const disks = new Map<string, DiskReading>();
  const asked = new Set<string>();
  let latest: NodeTelemetry | undefined;
  let before: { readonly reading: ReturnType<typeof read>; readonly atMs: number } | undefined;

  const askDisk = async (path: string) => {
    if (asked.has(path)) return;
    asked.add(path);
    const reading = await (deps.readDisk ?? readDisk)(path).finally(() => asked.delete(path));
    if (reading === undefined) disks.delete(path);
    else disks.set(path, reading);
  };

  const untilAnswered = async (work: Promise<unknown>, signal: AbortSignal) => {
    const limit = new AbortController();
    const stop = AbortSignal.any([signal, limit.signal]);
    await Promise.race([work, clock.delay(DISK_LIMIT_MS, stop).catch(() => undefined)]);
    limit.abort();
  };

  const sample = async (signal: AbortSignal) => {
    let temperatureC: number | undefined;
    const temperature = async () => {
      temperatureC = await (deps.readTemperature ?? readTemperature)();
    };
    await untilAnswered(Promise.all([temperature(), ...options.diskPaths.map(askDisk)]), signal);
    const reading = read();
    const atMs = clock.monotonicMs();
    latest = toTelemetry({ ...reading, temperatureC }, before?.reading, {
      elapsedMs: before === undefined ? 0 : atMs - before.atMs,
      disks: options.diskPaths.flatMap((path) => disks.get(path) ?? []),
    });
    before = { reading, atMs };
  };

  return {
    latest: () => latest,
    run: async (signal) => {
      while (!signal.aborted) {
        await sample(signal);
        await clock.delay(options.periodMs, signal).catch(() => undefined);
      }
    },
  };
}

/** Pure. Rates need a reading before this one; a counter that went back (an interface that came anew) gives none. */
export function toTelemetry(
  reading: NodeReading,
  before: Omit<NodeReading, "temperatureC"> | undefined,
  { elapsedMs, disks }: { readonly elapsedMs: number; readonly disks: readonly DiskReading[] },
): NodeTelemetry {
  const { cpu, network } = reading;
  const ticks = (cpu?.totalTicks ?? 0) - (before?.cpu?.totalTicks ?? Number.NaN);
  const busy = (cpu?.busyTicks ?? 0) - (before?.cpu?.busyTicks ?? Number.NaN);
  const received = (network?.receivedBytes ?? 0) - (before?.network?.receivedBytes ?? Number.NaN);
  const sent = (network?.sentBytes ?? 0) - (before?.network?.sentBytes ?? Number.NaN);
  const perSecond = (bytes: number) => Math.round((bytes * 1000) / elapsedMs);
  const hasRates = elapsedMs > 0 && received >= 0 && sent >= 0;
  return {
    ...(ticks > 0 && busy >= 0 ? { cpuPercent: Math.round((busy / ticks) * 1000) / 10 } : {}),
    ...(reading.cores === undefined ? {} : { cores: reading.cores }),
    ...(reading.load === undefined ? {} : { load: [...reading.load] }),
    ...(reading.memory === undefined ? {} : { memory: reading.memory }),
    ...(disks.length === 0 ? {} : { disks: eachFileSystemOnce(disks) }),
    ...(hasRates
      ? { network: { receivedBytesPerSecond: perSecond(received), sentBytesPerSecond: perSecond(sent) } }
      : {}),
    ...(reading.temperatureC === undefined ? {} : { temperatureC: Math.round(reading.temperatureC * 10) / 10 }),
    ...(reading.uptimeSeconds === undefined ? {} : { uptimeSeconds: Math.round(reading.uptimeSeconds) }),
  };
}

function eachFileSystemOnce(disks: readonly DiskReading[]): NonNullable<NodeTelemetry["disks"]> {
  const seen = new Set<number>();
  return disks.flatMap(({ device, path, totalBytes, usedBytes }) => {
    if (seen.has(device)) return [];
    seen.add(device);
    return { path, totalBytes, usedBytes };
  });
}
