import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ContainerDaemon, dockerRefusal, startDocker } from "../../../../test-server/container-daemon.ts";
import { defineEngineTests } from "../../../../test-server/container-engine-suite.ts";
import { openEngineUnderTest, smallSession } from "../../../../test-server/container-engine-world.ts";
import { openImageRegistry } from "../../../../test-server/image-registry.ts";

const title = dockerRefusal === undefined ? "a real Docker Engine" : `a real Docker Engine (skipped: ${dockerRefusal})`;
const SLEEPER = ["/usr/bin/perl", "-e", "$SIG{TERM} = sub { exit 0 }; sleep 1 while 1"];

describe.skipIf(dockerRefusal !== undefined)(title, () => {
  let daemon: ContainerDaemon | undefined;
  const stateDir = mkdtempSync(join(tmpdir(), "sluice-engine-"));
  beforeAll(async () => {
    daemon = await startDocker({ dataMebibytes: 128 });
  });
  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]();
    rmSync(stateDir, { recursive: true, force: true });
  });

  defineEngineTests("docker", () => daemon);

  test("a container that the engine could not remove is named, and gives way as soon as it can be", async (context) => {
    if (daemon === undefined) return expect.unreachable();
    await using box = await openEngineUnderTest({ platform: "docker", daemon, stateDir });
    await box.untilReady();
    const workload = smallSession("undead", { image: daemon.image, script: SLEEPER });
    const run = await box.start(workload);
    await run.stop([{ signal: "SIGTERM", graceMs: 5000, toGroup: false }]);
    const details = await daemon.call("GET", "/v1.41/containers/sluice-undead/json");
    const directory = /"UpperDir":"([^"]+)"/.exec(JSON.stringify(details))?.[1] ?? "";
    const pinned = join(directory, "pinned");
    writeFileSync(pinned, "");
    if (spawnSync("chattr", ["+i", pinned]).status !== 0) context.skip("this file system pins no files");
    try {
      await expect(daemon.call("DELETE", "/v1.41/containers/sluice-undead?force=true")).rejects.toThrow("remove");
      await expect(box.start(workload, 2)).rejects.toThrow("failed to remove root filesystem");
    } finally {
      spawnSync("chattr", ["-i", pinned]);
    }
    expect((await box.start(workload, 3)).instance).not.toBe(run.instance);
  });

  test("an image is fetched from a registry once, and a disk that is full refuses by that name until there is room", async () => {
    if (daemon === undefined) return expect.unreachable();
    await using box = await openEngineUnderTest({ platform: "docker", daemon, stateDir });
    await box.untilReady();
    const tree = join(stateDir, "tree");
    for (const name of ["usr", "etc", "tmp", "proc", "sys", "dev"]) mkdirSync(join(tree, name), { recursive: true });
    for (const name of ["bin", "lib", "lib64"]) symlinkSync(`usr/${name}`, join(tree, name));
    // Nothing that packs well: the file has its size on the way and on the disk.
    writeFileSync(join(tree, "ballast"), randomBytes(8 * 2 ** 20));
    using registry = await openImageRegistry(execFileSync("tar", ["-C", tree, "-c", "."], { maxBuffer: 2 ** 26 }));
    const sessionOf = (id: string, image: string) =>
      smallSession(id, { image: `${registry.host}/team/${image}`, script: SLEEPER });

    const running = await box.start(sessionOf("fetched", "app:1"));
    expect(box.lines().join("\n")).toContain(`Fetching image ${registry.host}/team/app:1 for fetched`);
    const fetched = registry.asked.filter((line) => line.startsWith("GET ") && line.includes("/blobs/"));
    expect(fetched).toHaveLength(2);
    await running.stop([{ signal: "SIGTERM", graceMs: 5000, toGroup: false }]);
    await (await box.start(sessionOf("fetched", "app:1"), 2)).stop([
      { signal: "SIGKILL", graceMs: 5000, toGroup: true },
    ]);
    expect(registry.asked.filter((line) => line.startsWith("GET ") && line.includes("/blobs/"))).toEqual(fetched);

    const steady = await box.start(smallSession("steady", { image: daemon.image, script: SLEEPER }));
    // With the container its image's layer goes.
    box.unkept.add("fetched");
    await box.engine.discard("fetched");
    await daemon.call("DELETE", `/v1.41/images/${encodeURIComponent(`${registry.host}/team/app:1`)}?force=true`);
    const ballast = join(daemon.dataDirectory, "ballast");
    const { bavail, bsize } = statfsSync(daemon.dataDirectory);
    // Room for what an engine notes of what it does, and for no layer.
    writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - 4 * 2 ** 20)));
    try {
      await expect(box.start(sessionOf("large", "app:2"))).rejects.toMatchObject({
        code: "storage",
        message: expect.stringMatching(/^image 127\.0\.0\.1:\d+\/team\/app:2 .*no space left on device/),
      });
      expect(await daemon.call("GET", "/v1.41/containers/json?all=true")).toSatisfy(
        (list) => !JSON.stringify(list).includes("sluice-large"),
      );
      expect(await steady.isFrozen()).toBe(false);
    } finally {
      rmSync(ballast);
    }
    expect((await box.start(sessionOf("large", "app:2"), 2)).isAdopted).toBe(false);
    await steady.stop([{ signal: "SIGTERM", graceMs: 5000, toGroup: false }]);
  }, 180_000);

  describe("that freezes, and that is killed", () => {
    test("holds nobody up while it is frozen, and what it did meanwhile is known afterwards", async () => {
      if (daemon === undefined) return expect.unreachable();
      await using box = await openEngineUnderTest({ platform: "docker", daemon, stateDir });
      await box.untilReady();
      const run = await box.start(smallSession("ice", { image: daemon.image, script: SLEEPER }));
      let isOver = false;
      void run.exited.then(() => {
        isOver = true;
      });
      daemon.signal("SIGSTOP");
      try {
        // The best of some turns: a machine that has no time for anybody is not the engine.
        let tookMs = Number.POSITIVE_INFINITY;
        for (let turn = 0; turn < 4 && tookMs >= 6000; turn++) {
          const beganMs = performance.now();
          await expect(box.engine.sweep()).rejects.toMatchObject({ code: "timeout" });
          tookMs = Math.min(tookMs, performance.now() - beganMs);
        }
        expect(tookMs).toBeLessThan(6000);
        await expect.poll(() => box.engine.status().isReady).toBe(false);
        expect(box.engine.status().reason).toContain("Docker Engine at ");
        expect(isOver).toBe(false);
        process.kill(run.networkPid() ?? 0, "SIGKILL");
      } finally {
        daemon.signal("SIGCONT");
      }
      expect(await run.exited).toMatchObject({ signal: "SIGKILL", isAdopted: false });
      await box.untilReady();
    });

    test("a killed daemon ends no session here by its silence: the end is told by the next one", async () => {
      if (daemon === undefined) return expect.unreachable();
      await using box = await openEngineUnderTest({ platform: "docker", daemon, stateDir });
      await box.untilReady();
      const workload = smallSession("ash", { image: daemon.image, script: SLEEPER });
      const run = await box.start(workload);
      let isOver = false;
      void run.exited.then(() => {
        isOver = true;
      });
      await daemon.kill();
      await expect.poll(() => box.engine.status().isReady).toBe(false);
      expect(isOver).toBe(false);
      // Without live-restore the next daemon ends what it finds.
      await daemon.start();
      await box.untilReady();
      await expect.poll(() => isOver).toBe(true);
      const woken = await box.start(workload, 2);
      expect(woken.instance).toBe(run.instance);
    });
  });
});
