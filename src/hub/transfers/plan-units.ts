import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";

/** What is leased at a time: a batch of whole files, one range of a long file, or that file's end. */
export interface Unit {
  readonly kind: "copy" | "finish";
  readonly items: readonly UnitItem[];
  /** Bytes that it moves. */
  readonly bytes: number;
  /** The file that it is a part of; absent: its items are whole. */
  readonly part?: { readonly entry: number } | undefined;
}

export interface UnitItem {
  /** Which of the piece's entries. */
  readonly entry: number;
  readonly offset: number;
  readonly length: number;
}

export const MIB = 1024 * 1024;
/** Of one file: what is kept of it must stay small. Longer files get longer ranges. */
export const MAX_RANGES_A_FILE = 1024;
const MAX_ITEMS_A_BATCH = 1000;
/** Of one piece of the plan, but for a single long file. */
const MAX_UNITS_A_PIECE = 1024;

/** Pure. For a comparison: whole files alone, because only the hash of all of a file can be held against another. */
export function planHashing(entries: readonly TransferEntry[], chunkBytes: number): readonly Unit[] {
  const units: Unit[] = [];
  const batch = createBatch(units, chunkBytes);
  for (const [index, { type, size }] of entries.entries()) if (type === "file") batch.add(index, size);
  batch.close();
  return units;
}

/** How a piece is cut. `even`: of an earlier version. `tapered`: the ranges of its last long file become shorter towards its end. */
export const PLAN_SHAPES = ["even", "tapered"] as const;
export type PlanShape = (typeof PLAN_SHAPES)[number];

/** Pure. The same entries give the same units on every hub, so that only what became of them is kept. */
export function planUnits(entries: readonly TransferEntry[], chunkBytes: number, shape: PlanShape): readonly Unit[] {
  const units: Unit[] = [];
  const batch = createBatch(units, chunkBytes);
  const isLong = ({ type, size }: TransferEntry) => type === "file" && size > chunkBytes;
  const tapered = shape === "tapered" ? entries.findLastIndex(isLong) : -1;
  for (const [index, entry] of entries.entries()) {
    // Made when everything else is there.
    if (entry.type === "hardlink") continue;
    const length = entry.type === "file" ? entry.size : 0;
    if (isLong(entry)) {
      batch.close();
      units.push(...longFile(index, { size: length, allocated: entry.allocated }, chunkBytes, index === tapered));
    } else batch.add(index, length);
  }
  batch.close();
  return units;
}

/** Gathers whole entries until they are a unit. One that is longer than a chunk is a unit by itself. */
function createBatch(units: Unit[], chunkBytes: number) {
  let items: UnitItem[] = [];
  let bytes = 0;
  const close = () => {
    if (items.length > 0) units.push({ kind: "copy", items, bytes });
    items = [];
    bytes = 0;
  };
  return {
    add: (entry: number, length: number) => {
      if (bytes + length > chunkBytes || items.length >= MAX_ITEMS_A_BATCH) close();
      items.push({ entry, offset: 0, length });
      bytes += length;
    },
    close,
  };
}

type Extent = Pick<TransferEntry, "size" | "allocated">;

function longFile(entry: number, extent: Extent, chunkBytes: number, isTapered: boolean): readonly Unit[] {
  const { size } = extent;
  const step = rangeBytes(extent, chunkBytes);
  // Ranges that are longer than a chunk are of a file that is nearly all holes, or has so many that its end does not matter.
  const canTaper = isTapered && step === chunkBytes && size <= (MAX_RANGES_A_FILE - TAPER_RANGES) * chunkBytes;
  const units: Unit[] = [];
  for (let offset = 0; offset < size; ) {
    const left = size - offset;
    const length = Math.min(canTaper ? taperedBytes(left, chunkBytes) : step, left);
    units.push({ kind: "copy", items: [{ entry, offset, length }], bytes: length, part: { entry } });
    offset += length;
  }
  units.push({ kind: "finish", items: [{ entry, offset: 0, length: size }], bytes: 0, part: { entry } });
  return units;
}

/** More than the shorter ranges ever are. */
const TAPER_RANGES = 48;
/** Of what is left of the file. */
const TAPER_SHARE = 8;
const SHORTEST_BYTES = 8 * MIB;

/**
 * The connections of a worker are not equally fast: were all ranges as long, the last one would come over one connection while the others
 * have nothing to do.
 */
function taperedBytes(left: number, chunkBytes: number): number {
  const share = Math.ceil(left / TAPER_SHARE / MIB) * MIB;
  return Math.min(chunkBytes, Math.max(SHORTEST_BYTES, share));
}

/** What is as long as its file is a whole file to who writes it, and has its name at once: a file that is ended by itself has more. */
const MIN_RANGES_A_FILE = 2;

/** Of a file with holes a range has about as much data as another: what is told of holes is little, and of each unit it is more. */
function rangeBytes({ size, allocated = size }: Extent, chunkBytes: number): number {
  const wanted = Math.ceil(Math.min(allocated, size) / chunkBytes);
  const ranges = Math.min(MAX_RANGES_A_FILE, Math.max(MIN_RANGES_A_FILE, wanted));
  const least = Math.ceil(size / ranges);
  return least <= chunkBytes ? chunkBytes : Math.ceil(least / MIB) * MIB;
}

/** Pure. A page as pieces of bounded size, in its order. */
export function cutPage(entries: readonly TransferEntry[], chunkBytes: number): readonly (readonly TransferEntry[])[] {
  const pieces: TransferEntry[][] = [];
  let piece: TransferEntry[] = [];
  let units = 0;
  for (const entry of entries) {
    const size = entry.type === "file" ? entry.size : 0;
    const own = size > chunkBytes ? Math.ceil(size / rangeBytes(entry, chunkBytes)) + 1 : 1;
    // The shorter ranges of one of them come on top.
    if (piece.length > 0 && units + own > MAX_UNITS_A_PIECE) {
      pieces.push(piece);
      piece = [];
      units = 0;
    }
    piece.push(entry);
    units += own;
  }
  if (piece.length > 0) pieces.push(piece);
  return pieces;
}

/** Of totals: hard links are names, directories are places. */
export function isCounted({ type }: Pick<TransferEntry, "type">): boolean {
  return type === "file" || type === "symlink";
}
