import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { StreamWorkload } from "../src/contract/workload.ts";
import { type AgentWorld, createAgentWorld } from "./agent-world.ts";

const directories: string[] = [];
afterAll(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function makeRoot(): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "sluice-guard-")));
  directories.push(directory);
  return directory;
}

function small(world: AgentWorld, id: string, extra: Partial<StreamWorkload> = {}, file?: string): StreamWorkload {
  const input = { url: "test://bars?size=160x120&fps=10" };
  const live = { url: `${world.server.rtmp?.url}/${id}` };
  const outputs = file === undefined ? [live] : [live, { url: `file://${file}` }];
  return { kind: "stream", id, ...extra, spec: { input, outputs } };
}

/** Of every thread: field 19 of proc_pid_stat(5). */
function nicesOf(pid: number | undefined): string[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const text = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    return text.slice(text.lastIndexOf(") ") + 2).split(" ")[16] ?? "";
  });
}

test.concurrent("priority sets niceness and OOM score at the launch, and a change of priority or limits restarts nothing", async () => {
  await using world = await createAgentWorld();
  await world.startAgent(["--guard-max-memory", "2Gi"]);
  world.server.putStreams(small(world, "cam-1", { priority: 20, resources: { memory: "1Gi", cpu: "4" } }));
  const { pid } = await world.untilRunning("cam-1");
  expect(new Set(nicesOf(pid))).toEqual(new Set(["8"]));
  expect(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8").trim()).toBe("480");
  world.server.putStreams(small(world, "cam-1", { priority: 90, resources: { memory: "8Gi" } }));
  const after = await world.until(async () => {
    const now = await world.workload("cam-1");
    return now?.priority === 90 ? now : undefined;
  }, "the new priority is known");
  expect(after.pid).toBe(pid);
  expect(after.limits).toEqual({ memoryBytes: 2 ** 31, by: "measuring" });
  expect(world.server.rtmp?.connects("cam-1")).toBe(1);
});

test.concurrent("an FFmpeg over its memory limit is replaced with that cause, later and later, and its neighbour goes on", async () => {
  await using world = await createAgentWorld();
  await world.startAgent();
  world.server.putStreams(small(world, "cam-1"), small(world, "cam-2"));
  const { pid } = await world.untilRunning("cam-1");
  const neighbour = await world.untilRunning("cam-2");
  // No FFmpeg fits into this.
  world.server.putStreams(small(world, "cam-1", { resources: { memory: "16Mi" } }));
  const ended = await world.until(async () => {
    const now = await world.workload("cam-1");
    return now?.lastExit === undefined ? undefined : now;
  }, "cam-1 is ended");
  expect(ended.lastExit?.class).toBe("over-memory");
  await world.until(async () => ((await world.workload("cam-1"))?.restarts ?? 0) >= 1, "cam-1 is started again");
  expect((await world.workload("cam-1"))?.pid).not.toBe(pid);
  expect(world.agent()?.output()).toMatch(/cam-1: over-memory: it holds \d+ MiB of memory, its limit is 16 MiB/);
  expect((await world.workload("cam-2"))?.pid).toBe(neighbour.pid);
  world.server.putStreams(small(world, "cam-1"));
  await world.untilRunning("cam-1", 30_000);
});

test.concurrent("while the processors are busy a new stream waits with the reason, and what runs is left alone", async () => {
  await using world = await createAgentWorld();
  await world.startAgent(["--guard-admission-cpu-percent", "1"]);
  world.server.putStreams(small(world, "cam-1"));
  const { pid } = await world.untilRunning("cam-1");
  // The guard has looked at the processors twice by then.
  await world.until(async () => ((await world.status()).guard?.cpuPercent ?? 0) >= 1, "the load is measured");
  world.server.putStreams(small(world, "cam-2"));
  const waiting = await world.until(async () => {
    const now = await world.workload("cam-2");
    return now?.held === undefined ? undefined : now;
  }, "cam-2 is held back");
  expect(waiting).toMatchObject({ state: "waiting", held: { by: "admission" } });
  expect(waiting.cause).toMatch(/^no room on the processors: .*new streams start below 1 %$/);
  process.kill(pid ?? 0, "SIGKILL");
  await world.until(async () => {
    const now = await world.workload("cam-1");
    return now?.pid !== undefined && now.pid !== pid;
  }, "a restart needs no room");
});

test.concurrent("over its budget recording pauses while the network goes on, and resumes by itself when there is room", async () => {
  await using world = await createAgentWorld();
  const root = makeRoot();
  const old = join(root, "both", "cam-20260101-000000.mkv");
  mkdirSync(join(root, "both"));
  writeFileSync(old, Buffer.alloc(4 * 2 ** 20, 1));
  const guarded = ["--policy-file-roots", root, "--guard-recordings-bytes", "2Mi"];
  await world.startAgent(guarded);
  const both = small(world, "both", {}, join(root, "both", "cam.mkv"));
  const recorder = { ...both, id: "recorder", spec: { ...both.spec, outputs: [{ url: `file://${root}/only.mkv` }] } };
  world.server.putStreams(both, recorder);
  const paused = await world.until(async () => {
    const now = await world.workload("recorder");
    return now?.held === undefined ? undefined : now;
  }, "the recorder is held back");
  expect(paused).toMatchObject({ state: "waiting", held: { by: "disk" } });
  expect(paused.cause).toMatch(/recordings below .* take 4 MiB, and their budget is 2 MiB/);
  expect((await world.untilRunning("both")).held?.by).toBe("disk-partly");
  expect((await world.status()).guard?.roots).toMatchObject([{ root, paused: expect.any(String) }]);
  expect(readdirSync(root)).toEqual(["both"]);
  expect(readdirSync(join(root, "both"))).toHaveLength(1);
  const { pid } = await world.untilRunning("both");
  await world.killAgent("SIGKILL");
  await world.startAgent(guarded);
  expect((await world.untilRunning("both")).pid).toBe(pid);
  rmSync(old);
  await world.until(async () => (await world.workload("recorder"))?.state === "running", "the recorder runs", 30_000);
  await world.until(() => readdirSync(join(root, "both")).length > 0, "both records again", 15_000);
  expect((await world.workload("both"))?.held).toBeUndefined();
});
