import { closeSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../base/clock.ts";
import { AppError } from "../../../base/errors.ts";
import { createSpawner, type DetachedChild } from "../../../base/spawn.ts";
import type { StreamPolicy } from "../../../config/agent-options.ts";
import { streamSpecSchema } from "../../../contract/stream-spec.ts";
import type { StreamWorkload } from "../../../contract/workload.ts";
import type { WorkloadFiles } from "../../runtime/process/process-runtime.ts";
import { systemStreamDisk } from "./stream-disk.ts";
import { createStreamDriver } from "./stream-driver.ts";

export const OPEN_POLICY: StreamPolicy = {
  inputs: ["rtsp", "rtsps", "rtmp", "rtmps", "srt", "http", "https", "udp", "rtp", "file", "test"],
  outputs: ["rtmp", "rtmps", "srt", "rtsp", "hls", "udp", "file"],
  hosts: [],
  fileRoots: [],
  exclusiveInputs: [],
  rawArguments: false,
};

export const SMALL_TEST = "test://bars?size=160x90&fps=10";

export function streamWorkload(spec: unknown, id = "cam-1"): StreamWorkload {
  return { kind: "stream", id, spec: streamSpecSchema.parse(spec) };
}

/** Real FFmpegs on real files, all gone at the end. */
export function createStreamWorld() {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "sluice-stream-")));
  const spawner = createSpawner({ ambient: process.env }, { clock: systemClock });
  const children: DetachedChild[] = [];
  const driver = createStreamDriver(
    {
      streams: { ffmpegPath: "ffmpeg", ffprobePath: "ffprobe", startDeadlineMs: 20_000, update: "auto" },
      policy: { ...OPEN_POLICY, fileRoots: [directory] },
    },
    { runProgram: spawner.runProgram, disk: systemStreamDisk },
  );
  let count = 0;

  const spawn = async (file: string, args: readonly string[]) => {
    const name = join(directory, `.run-${count++}`);
    const stdoutFd = openSync(`${name}.progress`, "a", 0o600);
    const stderrFd = openSync(`${name}.stderr`, "a", 0o600);
    const child = await spawner.spawnDetached({ file, args, env: {}, stdoutFd, stderrFd });
    closeSync(stdoutFd);
    closeSync(stderrFd);
    children.push(child);
    return {
      ...child,
      progressPath: `${name}.progress`,
      stderr: () => readFileSync(`${name}.stderr`, "utf8").split("\n").filter(Boolean),
      signal: (signal: NodeJS.Signals) => process.kill(child.pid, signal),
    };
  };

  const files: WorkloadFiles = {
    directory,
    progressPath: join(directory, ".progress"),
    rawOutputPath: join(directory, ".raw"),
    logPath: join(directory, ".log"),
    previewPath: join(directory, "preview.jpg"),
  };

  return {
    directory,
    driver,
    runProgram: spawner.runProgram,
    spawn,
    files,
    ffmpeg: (...args: string[]) => spawn("ffmpeg", ["-nostdin", "-hide_banner", "-loglevel", "level+warning", ...args]),
    /** Prepares and launches as the engine does. */
    start: async (spec: unknown) => {
      const workload = streamWorkload(spec);
      const launch = await driver.prepare(workload, files, AbortSignal.timeout(15_000));
      if ("engine" in launch) throw new AppError("internal", "a stream is a process");
      const child = await spawn(launch.file, launch.args);
      return { ...child, probe: driver.openProbe({ ...files, progressPath: child.progressPath }), workload };
    },
    /** Codec of every track of what can be read at `url`. */
    tracks: async (url: string, ...options: string[]) => {
      const args = ["-v", "error", ...options, "-show_entries", "stream=codec_name", "-of", "csv=p=0", url];
      const result = await spawner.runProgram("ffprobe", args, { timeoutMs: 10_000, maxOutputBytes: 10_000 });
      return [...new Set(result.stdout.split(/\s+/).filter(Boolean))].sort();
    },
    close: async () => {
      for (const child of children) {
        try {
          process.kill(child.pid, "SIGKILL");
        } catch {
          // Gone already.
        }
      }
      await Promise.all(children.map((child) => child.exited));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Waits until `check` gives a value, for at most `limitMs`. */
export async function eventually<Value>(check: () => Value | undefined | false, limitMs = 12_000): Promise<Value> {
  const until = systemClock.monotonicMs() + limitMs;
  for (;;) {
    const value = check();
    if (value !== undefined && value !== false) return value;
    if (systemClock.monotonicMs() > until) throw new RangeError(`not within ${limitMs} ms: ${check.toString()}`);
    await systemClock.delay(50);
  }
}
