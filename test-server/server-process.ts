import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import type { Workload } from "../src/contract/workload.ts";

const START_MS = 30_000;
const POLL_MS = 20;

/** The test server as a process of its own, without RTMP: it can be frozen and killed. */
export interface ServerProcess extends AsyncDisposable {
  readonly origin: string;
  /** Adds or changes what is expected; resolves when the server has taken it. */
  putStreams(...workloads: readonly Workload[]): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

/** Resolves when it answers. Rejects with its output when it ends before that. */
export async function startServerProcess(): Promise<ServerProcess> {
  const args = ["--no-warnings", resolve(import.meta.dirname, "main.ts"), "--port", "0", "--no-rtmp"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const exited = once(child, "exit");
  let isOver = false;
  void exited.then(() => {
    isOver = true;
  });
  const dispose = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  const endMs = systemClock.monotonicMs() + START_MS;
  let origin: string | undefined;
  while (origin === undefined) {
    if (isOver || systemClock.monotonicMs() > endMs) {
      await dispose();
      throw new AppError("unavailable", `the test server did not start; it said:\n${output}`);
    }
    await systemClock.delay(POLL_MS);
    origin = /Page +(http:\S+)\//.exec(output)?.[1];
  }
  const url = `${origin}/streams`;
  return {
    origin,
    putStreams: async (...workloads) => {
      for (const workload of workloads) {
        const headers = { "content-type": "application/json" };
        const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(workload) });
        if (!answer.ok) throw new AppError("unavailable", `POST ${url}: ${answer.status} ${await answer.text()}`);
      }
    },
    signal: (name) => void child.kill(name),
    [Symbol.asyncDispose]: dispose,
  };
}
