import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { createAgentWorld } from "./agent-world.ts";

/** A disk of its own that can be frozen: a file with a file system on it. Undefined where it cannot be had. */
function mountDisk() {
  const at = mkdtempSync(join(tmpdir(), "sluice-disk-"));
  const run = (file: string, ...args: string[]) => void execFileSync(file, args, { stdio: "pipe" });
  const path = join(at, "mnt");
  const discard = () => rmSync(at, { recursive: true, force: true });
  try {
    writeFileSync(join(at, "image"), "");
    // Above the floor at which recording is paused. The file has holes: it takes what is written.
    truncateSync(join(at, "image"), 1024 * 1024 * 1024);
    run("mkfs.ext4", "-q", "-F", join(at, "image"));
    mkdirSync(path);
    run("mount", "-o", "loop", join(at, "image"), path);
  } catch {
    discard();
    return undefined;
  }
  let isFrozen = false;
  const thaw = () => {
    if (isFrozen) run("fsfreeze", "-u", path);
    isFrozen = false;
  };
  return {
    path,
    freeze: () => {
      run("fsfreeze", "-f", path);
      isFrozen = true;
    },
    thaw,
    [Symbol.asyncDispose]: async () => {
      thaw();
      run("umount", "-l", path);
      discard();
    },
  };
}

const probe = process.getuid?.() === 0 ? mountDisk() : undefined;
await probe?.[Symbol.asyncDispose]();

describe.skipIf(probe === undefined)("a disk of its own (skipped where not root, or without loop devices)", () => {
  test("that freezes is named, its recording left alone, and goes on when it thaws", async () => {
    await using disk = mountDisk();
    if (disk === undefined) return;
    await using world = await createAgentWorld({ agentArguments: ["--policy-file-roots", disk.path] });
    await world.startAgent();
    const input = { url: "test://bars?size=640x360&fps=25" };
    const video = { encoder: "libx264", preset: "ultrafast", bitrateKbit: 4000, gopFrames: 1 };
    const outputs = [{ url: `${disk.path}/`, segmentSeconds: 2 }];
    world.server.putStreams({ kind: "stream", id: "rec", spec: { input, video, audio: "none", outputs } });
    const flowing = async (frames: number) => {
      const status = await world.workload("rec");
      return status?.state === "running" && (status.media?.frames ?? 0) > frames ? status : undefined;
    };
    const { pid } = await world.until(() => flowing(50), "rec flows");
    disk.freeze();
    const frozenWallMs = systemClock.wallMs();
    const found = await world.until(
      () =>
        world.server.reports
          .last()
          .flatMap(({ report }) => report.occurrences)
          .find(
            ({ workloadId, at, kind }) => workloadId === "rec" && kind !== "started" && Date.parse(at) >= frozenWallMs,
          ),
      "a cause is named",
    );
    expect(found.kind).toBe("disk-blocked");
    const tookMs = Date.parse(found.at) - frozenWallMs;
    console.log(`rec: disk-blocked named ${tookMs} ms after its disk was frozen: ${found.text}`);
    expect(tookMs).toBeLessThanOrEqual(10_000);
    expect(await world.workload("rec")).toMatchObject({ pid, state: "degraded", fault: "disk-blocked", restarts: 0 });
    disk.thaw();
    await world.until(() => flowing(50), "rec goes on");
    expect(await world.workload("rec")).toMatchObject({ pid, restarts: 0 });
    world.server.set.remove(["rec"]);
    await world.until(() => world.workloadPids().length === 0, "rec is stopped");
  });
});
