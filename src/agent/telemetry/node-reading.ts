import { readdir, readFile, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { readProcText } from "../../base/proc-text.ts";

/** Counters and levels of the machine at one moment. What cannot be had is `undefined`. */
export interface NodeReading {
  /** Clock ticks of all cores since the boot. */
  readonly cpu: { readonly busyTicks: number; readonly totalTicks: number } | undefined;
  readonly cores: number | undefined;
  readonly load: readonly [number, number, number] | undefined;
  readonly memory: { readonly totalBytes: number; readonly usedBytes: number } | undefined;
  /** Of all interfaces but the loopback. */
  readonly network: { readonly receivedBytes: number; readonly sentBytes: number } | undefined;
  readonly temperatureC: number | undefined;
  readonly uptimeSeconds: number | undefined;
}

export interface DiskReading {
  readonly path: string;
  /** Two paths with the same number are on one file system. */
  readonly device: number;
  readonly totalBytes: number;
  readonly usedBytes: number;
}

/** Reads a few small files of the kernel's, which takes well under a millisecond. Never throws. */
export function readNode(procRoot = "/proc"): Omit<NodeReading, "temperatureC"> {
  const text = (name: string) => readProcText(join(procRoot, name)) ?? "";
  const stat = text("stat");
  const uptime = Number.parseFloat(text("uptime"));
  return {
    cpu: parseCpu(stat),
    cores: stat.match(/^cpu\d+ /gm)?.length,
    load: parseLoad(text("loadavg")),
    memory: parseMemory(text("meminfo")),
    network: parseNetwork(text("net/dev")),
    uptimeSeconds: Number.isFinite(uptime) ? uptime : undefined,
  };
}

/** `guest` is counted in `user` already (proc_stat(5)). */
export function parseCpu(stat: string): NodeReading["cpu"] {
  const line = /^cpu +(.*)$/m.exec(stat)?.[1];
  if (line === undefined) return undefined;
  const ticks = line.trim().split(/ +/).slice(0, 8).map(Number);
  const [, , , idle = 0, ioWait = 0] = ticks;
  const totalTicks = ticks.reduce((sum, value) => sum + value, 0);
  return Number.isFinite(totalTicks) ? { busyTicks: totalTicks - idle - ioWait, totalTicks } : undefined;
}

export function parseLoad(loadavg: string): NodeReading["load"] {
  const [one = Number.NaN, five = Number.NaN, fifteen = Number.NaN] = loadavg.split(" ").map(Number.parseFloat);
  return [one, five, fifteen].every(Number.isFinite) ? [one, five, fifteen] : undefined;
}

export function parseMemory(meminfo: string): NodeReading["memory"] {
  const bytesOf = (name: string) => Number(new RegExp(`^${name}: +(\\d+) kB`, "m").exec(meminfo)?.[1]) * 1024;
  const totalBytes = bytesOf("MemTotal");
  const usedBytes = totalBytes - bytesOf("MemAvailable");
  return Number.isFinite(usedBytes) ? { totalBytes, usedBytes } : undefined;
}

export function parseNetwork(netDev: string): NodeReading["network"] {
  const interfaces = [...netDev.matchAll(/^ *([^:\s]+):(.*)$/gm)].filter(([, name]) => name !== "lo");
  if (!netDev.includes("|")) return undefined;
  const sumOf = (column: number) =>
    interfaces.reduce((sum, [, , counters = ""]) => sum + (Number(counters.trim().split(/ +/)[column]) || 0), 0);
  return { receivedBytes: sumOf(0), sentBytes: sumOf(8) };
}

/** The hottest zone within what electronics survive: some report nonsense when they sleep. `undefined` where there is none. */
export async function readTemperature(thermalRoot = "/sys/class/thermal"): Promise<number | undefined> {
  const names = await readdir(thermalRoot).catch(() => []);
  const zones = names.filter((name) => name.startsWith("thermal_zone"));
  const texts = await Promise.all(
    zones.map((zone) => readFile(join(thermalRoot, zone, "temp"), "utf8").catch(() => "")),
  );
  const degrees = texts.map((text) => Number.parseInt(text, 10) / 1000).filter((value) => value > -50 && value < 150);
  return degrees.length === 0 ? undefined : Math.max(...degrees);
}

/** The file system that holds `path`, as programs without rights see it. `undefined` when the path is not there. */
export async function readDisk(path: string): Promise<DiskReading | undefined> {
  try {
    const [{ dev: device }, { blocks, bsize, bavail }] = await Promise.all([stat(path), statfs(path)]);
    return { path, device, totalBytes: blocks * bsize, usedBytes: (blocks - bavail) * bsize };
  } catch {
    return undefined;
  }
}
