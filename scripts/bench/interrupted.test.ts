import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { siteLinkProblem } from "./remote/site-link.ts";

const PROGRAM = resolve(import.meta.dirname, "main.ts");
const LIMIT_MS = 120_000;
const isCompiled = existsSync(resolve(import.meta.dirname, "../../build/sluice"));
const because = (why: string | undefined) => (why === undefined ? "" : ` (skipped: ${why})`);
const unbuilt = isCompiled ? undefined : "nothing is compiled";
const linkProblem = unbuilt ?? siteLinkProblem();

/** Ends a measurement once it says so; what it has left when it is gone. */
async function interrupt(args: readonly string[], says: RegExp, signal: NodeJS.Signals) {
  // Each process that it begins, and each that one of those begins, has this directory in its environment.
  const directory = mkdtempSync(join(tmpdir(), "sluice-interrupted-"));
  try {
    const env = { ...process.env, TMPDIR: directory };
    const child = spawn(process.execPath, ["--no-warnings", PROGRAM, ...args], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const exited = once(child, "exit");
    const said = Promise.withResolvers<void>();
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (says.test(output)) said.resolve();
      });
    }
    await Promise.race([said.promise, exited]);
    const [begun, namespaces] = [processesOf(directory), namespacesOf(child.pid)];
    child.kill(signal);
    const [code] = await exited;
    return {
      begun: { processes: begun.length, namespaces: namespaces.length },
      ended: { code, output },
      left: { processes: processesOf(directory), namespaces: namespacesOf(child.pid), files: readdirSync(directory) },
    };
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

function processesOf(directory: string): readonly string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => textOf(`/proc/${pid}/environ`).includes(directory))
    .map((pid) => textOf(`/proc/${pid}/cmdline`).replaceAll("\0", " "));
}

function namespacesOf(pid: number | undefined): readonly string[] {
  if (linkProblem !== undefined) return [];
  const names = execFileSync("ip", ["netns", "list"], { encoding: "utf8" }).split("\n");
  return names.filter((name) => name.startsWith(`sluice-bench-${pid}-`));
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

const nothing = { processes: [], namespaces: [], files: [] };

test.skipIf(linkProblem !== undefined).each(["SIGINT", "SIGTERM"] as const)(
  `a measurement over a link that %s ends leaves no process, no namespace and no file${because(linkProblem)}`,
  { timeout: LIMIT_MS },
  async (signal) => {
    const args = ["remote-links", "--only", "20 Mbit/s, box"];
    const { begun, ended, left } = await interrupt(args, /round 1 of/, signal);
    expect(begun.processes).toBeGreaterThan(5);
    expect(begun.namespaces).toBe(2);
    expect({ code: ended.code, left }, ended.output).toEqual({ code: 130, left: nothing });
  },
);

test.skipIf(unbuilt !== undefined)(
  `a measurement that is ended while it begins leaves no process and no file${because(unbuilt)}`,
  { timeout: LIMIT_MS },
  async () => {
    const { begun, ended, left } = await interrupt(["remote-exec"], /starting hub, router and agent/, "SIGTERM");
    expect(begun.processes).toBeGreaterThan(0);
    expect({ code: ended.code, left }, ended.output).toEqual({ code: 130, left: nothing });
  },
);
