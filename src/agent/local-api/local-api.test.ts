import { appendFile, chmod, mkdir, mkdtemp, readdir, readlink, rename, rm, stat, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { createMemoryLog, type MemoryLog } from "../../base/log.ts";
import { createRedactor, type Redactor } from "../../base/redact.ts";
import { createLocalAgent, type LocalAgent } from "../../client/local-agent.ts";
import { createMemorySource, type MemorySource, sampleWorkload } from "./local-api.fake.ts";
import { createLocalApi } from "./local-api.ts";

const never = new AbortController().signal;
let directory: string;
let socketPath: string;
let source: MemorySource;
let redactor: Redactor;
let log: MemoryLog;
let agent: LocalAgent;
let stop: AbortController;
let done: Promise<void>;

async function start(path = socketPath): Promise<void> {
  stop = new AbortController();
  await new Promise<void>((resolve) => {
    const deps = { source, redactor, clock: systemClock, random: () => 0.01, log, onListening: resolve };
    done = createLocalApi({ socketPath: path }, deps).run(stop.signal);
  });
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-api-"));
  socketPath = join(directory, "agent.sock");
  source = createMemorySource();
  redactor = createRedactor();
  log = createMemoryLog();
  agent = createLocalAgent({ socketPath, timeoutMs: 5000 });
  stop = new AbortController();
  done = Promise.resolve();
});
afterEach(async () => {
  stop.abort();
  await done;
  await rm(directory, { recursive: true });
});

test("metrics are plain text, and pass the redactor like everything else", async () => {
  redactor.addSecret("canary-key-1234");
  source.metrics = async () => 'sluice_info{box="canary-key-1234"} 1\n';
  await start();
  expect(await raw("GET", "/v1/metrics")).toEqual({ status: 200, body: 'sluice_info{box="***"} 1\n' });
});

function raw(method: string, path: string, headers: Record<string, string> = {}) {
  return new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
    const request = httpRequest({ socketPath, method, path, headers }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ status: response.statusCode, body }));
    });
    request.on("error", reject);
    request.end();
  });
}

test("answers status, explain, reconcile and cleanup over a socket that only its owner can use", async () => {
  await start();
  expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
  expect(await agent.status(never)).toEqual(source.current);
  expect((await agent.explain("cam-1", never)).because).toHaveLength(2);
  expect(await agent.explain("gone.cam", never)).toMatchObject({ id: "gone.cam" });
  expect(await agent.reconcile(never)).toEqual({ kept: 2, started: 1, stopped: 0 });
  expect(await agent.cleanup({ dryRun: true, scope: "strays" }, never)).toEqual({ processes: [] });
});

test("a socket left by a dead agent is replaced", async () => {
  const dead = createServer();
  await new Promise<void>((resolve) => dead.listen(socketPath, resolve));
  await rename(socketPath, `${socketPath}.kept`);
  await new Promise((resolve) => dead.close(resolve));
  await rename(`${socketPath}.kept`, socketPath);
  await expect(agent.status(never)).rejects.toMatchObject({ code: "unavailable" });
  await start();
  expect((await agent.status(never)).boxId).toBe("north-1");
});

test("a socket that another agent answers on is left alone, and taken when that one ends", async () => {
  const other = createServer((socket) => socket.on("error", () => undefined));
  await new Promise<void>((resolve) => other.listen(socketPath, resolve));
  const started = start();
  while (log.lines.length === 0) await systemClock.delay(10);
  expect(log.lines).toEqual([`[WARN] The local API cannot listen on ${socketPath}: another agent answers on it`]);
  await new Promise((resolve) => other.close(resolve));
  await started;
  expect((await agent.status(never)).boxId).toBe("north-1");
});

test("a directory whose path is longer than a socket address works", async () => {
  const deep = join(directory, "d".repeat(80), "e".repeat(80));
  await mkdir(deep, { recursive: true });
  const path = join(deep, "agent.sock");
  await start(path);
  expect((await createLocalAgent({ socketPath: path }).status(never)).boxId).toBe("north-1");
});

test("secrets that the redactor knows never leave, in answers, errors or logs", async () => {
  redactor.addSecret("canary-key/1");
  source.current = {
    ...source.current,
    workloads: [sampleWorkload({ cause: "refused canary-key/1 and canary-key%2F1" })],
  };
  source.reconcile = () => Promise.reject(new Error("failed with canary-key/1"));
  const path = join(directory, "cam.log");
  await writeFile(path, "publishing canary-key/1\n");
  source.logFiles.set("cam-1", path);
  await start();
  const answers = [
    await raw("GET", "/v1/status"),
    await raw("POST", "/v1/reconcile"),
    await raw("GET", "/v1/logs/cam-1"),
  ];
  expect(answers.map(({ status }) => status)).toEqual([200, 500, 200]);
  for (const { body } of answers) {
    expect(body).toContain("***");
    expect(body).not.toContain("canary");
  }
});

