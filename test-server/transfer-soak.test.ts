import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { AppError, messageOf } from "../src/base/errors.ts";
import { digestTree } from "../src/worker/digest-tree.fake.ts";
import { createTransferWorld } from "./transfer-world.ts";

const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const FOR_MS = isLong ? 16 * 60_000 : 20_000;
const KILL_EVERY_MS = isLong ? 40_000 : 8000;
/** Until caches and pools have grown to what they need. */
const WARM_PART = 0.3;
const AT_ONCE = 3;
const TREES = 4;
/** As the hub's launcher has it: else memory tells when V8 came round to collecting, and no more. */
const LAUNCHED = ["--max-semi-space-size=8", "--initial-old-space-size=64", "--heap-growing-percent=20"];
const LOOK_MS = 1000;
/** What may come of a garbage collector's moods: everything else adds up over thousands of transfers. */
const SLACK = { mib: isLong ? 40 : 80, descriptors: 12, diskMib: 8 };
const MIB = 1024 * 1024;

interface Level {
  readonly atMs: number;
  readonly mib: number;
  readonly descriptors: number;
}

function levelOf(pid: number, atMs: number): Level {
  const kib = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  return { atMs, mib: kib / 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

function bytesBelow(directory: string): number {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).reduce((sum, name) => {
    const facts = lstatSync(join(directory, name), { throwIfNoEntry: false });
    return sum + (facts?.isFile() === true ? facts.size : 0);
  }, 0);
}

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}

it("many transfers one after the other, with the sending worker killed again and again, leave memory, descriptors and disks as they were", {
  timeout: FOR_MS + 240_000,
}, async () => {
  // A person asks less often than three that ask again at once.
  const hubFlags = ["--limits-operator-per-second", "1000"];
  await using world = await createTransferWorld({ hubRuntimeFlags: LAUNCHED, hubFlags });
  const trees = Array.from({ length: TREES }, (_, number) => {
    const tree = join(world.from, `tree-${number}`);
    mkdirSync(join(tree, "sub"), { recursive: true });
    for (let at = 0; at < 20; at++) writeFileSync(join(tree, `sub/f${at}`), randomBytes(500 + at * 997));
    writeFileSync(join(tree, "long"), randomBytes((number + 1) * MIB + 5));
    return { tree, digest: digestTree(tree) };
  });
  const staged = () => {
    const all = join(world.to, ".sluice-transfer");
    return existsSync(all) ? readdirSync(all).filter((name) => !name.startsWith("m-")) : [];
  };
  const began = systemClock.monotonicMs();
  const pastMs = () => systemClock.monotonicMs() - began;
  const seen: Record<"hub" | "to", Level[]> = { hub: [], to: [] };
  const disk: { readonly atMs: number; readonly mib: number }[] = [];
  let done = 0;
  let kills = 0;
  let isOver = false;

  const one = async (number: number) => {
    const { tree, digest } = trees[number % TREES] ?? { tree: "", digest: {} };
    const copy = join(world.to, `copy-${number}`);
    const id = await world.submit({ source_path: tree, destination_path: copy, chunk_size_mb: 1 });
    const end = await world
      .until(async () => {
        const now = await world.progress(id);
        return now.state === "COMPLETED" || now.state === "FAILED" ? now : undefined;
      }, `the end of ${id}`)
      .catch(async (thrown: unknown) => {
        const [now, workers] = [await world.progress(id), await world.hub().call("GET", "/workers")];
        throw new AppError("timeout", `${messageOf(thrown)}\n${JSON.stringify(now)}\n${JSON.stringify(workers)}`);
      });
    expect(end).toMatchObject({ state: "COMPLETED", failures: [] });
    expect(digestTree(copy)).toEqual(digest);
    await world.hub().call("DELETE", `/sync/${id}`);
    rmSync(copy, { recursive: true });
    done++;
  };
  const work = async (first: number) => {
    for (let number = first; pastMs() < FOR_MS; number += AT_ONCE) await one(number);
  };
  const look = async () => {
    while (!isOver) {
      seen.hub.push(levelOf(world.hub().pid, pastMs()));
      seen.to.push(levelOf(world.workerPid("to"), pastMs()));
      disk.push({ atMs: pastMs(), mib: bytesBelow(world.hubDirectory) / MIB });
      await systemClock.delay(LOOK_MS);
    }
  };
  const kill = async () => {
    while (!isOver) {
      const untilMs = pastMs() + KILL_EVERY_MS;
      while (!isOver && pastMs() < untilMs) await systemClock.delay(100);
      if (isOver || pastMs() >= FOR_MS) return;
      await world.killWorker("from");
      kills++;
    }
  };
  const beside = Promise.all([look(), kill()]);
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, first) => work(first)));
  } finally {
    isOver = true;
    await beside.catch((thrown: unknown) => process.stderr.write(`${messageOf(thrown)}\n`));
  }
  const warm = FOR_MS * WARM_PART;
  const middle = (FOR_MS + warm) / 2;
  const parts = <Seen extends { readonly atMs: number }>(all: readonly Seen[], of: (seen: Seen) => number) => ({
    early: median(all.filter(({ atMs }) => atMs > warm && atMs <= middle).map(of)),
    late: median(all.filter(({ atMs }) => atMs > middle).map(of)),
  });
  const figures = {
    transfers: done,
    kills,
    hubMib: parts(seen.hub, ({ mib }) => mib),
    hubDescriptors: parts(seen.hub, ({ descriptors }) => descriptors),
    workerMib: parts(seen.to, ({ mib }) => mib),
    workerDescriptors: parts(seen.to, ({ descriptors }) => descriptors),
    hubDiskMib: parts(disk, ({ mib }) => mib),
  };
  process.stderr.write(`soak of ${Math.round(pastMs() / 1000)} s: ${JSON.stringify(figures)}\n`);
  expect(done).toBeGreaterThan(AT_ONCE);
  expect(kills).toBeGreaterThan(0);
  expect(staged()).toEqual([]);
  expect(figures.hubMib.late - figures.hubMib.early).toBeLessThan(SLACK.mib);
  expect(figures.workerMib.late - figures.workerMib.early).toBeLessThan(SLACK.mib);
  expect(figures.hubDescriptors.late - figures.hubDescriptors.early).toBeLessThan(SLACK.descriptors);
  expect(figures.workerDescriptors.late - figures.workerDescriptors.early).toBeLessThan(SLACK.descriptors);
  expect(figures.hubDiskMib.late - figures.hubDiskMib.early).toBeLessThan(SLACK.diskMib);
});
