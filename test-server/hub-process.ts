import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";

const MAIN = resolve(import.meta.dirname, "../src/main.ts");
const START_MS = 30_000;
const STOP_MS = 15_000;
const POLL_MS = 50;
const KEEP_OUTPUT_CHARACTERS = 256 * 1024;

export interface HubProcessOptions {
  /** Kept at the end; a fresh directory that is removed at the end unless given. */
  readonly dataDir?: string;
  /** 0, or left out: a free one. */
  readonly port?: number;
  /** What enrolment tokens name as the hub's address; the hub's own unless given. */
  readonly publicUrl?: string;
}

/** `sluice hub` as a real process over plain HTTP on loopback, with its store in one file. */
export interface HubProcess extends AsyncDisposable {
  readonly origin: string;
  readonly pid: number;
  /** Printed at the first start of the store. */
  readonly adminToken: string;
  output(): string;
  /** Calls the API as the admin. Gives the answer; rejects with what the hub said when it refused. */
  call(method: string, path: string, body?: unknown): Promise<unknown>;
}

/** Resolves when the hub answers. Rejects with its output when it ends before that. */
export async function startHubProcess(options: HubProcessOptions = {}): Promise<HubProcess> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), "sluice-hub-")));
  const flags = ["--server-listen", `127.0.0.1:${options.port ?? 0}`, "--tls-mode", "off", "--data-dir", dataDir];
  const publicUrl = options.publicUrl === undefined ? [] : ["--server-public-url", options.publicUrl];
  const child = spawn(process.execPath, ["--no-warnings", MAIN, "hub", ...flags, ...publicUrl], {
    env: { PATH: process.env["PATH"], HOME: dataDir, TZ: process.env["TZ"], SLUICE_HUB_CONFIG: "/dev/null" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      output = (output + text).slice(-KEEP_OUTPUT_CHARACTERS);
    });
  }
  let isOver = false;
  const exited = new Promise<void>((done) => {
    child.once("exit", () => {
      isOver = true;
      done();
    });
  });
  const dispose = async () => {
    if (!isOver) child.kill("SIGTERM");
    const limit = new AbortController();
    const kill = systemClock.delay(STOP_MS, limit.signal).then(
      () => child.kill("SIGKILL"),
      () => undefined,
    );
    await exited;
    limit.abort();
    await kill;
    if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const { origin, adminToken } = await untilStarted(() => {
      if (isOver) throw new AppError("unavailable", `the hub ended while it started:\n${output}`);
      return output;
    });
    return {
      origin,
      adminToken,
      pid: child.pid ?? -1,
      output: () => output,
      call: (method, path, body) => callHub({ origin, token: adminToken }, { method, path, body }),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

async function untilStarted(read: () => string): Promise<{ readonly origin: string; readonly adminToken: string }> {
  const endMs = systemClock.monotonicMs() + START_MS;
  for (;;) {
    const text = read();
    const origin = /The hub serves (http:\/\/\S+)/.exec(text)?.[1];
    const adminToken = /keep it safe:\s+(\S+)/.exec(text)?.[1];
    if (origin !== undefined && adminToken !== undefined) return { origin, adminToken };
    if (systemClock.monotonicMs() > endMs) throw new AppError("timeout", `the hub did not start; it said:\n${text}`);
    await systemClock.delay(POLL_MS);
  }
}

async function callHub(
  hub: { readonly origin: string; readonly token: string },
  request: { readonly method: string; readonly path: string; readonly body: unknown },
): Promise<unknown> {
  const { method, path, body } = request;
  const answer = await fetch(`${hub.origin}${path}`, {
    method,
    headers: {
      accept: "application/json",
      authorization: `Bearer ${hub.token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new AppError("unavailable", `${method} ${path}: ${answer.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}