test.each([
  ["GET", "/v1/nothing", 404, "not-found"],
  ["GET", "/v2/status", 404, "not-found"],
  ["DELETE", "/v1/status", 404, "not-found"],
  ["GET", "/v1/status/x", 404, "not-found"],
  ["GET", "/v1/explain/-rf", 400, "invalid"],
  ["GET", "/v1/logs/..%2F..%2Fetc%2Fpasswd", 400, "invalid"],
  ["GET", "/v1/logs/%ff", 400, "invalid"],
  ["GET", "/v1/logs/cam-9", 404, "not-found"],
  ["GET", "/v1/logs/cam-9?lines=-1", 400, "invalid"],
  ["GET", "/v1/logs/cam-9?follow=yes", 400, "invalid"],
  ["POST", "/v1/cleanup?dryRun=maybe", 400, "invalid"],
])("%s %s answers %i with %s", async (method, path, status, code) => {
  await start();
  const answer = await raw(method, path);
  expect(answer.status).toBe(status);
  expect(JSON.parse(answer.body)).toMatchObject({ error: { code } });
  expect(source.reconciles).toBe(0);
});

test("a body is refused by its size before it is read", async () => {
  await start();
  const answer = await raw("POST", "/v1/reconcile", { "content-length": "10000000" });
  expect(answer.status).toBe(413);
  expect(source.reconciles).toBe(0);
});

test("garbage on the socket costs its sender the connection and nobody else anything", async () => {
  await start();
  const socket = connect(socketPath);
  socket.on("error", () => undefined);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.resume();
  socket.write("\u0000\u0001 not http\r\n\r\n");
  await closed;
  expect((await agent.status(never)).boxId).toBe("north-1");
});

test("a log is followed across rotation, and ends for the reader when the agent stops", async () => {
  const path = join(directory, "cam.log");
  await writeFile(path, "one\n");
  source.logFiles.set("cam-1", path);
  await start();
  let text = "";
  const reading = (async () => {
    for await (const piece of agent.logs("cam-1", { lines: 10, follow: true }, never)) text += piece;
  })();
  const until = async (expected: string) => {
    for (let turn = 0; turn < 3000 && text !== expected; turn++) await systemClock.delay(10);
    expect(text).toBe(expected);
  };
  await until("one\n");
  await appendFile(path, "two\n");
  await rename(path, `${path}.1`);
  await writeFile(path, "three\n");
  await until("one\ntwo\nthree\n");
  stop.abort();
  await reading;
});

test("a reader that goes away leaves no descriptor behind", async () => {
  const path = join(directory, "cam.log");
  await writeFile(path, "one\n");
  source.logFiles.set("cam-1", path);
  await start();
  const openCount = async () => {
    const names = await readdir("/proc/self/fd");
    const links = await Promise.all(names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => "")));
    return links.filter((link) => link === path).length;
  };
  const leave = new AbortController();
  for await (const piece of agent.logs("cam-1", { lines: 1, follow: true }, leave.signal)) {
    expect(piece).toBe("one\n");
    expect(await openCount()).toBe(1);
    leave.abort();
  }
  for (let turn = 0; turn < 2000 && (await openCount()) > 0; turn++) await systemClock.delay(10);
  expect(await openCount()).toBe(0);
});

test("a reader that does not read holds back the file, not the memory", async () => {
  const path = join(directory, "cam.log");
  await writeFile(path, "x".repeat(99).concat("\n").repeat(100_000));
  source.logFiles.set("cam-1", path);
  await start();
  const before = process.memoryUsage().rss;
  const socket = connect(socketPath);
  socket.on("error", () => undefined);
  socket.pause();
  socket.write("GET /v1/logs/cam-1?lines=100000 HTTP/1.1\r\nhost: a\r\n\r\n");
  await systemClock.delay(300);
  expect(process.memoryUsage().rss - before).toBeLessThan(40 * 1024 * 1024);
  socket.destroy();
});

test("says what to do when no agent runs", async () => {
  await expect(agent.status(never)).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("no agent answers at"),
  });
});

test.skipIf(process.getuid?.() === 0)("says what to do when the agent is another user's", async () => {
  await start();
  await chmod(socketPath, 0);
  await expect(agent.status(never)).rejects.toMatchObject({ code: "unauthorized" });
});

test("an answer of another version is said to be one", async () => {
  await start();
  source.status = () => ({ ...createMemorySource().current, version: JSON.parse("2") });
  await expect(agent.status(never)).rejects.toMatchObject({ code: "version" });
});

test("an agent that does not answer is a timeout", async () => {
  source.reconcile = () => new Promise(() => undefined);
  await start();
  const impatient = createLocalAgent({ socketPath, timeoutMs: 100 });
  await expect(impatient.reconcile(never)).rejects.toMatchObject({ code: "timeout" });
});
