import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { z } from "zod";
import { systemClock } from "../../src/base/clock.ts";
import { AppError } from "../../src/base/errors.ts";
import type { Workload } from "../../src/contract/workload.ts";
import type { FaultName, FaultValues } from "../faults/fault-catalog.ts";

const MAIN = resolve(import.meta.dirname, "../main.ts");
const START_MS = 30_000;
const ANSWER_MS = 10_000;

const publisherSchema = z.object({
  key: z.string(),
  publishing: z.boolean(),
  connects: z.number(),
  rivals: z.number(),
  mediaBytes: z.number(),
});
export type SeenPublisher = z.output<typeof publisherSchema>;

/** The test server (SSE, reports and RTMP) as a process of its own, so that it can be killed and frozen for real. */
export interface ServerProcess extends AsyncDisposable {
  /** On the same ports as before, with an empty set. Resolves when it listens. */
  start(): Promise<void>;
  signal(name: NodeJS.Signals): void;
  /** SIGKILL, to its end. */
  kill(): Promise<void>;
  readonly origin: () => string;
  /** `rtmp://127.0.0.1:1935/live` */
  readonly rtmpUrl: () => string;
  ids(): Promise<readonly string[]>;
  put(workload: Workload): Promise<void>;
  remove(id: string): Promise<void>;
  replace(workloads: readonly Workload[]): Promise<void>;
  fault(name: FaultName, args: FaultValues): Promise<void>;
  sendRaw(raw: string): Promise<void>;
  publishers(): Promise<readonly SeenPublisher[]>;
  /** All that agents have told it, as text. */
  reports(): Promise<string>;
}

export interface ServerPlace {
  readonly host: string;
  /** Network namespace to run in. */
  readonly namespace: string | undefined;
  readonly home: string;
}

export function createServerProcess(place: ServerPlace): ServerProcess {
  let child: ChildProcess | undefined;
  let origin = "";
  let rtmpUrl = "";

  const ask = async (path: string, method = "GET", body?: unknown): Promise<string> => {
    const response = await fetch(`${origin}${path}`, {
      method,
      signal: AbortSignal.timeout(ANSWER_MS),
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new AppError("unavailable", `${method} ${path}: ${response.status} ${text}`);
    return text;
  };

  const start = async () => {
    const ports = portsOf({ origin, rtmpUrl });
    const command = [process.execPath, "--no-warnings", MAIN, "--host", place.host, "--beat", "1", ...ports];
    if (place.host !== "127.0.0.1") command.push("--listen-anywhere");
    const [file = "", ...args] =
      place.namespace === undefined ? command : ["ip", "netns", "exec", place.namespace, ...command];
    const started = spawn(file, args, {
      detached: true,
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: process.env["PATH"], HOME: place.home },
    });
    child = started;
    let text = "";
    started.stdout.setEncoding("utf8").on("data", (piece: string) => {
      text = (text + piece).slice(-10_000);
    });
    const endMs = systemClock.monotonicMs() + START_MS;
    for (;;) {
      const found = /^Page {4}(\S+)\/\n.*^RTMP {4}(\S+)\/<key>\n/ms.exec(text);
      if (found !== null) {
        [, origin = "", rtmpUrl = ""] = found;
        return;
      }
      if (started.exitCode !== null || systemClock.monotonicMs() > endMs) {
        throw new AppError("unavailable", `the test server did not start (exit ${started.exitCode}): ${text}`);
      }
      await systemClock.delay(20);
    }
  };

  const kill = async () => {
    if (child === undefined) return;
    const over = child.exitCode !== null || child.signalCode !== null ? undefined : once(child, "exit");
    child.kill("SIGKILL");
    await over;
    child = undefined;
  };

  return {
    start,
    kill,
    signal: (name) => void child?.kill(name),
    origin: () => origin,
    rtmpUrl: () => rtmpUrl,
    ids: async () => {
      const { workloads } = z
        .object({ workloads: z.array(z.object({ id: z.string() })) })
        .parse(JSON.parse(await ask("/streams")));
      return workloads.map(({ id }) => id);
    },
    put: async (workload) => void (await ask("/streams", "POST", workload)),
    remove: async (id) => void (await ask(`/streams/${id}`, "DELETE")),
    replace: async (workloads) => void (await ask("/streams", "PUT", { workloads })),
    fault: async (name, args) => void (await ask(`/faults/${name}`, "POST", args)),
    sendRaw: async (raw) => void (await ask("/send-event", "POST", { raw })),
    publishers: async () =>
      z.object({ publishers: z.array(publisherSchema) }).parse(JSON.parse(await ask("/publishers"))).publishers,
    reports: () => ask("/reports"),
    [Symbol.asyncDispose]: kill,
  };
}

/** Any free ports for the first, and for the next ones those of the first. */
function portsOf({ origin, rtmpUrl }: { readonly origin: string; readonly rtmpUrl: string }): readonly string[] {
  if (origin === "") return ["--port", "0", "--rtmp-port", "0"];
  const rtmpPort = new URL(rtmpUrl.replace(/^rtmp:/, "http:")).port;
  return ["--port", new URL(origin).port, "--rtmp-port", rtmpPort, "--strict-ports"];
}
