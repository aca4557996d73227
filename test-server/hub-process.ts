import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import { createHttpFetch, type HttpFetch } from "../src/base/http-fetch.ts";
import { MAIN_PROGRAM } from "./main-program.ts";

const BUILT = resolve(import.meta.dirname, "../build/main.js");
const START_MS = 30_000;
const STOP_MS = 15_000;
const ANSWER_MS = 60_000;
const POLL_MS = 50;
const KEEP_OUTPUT_CHARACTERS = 256 * 1024;

export interface HubProcessOptions {
  /** Kept at the end; a fresh directory that is removed at the end unless given. */
  readonly dataDir?: string;
  /** Address to listen on; 127.0.0.1 unless given. */
  readonly host?: string;
  /** With a certificate by an authority that it makes itself. */
  readonly hasTls?: boolean;
  /** 0, or left out: a free one. */
  readonly port?: number;
  /** What enrolment tokens name as the hub's address; the hub's own unless given. */
  readonly publicUrl?: string;
  /** `redis://…`; a file in the data directory unless given. */
  readonly storeUrl?: string;
  /** Of a store that was started before: the hub does not print it again. */
  readonly adminToken?: string;
  /** Further flags. */
  readonly flags?: readonly string[];
  /** Of Node. */
  readonly runtimeFlags?: readonly string[];
  /** Runs what `scripts/build.ts` made of the sources, and not the sources. */
  readonly isBuilt?: boolean;
}

/** `sluice hub` as a real process on loopback, over plain HTTP unless asked for TLS. */
export interface HubProcess extends AsyncDisposable {
  readonly origin: string;
  readonly port: number;
  readonly pid: number;
  readonly adminToken: string;
  /** File with the authority of its certificate. */
  readonly caFile: string | undefined;
  signal(name: NodeJS.Signals): void;
  /** SIGKILL, to its end. */
  kill(): Promise<void>;
  output(): string;
  /** Calls the API as the admin. Gives the answer; rejects with what the hub said when it refused. */
  call(method: string, path: string, body?: unknown): Promise<unknown>;
  /** What it tells of itself to Prometheus. */
  metrics(): Promise<string>;
}

/** Resolves when the hub answers. Rejects with its output when it ends before that. */
export async function startHubProcess(options: HubProcessOptions = {}): Promise<HubProcess> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), "sluice-hub-")));
  const { publicUrl, storeUrl, hasTls = false, isBuilt = false } = options;
  const flags = [
    ...[
      "--server-listen",
      `${options.host ?? "127.0.0.1"}:${options.port ?? 0}`,
      ...(hasTls ? [] : ["--tls-mode", "off"]),
      "--data-dir",
      dataDir,
    ],
    ...(publicUrl === undefined ? [] : ["--server-public-url", publicUrl]),
    ...(storeUrl === undefined ? [] : ["--store-url", storeUrl]),
    ...(options.flags ?? []),
  ];
  const main = isBuilt ? BUILT : MAIN_PROGRAM;
  const child = spawn(process.execPath, ["--no-warnings", ...(options.runtimeFlags ?? []), main, "hub", ...flags], {
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
    if (!isOver) {
      child.kill("SIGCONT");
      child.kill("SIGTERM");
    }
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
    const { origin, adminToken } = await untilStarted(options.adminToken, () => {
      if (isOver) throw new AppError("unavailable", `the hub ended while it started:\n${output}`);
      return output;
    });
    const caFile = hasTls ? join(dataDir, "tls/ca.pem") : undefined;
    const fetch = createHttpFetch(caFile === undefined ? {} : { ca: await readFile(caFile, "utf8") });
    const ask = (request: Asked) => askHub(fetch, { origin, token: adminToken }, request);
    return {
      origin,
      port: Number(new URL(origin).port),
      adminToken,
      caFile,
      signal: (name) => void child.kill(name),
      kill: async () => {
        child.kill("SIGKILL");
        await exited;
      },
      pid: child.pid ?? -1,
      output: () => output,
      call: async (method, path, body) => {
        const text = await ask({ method, path, body });
        return text === "" ? undefined : JSON.parse(text);
      },
      metrics: () => ask({ method: "GET", path: "/metrics", body: undefined }),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

async function untilStarted(
  knownToken: string | undefined,
  read: () => string,
): Promise<{ readonly origin: string; readonly adminToken: string }> {
  const endMs = systemClock.monotonicMs() + START_MS;
  for (;;) {
    const text = read();
    const origin = /The hub serves (https?:\/\/\S+)/.exec(text)?.[1];
    const adminToken = knownToken ?? /keep it safe:\s+(\S+)/.exec(text)?.[1];
    if (origin !== undefined && adminToken !== undefined) return { origin, adminToken };
    if (systemClock.monotonicMs() > endMs) throw new AppError("timeout", `the hub did not start; it said:\n${text}`);
    await systemClock.delay(POLL_MS);
  }
}

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

async function askHub(
  fetch: HttpFetch,
  hub: { readonly origin: string; readonly token: string },
  { method, path, body }: Asked,
): Promise<string> {
  const answer = await fetch(new URL(path, hub.origin), {
    method: method as "GET",
    headers: {
      accept: "application/json",
      authorization: `Bearer ${hub.token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    redirect: "manual",
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  const text = await new Response(answer.body).text();
  if (!answer.ok) throw new AppError("unavailable", `${method} ${path}: ${answer.status} ${text}`);
  return text;
}
