import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type AgentWorld, createAgentWorld } from "../../test-server/agent-world.ts";
import { runSluice } from "../../test-server/sluice-command.ts";
import { parseDocument } from "../base/document.ts";
import { errnoOf } from "../base/errors.ts";
import type { Workload } from "../contract/workload.ts";
import { REGISTRY_FORMAT } from "./registry/registry.ts";

function bars(world: AgentWorld, id: string): Workload {
  const outputs = [{ url: `${world.server.rtmp?.url}/${id}` }];
  return { kind: "stream", id, spec: { input: { url: "test://bars?size=160x90&fps=5" }, outputs, audio: "none" } };
}

test.concurrent("a second agent on the same state directory exits 75, names the first and harms nothing", async () => {
  await using world = await createAgentWorld();
  const first = await world.startAgent();
  world.server.putStreams(bars(world, "cam-1"));
  const { pid } = await world.untilRunning("cam-1");

  const second = await runSluice(world, ["agent", "--stop-streams-on-exit"]);
  expect(second.code).toBe(75);
  expect(second.text).toMatch(
    new RegExp(
      `state directory ${world.stateDir} is in use by another agent \\(pid ${first.pid}, since [^)]+\\); stop it, or give this one its own --state-dir`,
    ),
  );
  expect((await world.status()).pid).toBe(first.pid);
  expect(await world.workload("cam-1")).toMatchObject({ pid, state: "running" });
  expect(world.server.rtmp?.connects("cam-1")).toBe(1);

  await world.killAgent("SIGKILL");
  await world.startAgent();
  expect(await world.workload("cam-1")).toMatchObject({ pid });
});

function mountSmall(directory: string): void {
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k,nr_inodes=200,mode=0700", "tmpfs", directory], {
    stdio: "pipe",
  });
}

/** Why no small file system can be mounted here; undefined where it can. */
function refusalToMount(): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), "sluice-mount-"));
  try {
    mountSmall(directory);
    execFileSync("umount", [directory]);
    return undefined;
  } catch {
    return "no right to mount a small file system";
  } finally {
    rmdirSync(directory);
  }
}

const mountRefusal = refusalToMount();

/** Takes the last byte and the last file that the file system has. */
function fill(directory: string): void {
  mkdirSync(directory);
  for (const bytes of [4096, 0]) {
    let error: unknown;
    for (let index = 0; error === undefined; index++) {
      try {
        writeFileSync(join(directory, `${bytes}-${index}`), Buffer.alloc(bytes, "x"));
      } catch (thrown) {
        error = thrown;
      }
    }
    if (errnoOf(error) !== "ENOSPC") throw error;
  }
}

test.skipIf(mountRefusal !== undefined).concurrent(
  `a full disk stops no stream, hinders no start and is told; the agent recovers when there is room again${mountRefusal === undefined ? "" : ` (${mountRefusal})`}`,
  async () => {
    await using world = await createAgentWorld();
    mountSmall(world.stateDir);
    try {
      const filler = join(world.stateDir, "filler");
      const agent = await world.startAgent();
      world.server.putStreams(bars(world, "cam-1"));
      const { pid } = await world.untilRunning("cam-1");
      fill(filler);

      world.server.putStreams(bars(world, "cam-2"));
      const added = await world.untilRunning("cam-2");
      const status = await world.until(async () => {
        const found = await world.status();
        return found.registry.durable ? undefined : found;
      }, "the status says that nothing is kept");
      expect(status.registry.reason).toContain("ENOSPC");
      expect(agent.output()).toMatch(/registry\.json cannot be written \(ENOSPC\): going on from memory/);
      expect((await runSluice(world, ["status"])).text).toContain("NOT on disk (ENOSPC)");
      expect((await world.workload("cam-1"))?.pid).toBe(pid);
      await world.until(
        () => {
          const { registry, node } = world.server.reports.latestOf(world.boxId)?.report ?? {};
          const isFull = node?.disks?.some(({ usedBytes, totalBytes }) => usedBytes > 0.95 * totalBytes);
          return registry?.durable === false && isFull;
        },
        "reports go on, and say that the disk is full",
        35_000,
      );
      world.server.putStreams(bars(world, "cam-3"));
      await world.untilRunning("cam-3");
      world.server.set.remove(["cam-3"]);
      await world.until(
        async () => (await world.workload("cam-3")) === undefined,
        "a stream is stopped with a full disk too",
      );
      await world.killAgent("SIGKILL");
      const next = await world.startAgent();
      expect(await world.workload("cam-2")).toMatchObject({ pid: added.pid });
      expect(await world.workload("cam-1")).toMatchObject({ pid });
      expect(next.output()).toContain("Adopted cam-2");

      rmSync(filler, { recursive: true });
      await world.until(async () => (await world.status()).registry.durable, "what is known is kept again", 20_000);
      await world.until(() => {
        const parsed = parseDocument(readFileSync(join(world.stateDir, "registry.json"), "utf8"), REGISTRY_FORMAT);
        return parsed.kind === "good" && JSON.stringify(parsed.data).includes(`"pid":${added.pid}`);
      }, "the registry holds the stream that was started meanwhile");
      expect(readdirSync(world.stateDir).filter((name) => name.endsWith(".tmp"))).toEqual([]);
      expect(world.server.rtmp?.connects("cam-1")).toBe(1);
      expect(world.server.rtmp?.connects("cam-2")).toBe(1);
    } finally {
      if (world.agent() !== undefined) await world.killAgent("SIGKILL");
      execFileSync("umount", ["--lazy", world.stateDir]);
    }
  },
  120_000,
);
