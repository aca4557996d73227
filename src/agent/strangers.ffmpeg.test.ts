import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, expect, test } from "vitest";
import { type AgentWorld, createAgentWorld } from "../../test-server/agent-world.ts";
import { MAIN_PROGRAM } from "../../test-server/main-program.ts";
import { runSluice } from "../../test-server/sluice-command.ts";
import { formatDocument, parseDocument } from "../base/document.ts";
import { isLive } from "../base/proc-stat.ts";
import { createProcessTable } from "../base/process-table.ts";
import type { Workload } from "../contract/workload.ts";
import { type RegistryRecord, registryRecordSchema } from "./registry/record.ts";
import { REGISTRY_FORMAT } from "./registry/registry.ts";
import { toMarkEnvironment } from "./runtime/process/process-mark.ts";
import type { ProcessMark } from "./runtime/run-handle.ts";

const table = createProcessTable();
const started: ChildProcess[] = [];

afterAll(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});

/** A process that is not ours, in a session of its own as a workload would be. */
async function startStranger(environment: Record<string, string> = {}): Promise<number> {
  const env = { PATH: process.env["PATH"], ...environment };
  const child = spawn("sleep", ["600"], { stdio: "ignore", detached: true, env });
  started.push(child);
  await once(child, "spawn");
  return child.pid ?? -1;
}

function bars(world: AgentWorld, id: string): Workload {
  const outputs = [{ url: `${world.server.rtmp?.url}/${id}` }];
  return { kind: "stream", id, spec: { input: { url: "test://bars?size=160x90&fps=5" }, outputs, audio: "none" } };
}

function editRecords(world: AgentWorld, edit: (records: readonly RegistryRecord[]) => readonly RegistryRecord[]): void {
  const path = join(world.stateDir, "registry.json");
  const parsed = parseDocument(readFileSync(path, "utf8"), REGISTRY_FORMAT);
  const data = parsed.kind === "good" ? parsed.data : undefined;
  const list = typeof data === "object" && data !== null && "records" in data ? data.records : undefined;
  const records = edit(registryRecordSchema.array().parse(list));
  writeFileSync(path, formatDocument(REGISTRY_FORMAT, JSON.stringify({ records }), "2026-01-01T00:00:00Z"));
}

function recordOf(pid: number, like: RegistryRecord, id: string): RegistryRecord {
  const startTicks = table.stat(pid)?.startTicks ?? -1;
  return { ...like, id, phase: "running", pid, startTicks, nonce: "ef".repeat(16), failures: 3, restarts: 40 };
}

test.concurrent("whoever holds a recorded number or a mark of another's is neither signalled nor taken for a stream", async () => {
  await using world = await createAgentWorld({ agentArguments: ["--reconcile-interval-seconds", "1"] });
  const mark = (over: Partial<ProcessMark>): ProcessMark => ({
    boxId: world.boxId,
    workloadId: "cam-1",
    kind: "stream",
    generation: 99,
    nonce: "ab".repeat(16),
    specHash: "x",
    ...over,
  });
  const strangers = {
    plain: await startStranger(),
    onForgottenRecord: await startStranger(),
    ofOtherBox: await startStranger(toMarkEnvironment(mark({ boxId: "another-box" }), "/var/lib/sluice")),
    ofOtherStateDirectory: await startStranger(toMarkEnvironment(mark({}), `${world.stateDir}-2`)),
    withHalfAMark: await startStranger({ SLUICE_WORKLOAD: `${world.boxId}/cam-1/1/${"cd".repeat(16)}` }),
  };
  const survivors = () => Object.entries(strangers).filter(([, pid]) => isLive(table.stat(pid)));

  await world.startAgent();
  world.server.putStreams(bars(world, "cam-1"), bars(world, "cam-2"), bars(world, "cam-3"));
  const first = await world.untilRunning("cam-1");
  const second = await world.untilRunning("cam-2");
  const third = await world.untilRunning("cam-3");
  await world.killAgent("SIGKILL");
  process.kill(third.pid ?? -1, "SIGKILL");

  editRecords(world, ([one, two, three]) => {
    if (one === undefined || two === undefined || three === undefined) throw new RangeError("three records expected");
    return [
      recordOf(strangers.plain, one, "cam-1"),
      // The right process under a nonce that is not its own: what this record remembers is of another launch.
      recordOf(second.pid ?? -1, two, "cam-2"),
      recordOf(strangers.ofOtherStateDirectory, three, "cam-3"),
      recordOf(strangers.onForgottenRecord, one, "not-expected-1"),
      { ...recordOf(strangers.ofOtherBox, one, "not-expected-2"), nonce: "ab".repeat(16) },
    ];
  });
  const agent = await world.startAgent();

  const taken = (await world.status()).workloads.map(({ pid }) => pid);
  for (const [name, pid] of Object.entries(strangers)) expect(taken, name).not.toContain(pid);
  expect(await world.workload("cam-1")).toMatchObject({ pid: first.pid, restarts: 0 });
  expect(await world.workload("cam-2")).toMatchObject({ pid: second.pid, restarts: 0 });
  expect(agent.output()).toContain(`Recorded pid ${strangers.plain} of cam-1 is gone or belongs to somebody else`);
  expect(agent.output()).toContain(`Adopted cam-2 (pid ${second.pid}), which the registry did not know`);
  expect((await world.untilRunning("cam-3")).pid).not.toBe(strangers.ofOtherStateDirectory);

  const sweeps = await runSluice(world, ["cleanup"]);
  expect(sweeps.code).toBe(0);
  world.server.set.remove(["cam-1", "cam-2", "cam-3"]);
  await world.until(() => world.workloadPids().length === 0, "the streams have ended");
  await world.killAgent("SIGTERM");
  expect((await runSluice(world, ["cleanup"])).code).toBe(0);
  await world.startAgent(["--stop-streams-on-exit"]);
  await world.killAgent("SIGTERM");
  expect(survivors()).toEqual(Object.entries(strangers));
});

