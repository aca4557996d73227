import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../src/base/errors.ts";
import type { Lab } from "./lab.ts";
import type { MeasureContext, Measurement, Row } from "./measurement.ts";
import { type LinkWish, LOOPBACK, linkSites, siteLinkProblem, wordsInside } from "./remote/site-link.ts";
import { median } from "./statistics.ts";
import { editLargeFile, makeLargeFile, makeMixedTree, makeSmallFiles, makeSparseFile } from "./transfer/data-sets.ts";
import { type Moved, type Mover, type MoveSites, measureMove } from "./transfer/mover.ts";
import { startRclone } from "./transfer/rclone-mover.ts";
import { startRsyncDaemon, startRsyncSsh } from "./transfer/rsync-movers.ts";
import { startFleet } from "./transfer/sluice-mover.ts";

const MIB = 2 ** 20;
const DEFAULT_MIB = 4096;
const LINK_MIB = 1024;
const SMALL = { count: 20_000, bytes: 16 * 1024 } as const;
const ROUNDS = 3;
/** After one in which all programs are cold: the bars are for those that run. */
const BAR_ROUNDS = 5;
const BITS = 1e9;
/** Large packets, so that the program that stands in for the link keeps up. */
const MTU = 9000;

/** Trees brought from one box to another: by us, rsync and rclone over the same ground, turn by turn. */
export const transfer: Measurement = {
  name: "transfer",
  limitMs: 90 * 60_000,
  isOnlyNamed: true,
  measure: async (context) => {
    const rows = [...(await measureOver(undefined, context))];
    const problem = siteLinkProblem();
    if (problem === undefined) {
      for (const roundTripMs of [20, 100]) rows.push(...(await measureOver(roundTripMs, context)));
    } else context.note(`links with a delay were left out: ${problem}`);
    return rows;
  },
};

interface Stage {
  readonly what: string;
  readonly make: (source: string) => void;
  /** Before each move; the destination is not there. */
  readonly prepare?: (source: string, destination: string) => Promise<void>;
  readonly unit: "MB/s" | "/s" | "ms";
  /** Of `unit`. */
  readonly amount: number;
  readonly bars?: readonly Floor[];
  /** Rounds; the run's unless given. */
  readonly rounds?: number;
  /** Who moves it in the first round only: one who takes minutes for it. */
  readonly once?: string;
}

interface Floor {
  readonly mover: string;
  readonly peer: string;
  readonly atLeast: number;
}

async function measureOver(roundTripMs: number | undefined, context: MeasureContext): Promise<readonly Row[]> {
  const { lab, say, note, isLong, only, sizeMiB = DEFAULT_MIB } = context;
  const place = roundTripMs === undefined ? "loopback" : `1 Gbit/s, ${roundTripMs} ms`;
  const name = roundTripMs === undefined ? "lo" : `far${roundTripMs}`;
  const all = roundTripMs === undefined ? loopbackStages(sizeMiB, context) : linkStages(roundTripMs, sizeMiB, context);
  const stages = all.filter(({ what }) => only === undefined || `${place}: ${what}`.includes(only));
  if (stages.length === 0) return [];
  await using stack = new AsyncDisposableStack();
  let sites: MoveSites = { near: LOOPBACK, box: LOOPBACK };
  let wireBytes: (() => Promise<number>) | undefined;
  if (roundTripMs !== undefined) {
    const queueBytes = (BITS / 8 / 1000) * roundTripMs;
    const wish: LinkWish = { roundTripMs, bitsPerSecond: BITS, queueBytes, mtuBytes: MTU, hasOwnBuffers: true };
    const pair = stack.use(await linkSites(name, wish, lab));
    sites = pair;
    wireBytes = async () => {
      const words = [...wordsInside(pair.near), "cat", "/proc/net/dev"];
      return bytesOfDevice(await lab.run(words[0] ?? "", words.slice(1)));
    };
  }
  const base = makeRoom(sizeMiB, lab.directory);
  stack.defer(() => rmSync(base, { recursive: true, force: true, maxRetries: 5 }));
  const roots = { from: join(base, "from"), to: join(base, "to") };
  for (const root of Object.values(roots)) mkdirSync(root);

  say(`${place}: starting both ends, data in ${base}`);
  const tls = stack.use(await startFleet({ name: `${name}-tls`, sites, isTrusted: false, roots }, lab));
  const movers: Mover[] = [tls.mover("transit"), tls.mover("full")];
  if (roundTripMs === undefined) {
    // One identity of a storage, and a worker for each fleet.
    const plain = stack.use(await startFleet({ name: `${name}-plain`, sites, isTrusted: true, roots }, lab));
    movers.unshift(plain.mover("transit"), plain.mover("full"));
  }
  for (const start of [
    () => startRsyncDaemon({ name, sites }, lab),
    () => startRsyncSsh({ name: `${name}-rsync`, sites }, lab),
    () => startRclone({ sites, root: base }, lab),
  ]) {
    try {
      movers.push(stack.use(await start()));
    } catch (thrown) {
      note(`${place}: a peer was left out: ${messageOf(thrown)}`);
    }
  }

  const rows: Row[] = [];
  for (const stage of stages) {
    const source = join(roots.from, "tree");
    stage.make(source);
    const rounds = (stage.rounds ?? ROUNDS) * (isLong ? 3 : 1) + coldRounds(stage);
    const figures = new Map<string, Moved[]>();
    for (let round = 0; round < rounds; round++) {
      for (const mover of round % 2 === 0 ? movers : movers.toReversed()) {
        if (round > 0 && mover.name === stage.once) continue;
        const destination = join(roots.to, "tree");
        rmSync(destination, { recursive: true, force: true, maxRetries: 5 });
        await stage.prepare?.(source, destination);
        say(`${place}: ${stage.what}, round ${round + 1} of ${rounds}: ${mover.name}`);
        try {
          const moved = await measureMove(mover, { source, destination, wireBytes });
          say(`  ${(moved.tookMs / 1000).toFixed(2)} s, CPU ${(moved.cpuMs / 1000).toFixed(2)} s`);
          figures.set(mover.name, [...(figures.get(mover.name) ?? []), moved]);
          if (round === 0) await requireSame(source, destination, lab);
        } catch (thrown) {
          lab.throwIfOver();
          note(`${place}: ${stage.what}: ${mover.name}: ${messageOf(thrown)}`);
        }
      }
    }
    rows.push(...rowsOf(place, stage, figures));
    for (const root of Object.values(roots))
      rmSync(join(root, "tree"), { recursive: true, force: true, maxRetries: 5 });
  }
  return rows;
}

