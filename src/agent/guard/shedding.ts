import type { HostMemory } from "../../base/host-load.ts";
import { mebibytes } from "./limit-breach.ts";

/**
 * Who gives way when the box has too little for all, and when it comes back. Pure.
 *
 * Invariants:
 * - one at a time: the next one gives only when the first has had time to show what it brought;
 * - the lowest priority gives first; for processor time only where another one matters more;
 * - whoever gave comes back by itself once there has been room for a while, the most important first; who gave before
 *   waits longer each time.
 */
export interface Runner {
  readonly id: string;
  readonly priority: number;
  readonly cpuCores: number;
  readonly rssBytes: number;
}

export interface Shed extends Runner {
  readonly by: "shed-cpu" | "shed-memory";
  readonly reason: string;
  /** For how long there has been room for it. */
  readonly roomMs: number;
}

export interface ShedState {
  readonly shed: readonly Shed[];
  readonly cpuOverMs: number;
  readonly memoryOverMs: number;
  /** Since one gave or came back. */
  readonly settlingMs: number;
  /** How often each has given way. */
  readonly times: ReadonlyMap<string, number>;
}

export interface PressureFacts {
  /** Since the last look, as far as this agent really ran. */
  readonly countedMs: number;
  readonly cores: number;
  readonly cpuPercent: number | undefined;
  /** Undefined where the kernel does not tell. */
  readonly cpuPressurePercent: number | undefined;
  readonly memory: HostMemory | undefined;
  /** Of these two, which cost something to say, only what is needed is asked. */
  readonly runners: readonly Runner[];
  /** Of all that should run, whether or not it does at the moment. */
  readonly highestPriority: number;
  readonly isExpected: (id: string) => boolean;
}

/** 0: that rule is off. */
export interface ShedLimits {
  readonly shedCpuPercent: number;
  readonly memoryFreePercent: number;
}

export const NOTHING_SHED: ShedState = {
  shed: [],
  cpuOverMs: 0,
  memoryOverMs: 0,
  settlingMs: Number.POSITIVE_INFINITY,
  times: new Map(),
};

export interface Shedding {
  readonly state: ShedState;
  readonly gave: Shed | undefined;
  readonly returned: Shed | undefined;
}

export const CPU_OVER_MS = 60_000;
export const MEMORY_OVER_MS = 4000;
const CPU_SETTLE_MS = 60_000;
const MEMORY_SETTLE_MS = 10_000;
export const ROOM_MS = 60_000;
const LONGEST_ROOM_MS = 1_800_000;
/** Nobody waits for a processor below this pressure, however busy they are. */
const LEAST_PRESSURE_PERCENT = 10;
/** Of all processors, kept free beside what comes back. */
const CPU_MARGIN_PERCENT = 10;
/** What holds less than this share of the memory brings nothing by giving way. */
const LEAST_MEMORY_SHARE = 0.01;
/** Who comes back begins small. */
const MOST_RETURNING_SHARE = 0.1;

export function observePressure(before: ShedState, facts: PressureFacts, limits: ShedLimits): Shedding {
  const { countedMs } = facts;
  const shed = before.shed
    .filter(({ id }) => facts.isExpected(id))
    .map((one) => ({ ...one, roomMs: hasRoomFor(one, facts, limits) ? one.roomMs + countedMs : 0 }));
  const state: ShedState = {
    shed,
    cpuOverMs: isCpuShort(facts, limits) ? before.cpuOverMs + countedMs : 0,
    memoryOverMs: isMemoryShort(facts, limits) ? before.memoryOverMs + countedMs : 0,
    settlingMs: before.settlingMs + countedMs,
    times: new Map([...before.times].filter(([id]) => facts.isExpected(id))),
  };
  const gave = whoGives(state, facts, limits);
  if (gave !== undefined) {
    const times = new Map(state.times).set(gave.id, (state.times.get(gave.id) ?? 0) + 1);
    const next = { ...state, shed: [...shed, gave], times, settlingMs: 0, cpuOverMs: 0, memoryOverMs: 0 };
    return { state: next, gave, returned: undefined };
  }
  const returned = whoReturns(state, facts);
  if (returned === undefined) return { state, gave: undefined, returned: undefined };
  const rest = shed.filter(({ id }) => id !== returned.id);
  return { state: { ...state, shed: rest, settlingMs: 0 }, gave: undefined, returned };
}

