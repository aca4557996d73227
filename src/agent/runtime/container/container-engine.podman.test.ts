import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ContainerDaemon, podmanRefusal, startPodman } from "../../../../test-server/container-daemon.ts";
import { defineEngineTests } from "../../../../test-server/container-engine-suite.ts";
import { openEngineUnderTest, smallSession } from "../../../../test-server/container-engine-world.ts";

const title = podmanRefusal === undefined ? "a real Podman" : `a real Podman (skipped: ${podmanRefusal})`;

describe.skipIf(podmanRefusal !== undefined)(title, () => {
  let daemon: ContainerDaemon | undefined;
  const stateDir = mkdtempSync(join(tmpdir(), "sluice-engine-"));
  beforeAll(async () => {
    daemon = await startPodman();
  });
  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]();
    rmSync(stateDir, { recursive: true, force: true });
  });

  defineEngineTests("podman", () => daemon);

  test("its service may end and come back: what it ran goes on, under the same handle", async () => {
    if (daemon === undefined) return expect.unreachable();
    await using box = await openEngineUnderTest({ platform: "podman", daemon, stateDir });
    await box.untilReady();
    const script = ["/usr/bin/perl", "-e", "$SIG{TERM} = sub { exit 0 }; sleep 1 while 1"];
    const run = await box.start(smallSession("phoenix", { image: daemon.image, script }));
    await daemon.kill();
    await expect.poll(() => box.engine.status().isReady).toBe(false);
    await daemon.start();
    await box.untilReady();
    expect(await run.isFrozen()).toBe(false);
    expect(await run.stop([{ signal: "SIGTERM", graceMs: 10_000, toGroup: false }])).toBe("gone");
    expect(await run.exited).toMatchObject({ code: 0 });
  });
});