function loopbackStages(sizeMiB: number, context: MeasureContext): readonly Stage[] {
  const bytes = sizeMiB * MIB;
  const edited = Math.min(sizeMiB, 1024) * MIB;
  return [
    oneByte(),
    {
      what: `one file of ${sizeMiB} MiB`,
      make: (source) => {
        makeLargeFile(source, bytes);
        warmMemory(context, bytes);
      },
      unit: "MB/s",
      amount: bytes / 1e6,
      rounds: BAR_ROUNDS,
      bars: [
        { mover: "Sluice, plain, transit", peer: "rsync daemon", atLeast: 1.1 },
        { mover: "Sluice, TLS, transit", peer: "rsync over ssh", atLeast: 1.5 },
      ],
    },
    {
      ...smallFiles(),
      rounds: BAR_ROUNDS,
      bars: [{ mover: "Sluice, plain, transit", peer: "rsync daemon", atLeast: 1.2 }],
    },
    { what: "a mixed tree", make: makeMixedTree, unit: "ms", amount: 1 },
    { what: `a sparse file of ${sizeMiB} MiB`, make: (source) => makeSparseFile(source, bytes), unit: "ms", amount: 1 },
    editedFile(edited, context),
  ];
}

function linkStages(roundTripMs: number, sizeMiB: number, context: MeasureContext): readonly Stage[] {
  const bytes = Math.min(sizeMiB, LINK_MIB) * MIB;
  const one: Stage = {
    what: `one file of ${bytes / MIB} MiB`,
    make: (source) => makeLargeFile(source, bytes),
    unit: "MB/s",
    amount: bytes / 1e6,
    rounds: 2,
    ...(roundTripMs < 100 ? {} : { bars: [{ mover: "Sluice, TLS, transit", peer: "rsync daemon", atLeast: 4 }] }),
  };
  return [
    oneByte(),
    one,
    { ...smallFiles(), rounds: 1 },
    { what: "a mixed tree", make: makeMixedTree, unit: "ms", amount: 1, rounds: 1 },
    { ...editedFile(Math.min(bytes, 512 * MIB), context), rounds: 1 },
  ];
}

function oneByte(): Stage {
  return { what: "one file of one byte", make: (source) => makeLargeFile(source, 1), unit: "ms", amount: 1, rounds: 5 };
}

function smallFiles(): Stage {
  return {
    what: `${SMALL.count} files of ${SMALL.bytes / 1024} KiB`,
    make: (source) => makeSmallFiles(source, SMALL.count, SMALL.bytes),
    unit: "/s",
    amount: SMALL.count,
    once: "rclone",
  };
}

