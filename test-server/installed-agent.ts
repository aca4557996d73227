import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError, messageOf } from "../src/base/errors.ts";
import { type AgentStatus, agentStatusSchema, type WorkloadStatus } from "../src/contract/local-status.ts";
import type { StreamWorkload } from "../src/contract/workload.ts";
import type { TestServer } from "./server.ts";
import type { SystemdBox } from "./systemd-box.ts";

const ROOT = resolve(import.meta.dirname, "..");
const POLL_MS = 100;

/** Builds the package for this machine into `directory`; gives its path. */
export async function buildPackage(directory: string): Promise<string> {
  const arch = process.arch === "arm64" ? "arm64" : "amd64";
  const args = ["--arch", arch, "--only", "deb", "--quick", "--version", "1.0.0", "--out", directory];
  await must(join(ROOT, "scripts/package"), args);
  return join(directory, `sluice_1.0.0_${arch}.deb`);
}

/** The same package under another version. */
export async function repackAs(version: string, deb: string): Promise<string> {
  const tree = `${deb}.tree`;
  const file = deb.replace("_1.0.0_", `_${version}_`);
  await must("dpkg-deb", ["--raw-extract", deb, tree]);
  for (const [name, pattern, text] of [
    ["DEBIAN/control", /^Version: .*$/m, `Version: ${version}`],
    ["usr/lib/sluice/package.json", /"version": "[^"]*"/, `"version": "${version}"`],
  ] as const) {
    writeFileSync(join(tree, name), readFileSync(join(tree, name), "utf8").replace(pattern, text));
  }
  await must("dpkg-deb", ["--root-owner-group", "-Znone", "--build", tree, file]);
  await must("rm", ["-r", tree]);
  return file;
}

/** The agent of an installed package, in its box. */
export interface InstalledAgent {
  /** `dpkg -i`; rejects with what dpkg said. */
  install(deb: string): Promise<void>;
  /** Writes `/etc/sluice/agent.yaml` so that the agent of the next start talks to the server. `more`: further lines. */
  configure(server: TestServer, more?: string): void;
  status(): Promise<AgentStatus>;
  workload(id: string): Promise<WorkloadStatus | undefined>;
  /** Resolves with the workload once it runs. */
  untilRunning(id: string): Promise<WorkloadStatus>;
  /** Polls; `timeout` says what was last seen and ends with the agent's journal. */
  until<Value>(probe: () => Promise<Value>, what: string, timeoutMs?: number): Promise<NonNullable<Value>>;
  /** A property of the unit, as `systemctl show` gives it. */
  property(name: string): Promise<string>;
}

export const BOX_ID = "box-under-test";

export function createInstalledAgent(box: SystemdBox): InstalledAgent {
  const until: InstalledAgent["until"] = async (probe, what, timeoutMs = 40_000) => {
    const endMs = systemClock.monotonicMs() + timeoutMs;
    let last: unknown;
    for (;;) {
      try {
        const value = await probe();
        if (value !== undefined && value !== null && value !== false) return value;
        last = value;
      } catch (thrown) {
        last = messageOf(thrown);
      }
      if (systemClock.monotonicMs() > endMs) break;
      await systemClock.delay(POLL_MS);
    }
    const journal = await box.run("journalctl", "-u", "sluice-agent", "-n", "30", "--no-pager", "-o", "short-precise");
    throw new AppError("timeout", `not within ${timeoutMs} ms: ${what}; last: ${String(last)}\n${journal.stdout}`);
  };
  const status = async () => {
    const socket = "/var/lib/sluice/agent.sock";
    const text = await box.ok("curl", "-sS", "--unix-socket", socket, "http://agent/v1/status");
    return agentStatusSchema.parse(JSON.parse(text));
  };
  const workload = async (id: string) => (await status()).workloads.find((candidate) => candidate.id === id);

  return {
    install: async (deb) => {
      const name = `/root/${deb.split("/").at(-1)}`;
      await must("cp", [deb, join(box.root, name)]);
      await box.ok("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confold", "--force-unsafe-io", "-i", name);
    },
    configure: (server, more = "") => {
      const file = join(box.root, "etc/sluice/agent.yaml");
      mkdirSync(dirname(file), { recursive: true });
      const endpoint = `${server.origin}/v1/boxes/${BOX_ID}/events`;
      writeFileSync(file, `box: {id: ${BOX_ID}}\nlink: {endpoint: "${endpoint}", retryDelaySeconds: 0.2}\n${more}`);
    },
    status,
    workload,
    until,
    untilRunning: (id) =>
      until(async () => {
        const found = await workload(id);
        return found?.state === "running" ? found : undefined;
      }, `${id} runs`),
    property: async (name) => (await box.ok("systemctl", "show", "-P", name, "sluice-agent")).trim(),
  };
}

/** A small test picture to the server's RTMP. */
export function smallStream(server: TestServer, id: string): StreamWorkload {
  const input = { url: "test://bars?size=160x120&fps=10" };
  return { kind: "stream", id, spec: { input, outputs: [{ url: `${server.rtmp?.url}/${id}` }] } };
}

function must(file: string, args: readonly string[]): Promise<void> {
  return new Promise((resolveRun, reject) => {
    const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"] });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolveRun();
      else reject(new AppError("internal", `${file} exited ${code}: ${stderr}`));
    });
  });
}
