import { readFileSync } from "node:fs";
import type { SitePair } from "../remote/site-link.ts";
import { readTreeCpuMs } from "../remote/tree-cpu.ts";

/** What brings a tree from one place to another: both are directories, and the second is not there. */
export interface Mover extends AsyncDisposable {
  readonly name: string;
  /** Resolves when it says that everything is there. */
  move(source: string, destination: string): Promise<void>;
  /** What runs all the time, at both ends. */
  pids(): readonly number[];
}

/** The source lies at the box; who wants it is near. */
export type MoveSites = Pick<SitePair, "near" | "box">;

export interface Moved {
  readonly tookMs: number;
  /** Of both ends, with all that they began. */
  readonly cpuMs: number;
  /** Both ways over the link; `undefined` on loopback, which others use too. */
  readonly wireBytes: number | undefined;
}

export async function measureMove(mover: Mover, { source, destination, wireBytes }: MoveWish): Promise<Moved> {
  const before = { cpuMs: cpuMs(mover), wire: await wireBytes?.(), atMs: performance.now() };
  await mover.move(source, destination);
  const tookMs = performance.now() - before.atMs;
  const wire = await wireBytes?.();
  return {
    tookMs,
    cpuMs: cpuMs(mover) - before.cpuMs,
    wireBytes: wire === undefined || before.wire === undefined ? undefined : wire - before.wire,
  };
}

export interface MoveWish {
  readonly source: string;
  readonly destination: string;
  readonly wireBytes?: (() => Promise<number>) | undefined;
}

function cpuMs(mover: Mover): number {
  return readTreeCpuMs(mover.pids()) + readReapedCpuMs();
}

const TICKS_PER_SECOND = 100;

/** Of programs that this one began and that have ended. */
function readReapedCpuMs(): number {
  const stat = readFileSync("/proc/self/stat", "utf8");
  const fields = stat.slice(stat.lastIndexOf(") ") + 2).split(" ");
  return ((Number(fields[13]) + Number(fields[14])) * 1000) / TICKS_PER_SECOND;
}
