import { mkdirSync, mkdtempSync, realpathSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { DEFAULT_PUMP_OPTIONS } from "../../src/agent/runtime/process/output-pump.ts";
import type { Clock } from "../../src/base/clock.ts";
import { AppError } from "../../src/base/errors.ts";
import { hashOfDirectory, runDirectoryCandidates } from "../../src/base/run-directory.ts";
import type { Workload } from "../../src/contract/workload.ts";
import { createTestServer } from "../server.ts";
import { createAgentProcess } from "./agent-process.ts";
import { filesBelow } from "./files-below.ts";
import { findOwnProcesses } from "./own-processes.ts";
import { resourcesOf } from "./resources.ts";
import { makeStandIn } from "./stand-in.ts";

const PRELOAD = resolve(import.meta.dirname, "../programs/no-chance.js");

export interface RestartSample {
  readonly restarts: number;
  readonly fds: number;
  readonly rssMB: number;
  /** State and run directory. */
  readonly diskKB: number;
}

export interface RestartSummary {
  readonly restarts: number;
  readonly streams: number;
  readonly seconds: number;
  /** A fifth of the way. */
  readonly warm: RestartSample;
  readonly last: RestartSample;
  readonly most: Omit<RestartSample, "restarts">;
  /** What grew beyond what is allowed. */
  readonly failures: readonly string[];
}

export interface RestartDeps {
  readonly clock: Clock;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

const STREAMS = 4;
const SAMPLES = 20;
const POLL_MS = 250;
/** Without a single restart: something is broken. */
const STILL_MS = 60_000;
/** Enough text that the logs reach their bounds on the way to ten thousand. */
const SHORT_LIFE = `for line in {1..40}; do echo "[warning] frame $line of the camera is late, late, late"; done >&2; exit 1`;
/** Of the agent; those of workloads have bounds of their own. */
const LOG = { maxFileBytes: 65_536, keepFiles: 2 };
/** A process that is being started or has just ended holds some for a moment. */
const FDS_ALLOWED = 20;
/** Half of what fills at all fills in the first thousands: V8 collects when it likes. */
const RSS_ALLOWED_MB = 25;
/** Documents, their generations, and what lies on tmpfs. */
const DISK_ALLOWED_KB = 2048;

/** Programs that end at once are started again and again, without a wait; descriptors, memory and disk must stay where they are. */
export async function restartManyTimes(count: number, deps: RestartDeps): Promise<RestartSummary> {
  const { clock, say, signal } = deps;
  const home = realpathSync(mkdtempSync(join(tmpdir(), "sluice-restarts-")));
  const stateDir = join(home, "state");
  mkdirSync(stateDir, { mode: 0o700 });
  const runDirectory =
    runDirectoryCandidates({ stateDir, userId: process.getuid?.() ?? 0 }, hashOfDirectory(stateDir))[0] ?? "";
  await using made = new AsyncDisposableStack();
  made.defer(() => rm(home, { recursive: true, force: true, maxRetries: 5 }));
  made.defer(() => rm(runDirectory, { recursive: true, force: true }));
  const processes = findOwnProcesses({ stateDir, home });
  made.defer(() => processes.sweep());
  const server = made.use(await createTestServer({ port: 0, rtmpPort: undefined }));
  const boxId = "restarts";
  const agent = createAgentProcess({
    stateDir,
    home,
    boxId,
    preload: { path: PRELOAD, environment: {} },
    environment: {
      SSE_ENDPOINT: `${server.origin}/v1/boxes/${boxId}/events`,
      SLUICE_REPORT_ENDPOINT: `${server.origin}/v1/boxes/${boxId}/report`,
      SLUICE_STREAMS_FFMPEG_PATH: makeStandIn(home, SHORT_LIFE),
      SLUICE_LOG_MAX_FILE_BYTES: String(LOG.maxFileBytes),
      SLUICE_LOG_KEEP_FILES: String(LOG.keepFiles),
    },
  });
  made.defer(() => agent.end("SIGKILL"));
  server.putStreams(...Array.from({ length: STREAMS }, (_, index) => stream(index)));
  agent.start();

  const startMs = clock.monotonicMs();
  const samples: RestartSample[] = [];
  let restarts = 0;
  let movedAtMs = startMs;
  while (restarts < count) {
    await clock.delay(POLL_MS, signal);
    const now = await agent.status().then(
      ({ workloads }) => workloads.reduce((sum, workload) => sum + workload.restarts, 0),
      () => restarts,
    );
    const pid = agent.pid();
    if (now > restarts) movedAtMs = clock.monotonicMs();
    if (clock.monotonicMs() - movedAtMs > STILL_MS) {
      throw new AppError("timeout", `no restart for ${STILL_MS / 1000} s; the agent said:\n${agent.output()}`);
    }
    restarts = now;
    if (pid === undefined || restarts <= (count * samples.length) / SAMPLES) continue;
    const diskKB = kilobytesBelow(stateDir) + kilobytesBelow(runDirectory);
    const { fds, rssMB } = resourcesOf(pid);
    samples.push({ restarts, fds, rssMB: Math.round(rssMB), diskKB });
    say(`${restarts} restarts: ${fds} fds, ${rssMB.toFixed(0)} MB, ${diskKB} KB on disk`);
  }
  const seconds = Math.round((clock.monotonicMs() - startMs) / 1000);
  return summarize(samples, { restarts, streams: STREAMS, seconds });
}

function summarize(
  samples: readonly RestartSample[],
  run: Pick<RestartSummary, "restarts" | "streams" | "seconds">,
): RestartSummary {
  const warm = samples[Math.floor(samples.length / 5)];
  const last = samples.at(-1);
  if (warm === undefined || last === undefined)
    throw new AppError("internal", "there were too few restarts to measure");
  const after = samples.slice(Math.floor(samples.length / 5));
  const most = (pick: (sample: RestartSample) => number) => Math.max(...after.map(pick));
  const all = { fds: most(({ fds }) => fds), rssMB: most(({ rssMB }) => rssMB), diskKB: most(({ diskKB }) => diskKB) };
  const { keepFiles, maxFileBytes } = DEFAULT_PUMP_OPTIONS;
  const logsKB = (LOG.keepFiles * LOG.maxFileBytes + run.streams * keepFiles * maxFileBytes) / 1024;
  const failures = [
    ...tooMuch("descriptors", all.fds, warm.fds + FDS_ALLOWED),
    ...tooMuch("MB of memory", all.rssMB, warm.rssMB + RSS_ALLOWED_MB),
    ...tooMuch("KB on disk", all.diskKB, logsKB + DISK_ALLOWED_KB),
  ];
  return { ...run, warm, last, most: all, failures };
}

function kilobytesBelow(directory: string): number {
  return Math.round(filesBelow(directory).reduce((sum, { bytes }) => sum + bytes, 0) / 1024);
}

function tooMuch(what: string, found: number, allowed: number): readonly string[] {
  return found <= allowed ? [] : [`${found} ${what}; allowed: ${allowed}`];
}

function stream(index: number): Workload {
  const outputs = [{ url: `udp://127.0.0.1:${9 + index}?pkt_size=1316` }];
  return { kind: "stream", id: `fast-${index}`, spec: { input: { url: "test://bars?tone=0" }, outputs } };
}
