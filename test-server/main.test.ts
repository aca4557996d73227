import { type ChildProcess, spawn } from "node:child_process";
import { resolve } from "node:path";
import { afterEach, expect, test } from "vitest";
import { createTestServer } from "./server.ts";

const children = new Set<ChildProcess>();
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
});

function run(...args: readonly string[]) {
  const child = spawn(resolve(import.meta.dirname, "../scripts/test-server"), args);
  children.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece: Buffer) => (output += piece));
  const exited = new Promise<number | null>((done) => child.once("exit", done));
  return { child, exited, output: () => output };
}

test("--help says what each option does, and nothing starts", async () => {
  const { exited, output } = run("--help");
  expect(await exited).toBe(0);
  for (const option of ["--port", "--rtmp-port", "--strict-ports", "--listen-anywhere", "--beat"]) {
    expect(output()).toContain(option);
  }
});

test.each([
  [["--bogus"], "--bogus", 64],
  [["--port", "http"], '--port: "http" given', 64],
  [["--port", "0", "--no-rtmp", "--beat", "0"], "beatMs: 0 given", 64],
  [["--port", "0", "--host", "0.0.0.0"], "--listen-anywhere", 77],
])("%j ends with one clear message", async (args, message, code) => {
  const { exited, output } = run(...args);
  expect(await exited).toBe(code);
  expect(output()).toContain(message);
});

test("it prints what it chose where a port is taken, and ends cleanly on SIGTERM", async () => {
  await using other = await createTestServer({ port: 0, rtmpPort: undefined });
  const { child, exited, output } = run("--port", String(other.port), "--rtmp-port", "0");
  await expect.poll(output, { timeout: 15_000 }).toContain("RTMP ");
  expect(output()).toContain(`Port ${other.port} is taken, using `);
  const origin = /Page +(http:\S+)\//.exec(output())?.[1];
  expect((await fetch(`${origin}/streams`)).status).toBe(200);
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
});

test("with --strict-ports a taken port is an error that names it", async () => {
  await using other = await createTestServer({ port: 0, rtmpPort: undefined });
  const { exited, output } = run("--port", String(other.port), "--no-rtmp", "--strict-ports");
  expect(await exited).toBe(69);
  expect(output()).toContain(`--port: port ${other.port} is taken by another program`);
});
