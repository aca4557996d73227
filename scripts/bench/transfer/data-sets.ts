import { randomFillSync } from "node:crypto";
import {
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";

const MIB = 2 ** 20;
const BLOCK_BYTES = 8 * MIB;
const EDIT_BYTES = 64 * 1024;
/** Of a sparse file there is one MiB in so many. */
const SPARSE_STEP = 20;

/** All of them make a directory with something in it; nothing compresses. */
export function makeLargeFile(directory: string, bytes: number): void {
  mkdirSync(directory, { recursive: true });
  const block = Buffer.alloc(BLOCK_BYTES);
  const file = openSync(join(directory, "large"), "w");
  for (let at = 0; at < bytes; at += BLOCK_BYTES) {
    writeSync(file, randomFillSync(block), 0, Math.min(BLOCK_BYTES, bytes - at));
  }
  closeSync(file);
}

export function makeSmallFiles(directory: string, count: number, bytes: number): void {
  const content = Buffer.alloc(bytes);
  for (let index = 0; index < count; index++) {
    const folder = join(directory, `d${Math.floor(index / 1000)}`);
    if (index % 1000 === 0) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `f${index}`), randomFillSync(content));
  }
}

/** What a box has: many small ones, some of a few MiB, some long ones, links, and directories with nothing in them. */
export function makeMixedTree(directory: string): void {
  const sized = (name: string, bytes: number) =>
    writeFileSync(join(directory, name), randomFillSync(Buffer.alloc(bytes)));
  for (const folder of ["small", "medium", "large", "empty/inner"])
    mkdirSync(join(directory, folder), { recursive: true });
  for (let index = 0; index < 4000; index++) sized(`small/f${index}`, (index * 7919) % 65_536);
  for (let index = 0; index < 200; index++) sized(`medium/f${index}`, 100_000 + ((index * 104_729) % (2 * MIB)));
  for (let index = 0; index < 8; index++) sized(`large/f${index}`, 32 * MIB + index);
  for (let index = 0; index < 100; index++) {
    symlinkSync(`../small/f${index}`, join(directory, `medium/link${index}`));
    linkSync(join(directory, `small/f${index}`), join(directory, `large/twin${index}`));
  }
}

/** One twentieth of it is there. */
export function makeSparseFile(directory: string, bytes: number): void {
  mkdirSync(directory, { recursive: true });
  const block = Buffer.alloc(MIB);
  const file = openSync(join(directory, "sparse"), "w");
  ftruncateSync(file, bytes);
  for (let at = 0; at + MIB <= bytes; at += SPARSE_STEP * MIB) writeSync(file, randomFillSync(block), 0, MIB, at);
  closeSync(file);
}

/** One hundredth of a large file is written anew, 64 KiB at a time, all over it. */
export function editLargeFile(directory: string, bytes: number): void {
  const block = Buffer.alloc(EDIT_BYTES);
  const file = openSync(join(directory, "large"), "r+");
  for (let at = 0; at + EDIT_BYTES <= bytes; at += 100 * EDIT_BYTES) {
    writeSync(file, randomFillSync(block), 0, EDIT_BYTES, at);
  }
  closeSync(file);
}
