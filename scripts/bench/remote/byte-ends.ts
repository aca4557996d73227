import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { AppError } from "../../../src/base/errors.ts";
import type { Drive, DriveAnswer, Place } from "./byte-program.ts";
import { type Site, wordsInside } from "./site-link.ts";

const PROGRAM = resolve(import.meta.dirname, "byte-program.ts");

/** Who sends and receives for measurements, at one place of the network. */
export interface ByteDriver extends AsyncDisposable {
  readonly pid: number;
  drive(request: Drive): Promise<readonly number[]>;
}

/** Who answers it, at another. */
export interface ByteServer extends AsyncDisposable {
  readonly pid: number;
  readonly place: Place;
}

function start(site: Site, args: readonly string[]) {
  const words = [...wordsInside(site), process.execPath, "--no-warnings", PROGRAM, ...args];
  const child = spawn(words[0] ?? "", words.slice(1), { stdio: ["pipe", "pipe", "inherit"], detached: true });
  child.stdin.on("error", () => undefined);
  const lines = createInterface({ input: child.stdout });
  return { child, lines, close: () => close(child, lines) };
}

async function close(child: ChildProcessByStdio<Writable, Readable, null>, lines: Interface): Promise<void> {
  lines.close();
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

export async function startByteServer(site: Site): Promise<ByteServer> {
  const { child, lines, close: end } = start(site, ["serve", site.address]);
  const said = await Promise.race([once(lines, "line"), once(child, "exit")]);
  if (typeof said[0] !== "string") throw new AppError("unavailable", "the target of the measurements did not begin");
  const { port } = JSON.parse(said[0]);
  return { pid: child.pid ?? -1, place: { host: site.address, port }, [Symbol.asyncDispose]: end };
}

/** What is under way is given up when the signal comes. */
export function startByteDriver(site: Site, signal: AbortSignal): ByteDriver {
  const { child, lines, close: end } = start(site, ["drive"]);
  const waiting = new Map<number, (answer: DriveAnswer) => void>();
  let last = 0;
  lines.on("line", (line) => {
    const { id, ...answer } = JSON.parse(line);
    waiting.get(id)?.(answer);
    waiting.delete(id);
  });
  const giveUp = (error: string) => {
    for (const answer of waiting.values()) answer({ error });
  };
  const onAbort = () => giveUp("the measurement was given up");
  child.once("exit", () => giveUp("the driver of the measurements has ended"));
  signal.addEventListener("abort", onAbort, { once: true });
  return {
    pid: child.pid ?? -1,
    drive: async (request) => {
      signal.throwIfAborted();
      const id = ++last;
      const answered = new Promise<DriveAnswer>((done) => waiting.set(id, done));
      child.stdin.write(`${JSON.stringify({ id, request })}\n`);
      const { values, error } = await answered;
      if (values === undefined) {
        signal.throwIfAborted();
        throw new AppError("unavailable", `${request.what} at port ${request.at.port}: ${error}`);
      }
      return values;
    },
    [Symbol.asyncDispose]: () => {
      signal.removeEventListener("abort", onAbort);
      return end();
    },
  };
}
