import { mebibytes } from "./limit-breach.ts";

/** When recording below a file root stops, and when it goes on. Pure. */
export interface RootUse {
  readonly root: string;
  /** Undefined where the file system does not tell. */
  readonly freeBytes: number | undefined;
  /** What streams have recorded below it; undefined where nobody counts. */
  readonly recordedBytes: number | undefined;
}

export interface RecordingLimits {
  /** 0: off. */
  readonly diskFreeBytes: number;
  readonly recordingsBytes: number | undefined;
}

/** So much more must be free, and less recorded, before recording goes on. */
const RESUME_FREE = 1.2;
const RESUME_RECORDED = 0.95;

/** Why nothing may be recorded there; undefined while there is room. */
export function holdOfRoot(use: RootUse, isHeld: boolean, limits: RecordingLimits): string | undefined {
  const { root, freeBytes, recordedBytes } = use;
  const floorBytes = limits.diskFreeBytes * (isHeld ? RESUME_FREE : 1);
  if (freeBytes !== undefined && freeBytes < floorBytes) {
    return `${root} has ${mebibytes(freeBytes)} free, and the floor is ${mebibytes(limits.diskFreeBytes)}`;
  }
  const { recordingsBytes } = limits;
  if (recordingsBytes === undefined || recordedBytes === undefined) return undefined;
  if (recordedBytes <= recordingsBytes * (isHeld ? RESUME_RECORDED : 1)) return undefined;
  return `recordings below ${root} take ${mebibytes(recordedBytes)}, and their budget is ${mebibytes(recordingsBytes)}`;
}

export interface RecordedFile {
  readonly path: string;
  readonly modifiedMs: number;
  readonly sizeBytes: number;
  /** It may still be written to. */
  readonly isOpen: boolean;
}

/** So many bytes must go for recording to go on with some room to spare; 0 while both budgets are kept. */
export function excessBytes(use: RootUse, limits: RecordingLimits): number {
  const { freeBytes, recordedBytes } = use;
  const isLow = freeBytes !== undefined && freeBytes < limits.diskFreeBytes;
  const missing = isLow ? limits.diskFreeBytes * RESUME_FREE - freeBytes : 0;
  const budget = limits.recordingsBytes;
  const isOver = budget !== undefined && recordedBytes !== undefined && recordedBytes > budget;
  const surplus = isOver ? recordedBytes - budget * RESUME_RECORDED : 0;
  return Math.max(missing, surplus);
}

/** The oldest finished files that together make up the excess; all of them where they do not. */
export function planDeletions(files: readonly RecordedFile[], excess: number): readonly RecordedFile[] {
  const oldestFirst = files.filter(({ isOpen }) => !isOpen).sort((left, right) => left.modifiedMs - right.modifiedMs);
  const chosen: RecordedFile[] = [];
  let leftBytes = excess;
  for (const file of oldestFirst) {
    if (leftBytes <= 0) break;
    chosen.push(file);
    leftBytes -= file.sizeBytes;
  }
  return chosen;
}