/** Why process numbers cannot be given out again at will here; undefined when they can. */
function namespaceRefusal(): string | undefined {
  const attempt = ["-fp", "--mount-proc", "--kill-child", "sh", "-c", "echo 4000 > /proc/sys/kernel/ns_last_pid"];
  try {
    execFileSync("unshare", attempt, { stdio: "pipe", timeout: 10_000 });
    return undefined;
  } catch {
    return "no PID namespace of our own, or no right to choose its next number";
  }
}

const refusal = namespaceRefusal();

test
  .skipIf(refusal !== undefined)
  .concurrent(
    `a number that the kernel gave to another process is not ours any more${refusal === undefined ? "" : ` (${refusal})`}`,
    async () => {
      await using world = await createAgentWorld();
      const env = {
        PATH: process.env["PATH"],
        HOME: world.stateDir,
        SLUICE_STATE_DIR: world.stateDir,
        SLUICE_BOX_ID: world.boxId,
        SSE_ENDPOINT: `${world.server.origin}/v1/boxes/${world.boxId}/events`,
        SSE_RETRY_DELAY: "0.2",
      };
      const shell = spawn("unshare", ["-fp", "--mount-proc", "--kill-child", "bash"], {
        stdio: ["pipe", "pipe", "ignore"],
        env,
      });
      started.push(shell);
      const lines = createInterface({ input: shell.stdout })[Symbol.asyncIterator]();
      const run = async (command: string): Promise<string> => {
        shell.stdin.write(`${command}\n`);
        const { value } = await lines.next();
        return String(value);
      };
      const startAgent = () => run(`${process.execPath} --no-warnings ${MAIN_PROGRAM} agent > /dev/null & echo $!`);

      const agentPid = await startAgent();
      await world.until(async () => String((await world.status()).pid) === agentPid, "the agent answers");
      world.server.putStreams(bars(world, "cam-1"));
      const { pid } = await world.untilRunning("cam-1");
      await run(`kill -9 ${agentPid}; wait ${agentPid}; kill -9 ${pid}; echo`);
      await world.until(() => world.workloadPids().length === 0, "the stream has ended");
      // Until the dead process has been reaped, its number is not free.
      const takeNumber = `echo $((${pid} - 1)) > /proc/sys/kernel/ns_last_pid; sleep 600 & echo $!`;
      await world.until(async () => (await run(takeNumber)) === String(pid), "the number is another's");

      const next = await startAgent();
      await world.until(async () => String((await world.status()).pid) === next, "the next agent answers");
      expect((await world.status()).verdict).toBe("restart");
      const again = await world.untilRunning("cam-1");
      expect(again.pid).not.toBe(pid);
      await runSluice(world, ["cleanup"]);
      world.server.set.remove(["cam-1"]);
      await world.until(() => world.workloadPids().length === 0, "the stream is stopped");
      expect(await run(`tr '\\0' ' ' < /proc/${pid}/cmdline; echo`)).toBe("sleep 600 ");
    },
  );
