import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { AppError } from "../src/base/errors.ts";
import type { NetworkNamespace } from "./network-namespace.ts";

export interface WireFacts {
  /** Each way. */
  readonly delayMs: number;
  readonly lossPerMille: number;
  readonly kilobytesPerSecond: number;
  /** What would wait longer at either end is dropped. */
  readonly queueMs: number;
}

const PROGRAM = resolve(import.meta.dirname, "programs/slow-wire.pl");

/** Why there can be none on this machine; undefined where there can. */
export function slowWireProblem(): string | undefined {
  if (!existsSync("/dev/net/tun")) return "no /dev/net/tun";
  return existsSync("/usr/bin/perl") ? undefined : "no perl";
}

/** From now on packets between this machine and the namespace go over a long, thin wire; with its end they go as before. Root only. */
export async function layWire(namespace: NetworkNamespace, wire: WireFacts): Promise<AsyncDisposable> {
  const { name, nearAddress, address } = namespace;
  const [near, far] = [`${name}n`, `${name}f`].map((device) => device.replace("sluice-", "slw"));
  if (near === undefined || far === undefined) throw new AppError("internal", "a wire has two ends");
  const numbers = [wire.delayMs, wire.lossPerMille, wire.kilobytesPerSecond, wire.queueMs].map(String);
  const child = spawn("/usr/bin/perl", [PROGRAM, near, far, ...numbers], { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  child.stderr.on("data", (bytes: Buffer) => {
    said += bytes.toString();
  });
  const exited = new Promise<void>((done) => {
    child.once("exit", () => done()).once("error", () => done());
  });
  const stop = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  const isReady = await Promise.race([
    new Promise<boolean>((done) => child.stdout.once("data", () => done(true))),
    exited.then(() => false),
  ]);
  if (!isReady) throw new AppError("unavailable", `the wire could not be laid: ${said}`);
  try {
    run("ip", "link", "set", far, "netns", name);
    run("ip", "link", "set", near, "up");
    run("ip", "-n", name, "link", "set", far, "up");
    // The devices and these ways go with the program.
    run("ip", "route", "add", `${address}/32`, "dev", near, "src", nearAddress);
    run("ip", "-n", name, "route", "add", `${nearAddress}/32`, "dev", far, "src", address);
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  return { [Symbol.asyncDispose]: stop };
}

function run(...words: string[]): void {
  execFileSync(words[0] ?? "", words.slice(1), { stdio: "pipe" });
}
