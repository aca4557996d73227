import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readBoundedText } from "../src/agent/link/problem-body.ts";
import { systemClock } from "../src/base/clock.ts";
import { AppError, messageOf } from "../src/base/errors.ts";
import { createHttpFetch } from "../src/base/http-fetch.ts";
import { createMemoryLog } from "../src/base/log.ts";
import { createProcessTable } from "../src/base/process-table.ts";
import { systemRandom } from "../src/base/random.ts";
import { openRunDirectory } from "../src/base/run-directory.ts";
import { createSpawner } from "../src/base/spawn.ts";
import { createHubClient, type HubClient } from "../src/client/hub-client.ts";
import { createLocalAgent } from "../src/client/local-agent.ts";
import { commandViewSchema } from "../src/contract/fleet/command-view.ts";
import { runHub, type StartedHub } from "../src/hub/hub.ts";
import { MAIN_PROGRAM } from "./main-program.ts";

/** A real hub with its own authority, and a real agent that enrols with it: one life of one box, told in order. */

const BOX = "north-1";
const table = createProcessTable();
const never = () => AbortSignal.timeout(20_000);
let directory: string;
let stateDir: string;
let hub: { readonly started: StartedHub; stop(): Promise<void> };
let client: HubClient;
let agent: { readonly child: ChildProcess; output(): string } | undefined;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-hub-agent-"));
  stateDir = join(directory, "box");
  hub = await startHub(0);
  client = clientOf(hub.started);
});
afterAll(async () => {
  agent?.child.kill("SIGKILL");
  for (const pid of workloadPids()) process.kill(pid, "SIGKILL");
  await hub.stop();
  rmSync(openRunDirectory({ stateDir, userId: process.getuid?.() ?? 0 }).path, { recursive: true, force: true });
  await rm(directory, { recursive: true, force: true });
});

async function startHub(port: number) {
  const stop = new AbortController();
  const { promise: started, resolve: announce } = Promise.withResolvers<StartedHub>();
  const done = runHub(
    {
      server: { host: "127.0.0.1", port, publicUrl: undefined, ownUrl: undefined, trustedProxies: [], drainMs: 200 },
      tls: { mode: "generated", certFile: undefined, keyFile: undefined, names: [] },
      store: { kind: "sqlite", path: join(directory, "hub.db") },
      enrolment: { approval: "manual" },
      limits: { operatorPerSecond: 1000, boxPerSecond: 1000, workerPerSecond: 1000, addressPerSecond: 1000 },
      files: { dataDir: join(directory, "hub") },
      log: { level: "info" },
    },
    {
      clock: systemClock,
      random: systemRandom,
      log: createMemoryLog(),
      runProgram: createSpawner({ ambient: process.env }, { clock: systemClock }).runProgram,
      newId: () => randomUUID(),
      newSecret: () => randomBytes(32).toString("base64url"),
      version: "0.0.0",
      hostname: "hub.test",
      pages: [],
      announce,
    },
    stop.signal,
  );
  return {
    started: await Promise.race([started, done.then(() => Promise.reject(new RangeError("the hub ended")))]),
    stop: async () => {
      stop.abort();
      await done;
    },
  };
}

let adminToken = "";
function clientOf({ url, adminToken: token }: StartedHub): HubClient {
  adminToken = token ?? adminToken;
  const ca = readFileSync(join(directory, "hub", "tls", "ca.pem"), "utf8");
  return createHubClient(
    { hub: url, token: adminToken },
    { fetch: createHttpFetch({ ca }), clock: systemClock, random: systemRandom },
  );
}

const environment = () => ({
  PATH: process.env["PATH"],
  HOME: directory,
  SLUICE_STATE_DIR: stateDir,
  SLUICE_CONFIG: "/dev/null",
});
const sluice = (...args: string[]) =>
  promisify(execFile)(process.execPath, ["--no-warnings", MAIN_PROGRAM, ...args], {
    env: environment(),
    timeout: 20_000,
  });