function editedFile(bytes: number, { lab }: MeasureContext): Stage {
  return {
    what: `one file of ${bytes / MIB} MiB, of which 1 % was edited`,
    make: (source) => makeLargeFile(source, bytes),
    prepare: async (source, destination) => {
      await lab.run("cp", ["-a", source, destination]);
      editLargeFile(source, bytes);
    },
    unit: "ms",
    amount: 1,
  };
}

/**
 * Written and freed: memory that nobody has touched since the machine began is slow the first time, and who is freed of it gets other
 * memory next. So all that the rounds could come to is touched.
 */
function warmMemory({ lab }: MeasureContext, moved: number): void {
  const bytes = 2 * moved;
  const directory = makeRoom(bytes / MIB, lab.directory);
  try {
    makeSparseFile(directory, 0);
    makeLargeFile(directory, bytes);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** In memory where there is room for all of it, so that the disk is not what is measured. */
function makeRoom(sizeMiB: number, otherwise: string): string {
  const memory = "/dev/shm";
  const wanted = Math.max(2048, sizeMiB * 3) * MIB;
  const isFree = existsSync(memory) && statfsSync(memory).bavail * statfsSync(memory).bsize > wanted;
  return mkdtempSync(join(isFree ? memory : otherwise, "sluice-bench-"));
}

async function requireSame(source: string, destination: string, lab: Lab): Promise<void> {
  await lab.run("diff", ["-r", "--no-dereference", source, destination]);
}

function bytesOfDevice(text: string): number {
  const fields = /bench0:\s*(.*)/.exec(text)?.[1]?.trim().split(/\s+/) ?? [];
  return Number(fields[0]) + Number(fields[8]);
}

/** Of those that a stage begins with: they are told by themselves. */
function coldRounds({ bars }: Stage): number {
  return bars === undefined ? 0 : 1;
}

function rowsOf(place: string, stage: Stage, all: ReadonlyMap<string, readonly Moved[]>): readonly Row[] {
  // Who moved it once was cold, and is told nevertheless.
  const cold = [...all].map(([name, moved]) => [name, moved.slice(0, coldRounds(stage))] as const);
  const figures = new Map(
    [...all].map(([name, moved]) => [name, moved.length > 1 ? moved.slice(coldRounds(stage)) : moved]),
  );
  const figureOf = ({ tookMs }: Moved) => (stage.unit === "ms" ? tookMs : (stage.amount * 1000) / tookMs);
  const ours = [...figures].filter(([name]) => name.startsWith("Sluice"));
  const peers = [...figures].filter(([name]) => !name.startsWith("Sluice"));
  const rows: Row[] = [];
  for (const [name, moved] of ours) {
    const title = `${place}: ${stage.what}: ${name}`;
    rows.push({
      what: title,
      unit: stage.unit,
      samples: moved.map(figureOf),
      peers: peers.map(([peer, theirs]) => ({ name: peer, samples: theirs.map(figureOf) })),
    });
    const first = cold.find(([mover]) => mover === name)?.[1] ?? [];
    if (first.length > 0) {
      const others = cold.filter(([mover]) => !mover.startsWith("Sluice"));
      rows.push({
        what: "… the first, all programs cold",
        unit: stage.unit,
        samples: first.map(figureOf),
        peers: others.map(([peer, theirs]) => ({ name: peer, samples: theirs.map(figureOf) })),
      });
    }
    const figureRow = (what: string, unit: Row["unit"], read: (one: Moved) => number | undefined) => {
      const values = (all: readonly Moved[]) => all.map(read).filter((value) => value !== undefined);
      if (values(moved).length === 0) return;
      rows.push({
        what: `… ${what}`,
        unit,
        samples: values(moved),
        peers: peers.map(([peer, theirs]) => ({ name: peer, samples: values(theirs) })),
      });
    };
    if (stage.unit === "MB/s") figureRow("CPU, both ends", "s/GB", ({ cpuMs }) => cpuMs / stage.amount);
    else figureRow("CPU, both ends", "ms", ({ cpuMs }) => cpuMs);
    figureRow("bytes over the link", "MB", ({ wireBytes }) => (wireBytes === undefined ? undefined : wireBytes / 1e6));
    for (const { mover, peer, atLeast } of stage.bars ?? []) {
      const theirs = figures.get(peer);
      if (mover !== name || theirs === undefined) continue;
      rows.push({
        what: `… beside the ${peer}`,
        unit: "×",
        samples: [median(moved.map(figureOf)) / median(theirs.map(figureOf))],
        bar: { of: "max", limit: atLeast, isFloor: true },
      });
    }
  }
  return rows;
}