function isCpuShort({ cpuPercent, cpuPressurePercent }: PressureFacts, { shedCpuPercent }: ShedLimits): boolean {
  if (shedCpuPercent === 0 || (cpuPercent ?? 0) < shedCpuPercent) return false;
  return cpuPressurePercent === undefined || cpuPressurePercent >= LEAST_PRESSURE_PERCENT;
}

function isMemoryShort({ memory }: PressureFacts, { memoryFreePercent }: ShedLimits): boolean {
  return memory !== undefined && memory.availableBytes < (memory.totalBytes * memoryFreePercent) / 100;
}

function whoGives(state: ShedState, facts: PressureFacts, limits: ShedLimits): Shed | undefined {
  const { memory, cpuPercent } = facts;
  if (state.memoryOverMs >= MEMORY_OVER_MS && state.settlingMs >= MEMORY_SETTLE_MS && memory !== undefined) {
    const worthwhile = facts.runners.filter(({ rssBytes }) => rssBytes >= memory.totalBytes * LEAST_MEMORY_SHARE);
    const [first] = worthwhile.sort((left, right) => left.priority - right.priority || right.rssBytes - left.rssBytes);
    if (first !== undefined) {
      const left = `${mebibytes(memory.availableBytes)} of ${mebibytes(memory.totalBytes)} are left`;
      const reason = `the box runs out of memory (${left}): this gave way, it held ${mebibytes(first.rssBytes)}`;
      return { ...first, by: "shed-memory", reason, roomMs: 0 };
    }
  }
  if (state.cpuOverMs < CPU_OVER_MS || state.settlingMs < CPU_SETTLE_MS) return undefined;
  const [first] = facts.runners
    .filter(({ priority }) => priority < facts.highestPriority)
    .sort((left, right) => left.priority - right.priority || right.cpuCores - left.cpuCores);
  if (first === undefined) return undefined;
  const reason = `the processors are ${Math.round(cpuPercent ?? 0)} % in use (limit ${limits.shedCpuPercent} %): this gave way to streams that matter more`;
  return { ...first, by: "shed-cpu", reason, roomMs: 0 };
}

function hasRoomFor(one: Shed, facts: PressureFacts, limits: ShedLimits): boolean {
  if (one.by === "shed-memory") {
    const { memory } = facts;
    if (memory === undefined) return true;
    const neededBytes = Math.min(one.rssBytes, memory.totalBytes * MOST_RETURNING_SHARE);
    return memory.availableBytes - neededBytes >= (memory.totalBytes * 2 * limits.memoryFreePercent) / 100;
  }
  const busyPercent = facts.cpuPercent ?? 0;
  const withIt = busyPercent + (one.cpuCores / facts.cores) * 100;
  return withIt <= limits.shedCpuPercent - CPU_MARGIN_PERCENT || busyPercent <= limits.shedCpuPercent / 2;
}

function whoReturns(state: ShedState, facts: PressureFacts): Shed | undefined {
  const [first] = [...state.shed].sort((left, right) => right.priority - left.priority);
  if (first === undefined) return undefined;
  // Whom it gave way to has gone.
  if (first.by === "shed-cpu" && facts.highestPriority <= first.priority) return first;
  const neededMs = Math.min(LONGEST_ROOM_MS, ROOM_MS * 2 ** ((state.times.get(first.id) ?? 1) - 1));
  return first.roomMs >= neededMs && state.settlingMs >= MEMORY_SETTLE_MS ? first : undefined;
}
