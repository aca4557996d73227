import { closeSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "./clock.ts";
import { createPipePool, type PipeEnds } from "./pipe-pool.ts";
import { createSpawner } from "./spawn.ts";

const { runProgram } = createSpawner({ ambient: process.env }, { clock: systemClock });

let root: string;
let directory: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "sluice-pipes-"));
  directory = join(root, "pool");
});
afterEach(() => rm(root, { recursive: true, force: true, maxRetries: 5 }));

const close = (ends: PipeEnds | undefined) => {
  if (ends === undefined) return;
  closeSync(ends.readFd);
  closeSync(ends.writeFd);
};

test("closing it while pipes are being made leaves nothing, and nobody gets one afterwards", async () => {
  for (let round = 0; round < 5; round++) {
    const pool = createPipePool(directory, { runProgram });
    pool.prepare();
    await pool.close();
    expect(existsSync(directory)).toBe(false);
    expect(await pool.take(undefined)).toBeUndefined();
    expect(existsSync(directory)).toBe(false);
  }
});

test("who waits while it is closed hears that there is none", async () => {
  const pool = createPipePool(directory, { runProgram });
  const waiting = pool.take(undefined);
  await pool.close();
  expect(await waiting).toBeUndefined();
});

test("more at once than are made at a time all get one, and no name is left of those", async () => {
  const pool = createPipePool(directory, { runProgram });
  const all = await Promise.all(Array.from({ length: 60 }, () => pool.take(undefined)));
  try {
    expect(all.every((ends) => ends !== undefined)).toBe(true);
    expect(new Set(all.map((ends) => ends?.readFd)).size).toBe(60);
  } finally {
    for (const ends of all) close(ends);
    await pool.close();
  }
});

test("names that somebody has tidied away are made anew", async () => {
  const pool = createPipePool(directory, { runProgram });
  close(await pool.take(undefined));
  expect(readdirSync(directory).length).toBeGreaterThan(0);
  rmSync(directory, { recursive: true });
  const ends = await pool.take(undefined);
  expect(ends).toBeDefined();
  close(ends);
  await pool.close();
});

test("where none can be made there is none, and nothing is thrown", async () => {
  const pool = createPipePool(directory, {
    runProgram: async () => ({ code: 1, signal: null, stdout: "", stderr: "", timedOut: false }),
  });
  expect(await pool.take(undefined)).toBeUndefined();
  await pool.close();
});

test("one that was never used touches no directory: it may be another's", async () => {
  const other = createPipePool(directory, { runProgram });
  close(await other.take(undefined));
  const names = readdirSync(directory);
  await createPipePool(directory, { runProgram }).close();
  expect(readdirSync(directory)).toEqual(names);
  await other.close();
});