async function startAgent(...args: string[]): Promise<void> {
  const child = spawn(
    process.execPath,
    ["--no-warnings", MAIN_PROGRAM, "agent", "--report-interval-seconds", "1", ...args],
    {
      env: { ...environment(), SSE_RETRY_DELAY: "0.2" },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
  agent = { child, output: () => output };
  await until(async () => (await status()).pid === child.pid, "the agent answers");
}

async function killAgent(signal: NodeJS.Signals): Promise<void> {
  const { child } = agent ?? {};
  if (child === undefined) return;
  const exited = new Promise((done) => child.once("exit", done));
  child.kill(signal);
  await exited;
  agent = undefined;
}

const local = () => createLocalAgent({ socketPath: join(stateDir, "agent.sock"), timeoutMs: 10_000 });
const status = () => local().status(never());
const box = () => client.boxes.get(BOX, never());
const workloadPids = () =>
  table.pids().filter((pid) => {
    const found = pid === process.pid ? undefined : table.environment(pid, stateDir);
    return found?.get("SLUICE_STATE_DIR") === stateDir && found.has("SLUICE_WORKLOAD");
  });

async function until(predicate: () => Promise<unknown> | unknown, what: string, timeoutMs = 40_000): Promise<void> {
  const endMs = systemClock.monotonicMs() + timeoutMs;
  let last: unknown;
  while (systemClock.monotonicMs() < endMs) {
    try {
      last = await predicate();
      if (last) return;
    } catch (thrown) {
      last = messageOf(thrown);
    }
    await systemClock.delay(50);
  }
  throw new AppError(
    "timeout",
    `not within ${timeoutMs} ms: ${what}; last: ${JSON.stringify(last)}\n${agent?.output().slice(-3000)}`,
  );
}

async function commandOf(id: string) {
  const ca = readFileSync(join(directory, "hub", "tls", "ca.pem"), "utf8");
  const response = await createHttpFetch({ ca })(new URL(`/v1/boxes/${BOX}/commands/${id}`, hub.started.url), {
    headers: { authorization: `Bearer ${adminToken}` },
    redirect: "manual",
    signal: never(),
  });
  return commandViewSchema.parse(JSON.parse(await readBoundedText(response, 65_536)));
}

async function command(name: string): Promise<{ readonly state: string; readonly answer: string | undefined }> {
  const { id } = await client.boxes.command(BOX, { name, deadlineSeconds: 20 }, never());
  const seen = { state: "", answer: undefined as string | undefined };
  await until(async () => {
    const { state, answer } = await commandOf(id);
    Object.assign(seen, { state, answer });
    return state !== "waiting" && state !== "taken";
  }, `the command ${name} is answered`);
  return seen;
}

test("a box enrols from the command line, knowing its hub by the fingerprint in the token alone", async () => {
  const { token } = await client.enrolments.create({ labels: { site: "north" } }, never());
  const { stdout } = await sluice("enrol", token ?? "", "--id", BOX, "--name", "North gate", "--label", "role=gate");
  expect(stdout).toContain(`This box is enrolled as ${BOX} with ${hub.started.url}`);
  expect(stdout).toContain("A person has to approve it");
  expect(await box()).toMatchObject({ state: "pending", name: "North gate", connection: "never" });
  expect(stdout).not.toContain(JSON.parse(await readFile(join(stateDir, "identity.json"), "utf8")).data.current.key);
});

test("until a person approves it the box waits and says so, without a flood; then it works", async () => {
  await startAgent();
  await until(async () => (await status()).hold?.reason === "pending", "the box says that it waits");
  expect((await sluice("status")).stdout).toContain("for a person to approve this box on the hub");
  const doctor = await sluice("doctor").catch((thrown: { stdout: string }) => thrown);
  expect(doctor.stdout).toMatch(/fail {2}hub +https:\S+, enrolled, link live: pending/);
  const before = agent?.output().split("\n").length ?? 0;
  await systemClock.delay(3000);
  expect((agent?.output().split("\n").length ?? 0) - before).toBeLessThan(4);
  await client.boxes.act(BOX, "approve", never());
  await until(async () => (await status()).hold === undefined, "the box works");
  await until(async () => (await box()).connection === "online", "the hub sees it online");
});

test("a workload of the hub runs, and the hub sees it with the machine that runs it", async () => {
  const spec = { input: "test://bars", outputs: ["udp://127.0.0.1:9"] };
  const workload = { kind: "stream" as const, id: "cam-1", spec };
  await client.workloads.put(BOX, { body: { workload } }, never());
  await until(async () => (await box()).workloads.running === 1, "the hub sees it running");
  const { node, verdict, agentVersion } = await box();
  expect(verdict).toBe("first");
  expect(agentVersion).toBeDefined();
  expect(node?.memoryPercent).toBeGreaterThan(0);
  expect(node?.diskPercent).toBeGreaterThan(0);
});

test("the agent is killed: no stream notices, and the hub hears of a restart and no gap", async () => {
  const before = workloadPids();
  expect(before).toHaveLength(1);
  await killAgent("SIGKILL");
  await startAgent();
  await until(async () => (await box()).verdict === "restart", "the hub hears of the restart");
  await until(async () => (await box()).workloads.running === 1, "the hub sees it running");
  expect(workloadPids()).toEqual(before);
});

test("commands are done and answered, and the key is changed without a missed report", async () => {
  expect(await command("reconcile")).toEqual({ state: "done", answer: '{"kept":1,"started":0,"stopped":0}' });
  expect(await command("no-such")).toMatchObject({ state: "failed" });
  const keyOf = async () => JSON.parse(await readFile(join(stateDir, "identity.json"), "utf8")).data.current.key;
  const before = await keyOf();
  const linesBefore = agent?.output().length ?? 0;
  expect(await command("rotate-key")).toEqual({ state: "done", answer: "the key was changed" });
  expect(await keyOf()).not.toBe(before);
  await until(async () => (await status()).link.state === "live", "the link lives with the new key");
  await systemClock.delay(2500);
  expect((await status()).report).toMatchObject({ state: "ok", queued: 0 });
  expect(agent?.output().slice(linesBefore)).not.toContain("Reports do not get through");
});

test("its logs can be read at the hub, followed, and are let go when nobody reads", async () => {
  const lines: string[] = [];
  const reader = new AbortController();
  const reading = (async () => {
    for await (const record of client.logs(BOX, { tail: 50, follow: true }, reader.signal)) {
      if (record.type === "line") lines.push(record.text);
    }
  })().catch(() => undefined);
  await until(() => lines.some((line) => line.includes(`Sluice agent`)), "the agent's log comes");
  await until(() => lines.some((line) => line.includes("Somebody reads the log of agent")), "it is followed");
  reader.abort();
  await reading;
  await until(() => agent?.output().includes("The log of agent is not read any more"), "the upload ends", 5000);
});

test("the hub is away: the stream goes on, and the hub that comes back knows what happened", async () => {
  const before = workloadPids();
  const port = Number(new URL(hub.started.url).port);
  await hub.stop();
  await until(async () => (await status()).link.state !== "live", "the link is down");
  hub = await startHub(port);
  client = clientOf(hub.started);
  await until(async () => (await box()).connection === "online", "the hub sees it online", 30_000);
  await until(async () => (await box()).workloads.running === 1, "the hub sees it running");
  expect(workloadPids()).toEqual(before);
});

test("a copied identity puts both machines in quarantine, which both say, and no stream is touched", async () => {
  const before = workloadPids();
  const copy = join(directory, "copy");
  await mkdir(copy, { mode: 0o700 });
  await copyFile(join(stateDir, "identity.json"), join(copy, "identity.json"));
  const args = ["--no-warnings", MAIN_PROGRAM, "agent", "--report-interval-seconds", "1", "--shutdown-streams", "stop"];
  const child = spawn(process.execPath, args, {
    env: { ...environment(), SLUICE_STATE_DIR: copy, SSE_RETRY_DELAY: "0.2" },
    stdio: "ignore",
  });
  try {
    await until(async () => (await box()).quarantine !== undefined, "the hub has seen two machines", 40_000);
    await until(async () => (await status()).hold?.reason === "quarantined", "the box says so", 30_000);
    expect((await sluice("status")).stdout).toContain("another machine goes by the same identity");
    expect(agent?.output()).toContain(`sluice box release ${BOX}`);
    expect(workloadPids()).toEqual(expect.arrayContaining(before));
  } finally {
    const exited = new Promise((done) => child.once("exit", done));
    child.kill("SIGTERM");
    await exited;
    const runDirectory = openRunDirectory({ stateDir: copy, userId: process.getuid?.() ?? 0 }).path;
    rmSync(runDirectory, { recursive: true, force: true });
  }
  await client.boxes.act(BOX, "release", never());
  await until(async () => (await status()).hold === undefined, "the box works again", 30_000);
  const contact = async () => Date.parse((await box()).lastContactAt ?? "");
  const releasedAtMs = await contact();
  await until(async () => (await contact()) > releasedAtMs + 5000, "it goes on reporting");
  expect((await box()).quarantine).toBeUndefined();
  expect(await command("reconcile")).toMatchObject({ state: "done" });
  expect(workloadPids()).toEqual(before);
}, 120_000);

test("a box that is revoked is cut, says so, and its stream goes on", async () => {
  const before = workloadPids();
  await client.boxes.act(BOX, "revoke", never());
  await until(async () => (await status()).link.state !== "live", "the link is cut", 5000);
  await until(async () => (await status()).link.reason?.includes("revoked"), "the box knows why");
  expect((await sluice("status")).stdout).toContain("revoked");
  await systemClock.delay(1000);
  expect(workloadPids()).toEqual(before);
});
