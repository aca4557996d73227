import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkServerIdentity } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MAIN_PROGRAM } from "../../test-server/main-program.ts";
import { streamBody } from "./hub-world.fake.ts";

let directory = "";
const children = new Set<ChildProcess>();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-hub-process-"));
});
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
  rmSync(directory, { recursive: true, force: true });
});

interface RunningHub {
  readonly child: ChildProcess;
  readonly text: () => string;
  /** Resolves with the exit status. */
  readonly ended: Promise<number | null>;
}

function run(...flags: readonly string[]): RunningHub {
  const args = ["--no-warnings", MAIN_PROGRAM, "hub", "--data-dir", directory, "--config", "/dev/null", ...flags];
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"] },
  });
  children.add(child);
  let text = "";
  child.stdout.on("data", (piece: Buffer) => (text += piece.toString()));
  child.stderr.on("data", (piece: Buffer) => (text += piece.toString()));
  const ended = once(child, "close").then(([code]: (number | null)[]) => code ?? null);
  return { child, text: () => text, ended };
}

async function urlOf(hub: RunningHub): Promise<string> {
  await expect.poll(hub.text, { timeout: 30_000, interval: 20 }).toMatch(/Sluice hub: \S+/);
  return /Sluice hub: (\S+)/.exec(hub.text())?.[1] ?? "";
}

function tokenOf(hub: RunningHub): string {
  return /slo_\S+/.exec(hub.text())?.[0] ?? "";
}

const PLAIN = ["--server-listen", "127.0.0.1:0", "--tls-mode", "off"];

describe("sluice hub", () => {
  test("prints the admin token at the first start of its store and never again, and what to do with it", async () => {
    const first = run(...PLAIN);
    await urlOf(first);
    expect(first.text()).toMatch(/This admin token opens everything[\s\S]*slo_[\w-]{43}[\s\S]*What to do next/);
    first.child.kill("SIGTERM");
    expect(await first.ended).toBe(0);
    const second = run(...PLAIN);
    await urlOf(second);
    expect(second.text()).not.toContain("slo_");
    second.child.kill("SIGTERM");
    await second.ended;
    const third = run(...PLAIN, "--new-admin-token");
    const url = await urlOf(third);
    expect(tokenOf(third)).not.toBe(tokenOf(first));
    for (const hub of [first, third]) {
      const headers = { authorization: `Bearer ${tokenOf(hub)}` };
      expect((await fetch(`${url}/v1/whoami`, { headers })).status).toBe(200);
    }
    expect(statSync(join(directory, "hub.db")).mode & 0o077).toBe(0);
  });

  test("killed in the middle of changes loses nothing that it acknowledged over HTTP", async () => {
    let token = "";
    let acknowledged = 0;
    for (let round = 0; round < 4; round++) {
      const hub = run(...PLAIN);
      const url = await urlOf(hub);
      token ||= tokenOf(hub);
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const ask = (method: string, path: string, body?: unknown) =>
        fetch(`${url}${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
      if (round === 0) await enrolBox(ask);
      const set = await (await ask("GET", "/v1/boxes/b-1/workloads")).json();
      const held = (set as { revision: number }).revision;
      expect(held).toBeGreaterThanOrEqual(acknowledged);
      expect(held).toBeLessThanOrEqual(acknowledged + 1);
      acknowledged = held;
      setTimeout(() => hub.child.kill("SIGKILL"), 100 + Math.random() * 200);
      try {
        for (;;) {
          const workload = streamBody("cam", { input: { url: `rtsp://cam/${acknowledged}` } });
          const answer = await ask("PUT", "/v1/boxes/b-1/workloads/cam", { workload });
          acknowledged = ((await answer.json()) as { revision: number }).revision;
        }
      } catch {
        // It is dead.
      }
      await hub.ended;
    }
    expect(acknowledged).toBeGreaterThan(8);
  });

  test("is refused while another hub has the file, and says which", async () => {
    const first = run(...PLAIN);
    await urlOf(first);
    const second = run(...PLAIN);
    expect(await second.ended).toBe(75);
    expect(second.text()).toContain(`${join(directory, "hub.db")} is in use by another hub`);
    expect(first.child.exitCode).toBe(null);
  });

  test("is refused where another program listens", async () => {
    const first = run(...PLAIN, "--store-url", "memory:");
    const { port } = new URL(await urlOf(first));
    const second = run("--tls-mode", "off", "--store-url", "memory:", "--server-listen", `127.0.0.1:${port}`);
    expect(await second.ended).toBe(75);
    expect(second.text()).toContain(`the hub cannot listen on 127.0.0.1:${port}`);
  });

  test("with a wrong configuration exits 78 with every problem named, and starts nothing", async () => {
    const hub = run(
      "--server-listen",
      "nowhere",
      "--store-url",
      "redis://u:hunter2@",
      "--tls-mode",
      "files",
      "--limits-boxes",
      "3",
    );
    expect(await hub.ended).toBe(78);
    const text = hub.text();
    expect(text).toContain("the configuration has 5 problems; nothing was started:");
    expect(text).toContain('--server-listen: server.listen was given "nowhere"; allowed: an address with a port');
    expect(text).toContain("--store-url: store.url was given");
    expect(text).toContain("tls.certFile was given nothing; tls.mode files needs it");
    expect(text).toContain("--limits-boxes is not a flag");
    expect(text).not.toContain("hunter2");
  });

  test("makes an authority of its own, by which boxes know it, and keeps it", async () => {
    const flags = ["--server-listen", "127.0.0.1:0", "--store-url", "memory:", "--tls-names", "hub.example,10.9.8.7"];
    const hub = run(...flags);
    const url = await urlOf(hub);
    const sha256 = /SHA-256: ([0-9a-f]{64})/.exec(hub.text())?.[1];
    const shown = (sha256?.match(/../g) ?? []).join(":").toUpperCase();
    expect(hub.text()).toContain(`\n     sluice login ${url} --fingerprint sha256:${shown}\n`);
    const ca = readFileSync(join(directory, "tls/ca.pem"), "utf8");
    const seen = await connect(url, ca, "localhost");
    expect(seen.status).toBe(200);
    const peer = seen.certificate;
    for (const name of ["localhost", "hub.example", "10.9.8.7", "127.0.0.1"]) {
      expect(checkServerIdentity(name, peer)).toBe(undefined);
    }
    expect(peer.issuerCertificate.fingerprint256.replaceAll(":", "").toLowerCase()).toBe(sha256);
    await expect(connect(url, undefined, "localhost")).rejects.toThrow(/self.signed|unable to verify/);
    for (const file of ["ca.key", "server.key"]) expect(statSync(join(directory, "tls", file)).mode & 0o077).toBe(0);
    hub.child.kill("SIGTERM");
    await hub.ended;

    const again = run(...flags, "--tls-names", "other.example");
    const { certificate } = await connect(await urlOf(again), ca, "localhost");
    expect(checkServerIdentity("other.example", certificate)).toBe(undefined);
    expect(again.text()).toContain(`SHA-256: ${sha256}`);
  });

  test("whose store does not answer says 503 with the reason, starts all the same, and ends when told", async () => {
    const hub = run(...PLAIN, "--store-url", "redis://127.0.0.1:1");
    const url = await urlOf(hub);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const ready = await fetch(`${url}/readyz`);
    const body = (await ready.json()) as { error: { code: string; message: string } };
    expect([ready.status, body.error.code]).toEqual([503, "store-unavailable"]);
    expect(body.error.message).toContain("the store does not answer");
    const asked = await fetch(`${url}/v1/boxes`, { headers: { authorization: "Bearer slo_x" } });
    expect([asked.status, Number(asked.headers.get("retry-after"))]).toEqual([503, 2]);
    hub.child.kill("SIGTERM");
    expect(await hub.ended).toBe(0);
  });
});

type Ask = (method: string, path: string, body?: unknown) => Promise<Response>;

async function enrolBox(ask: Ask): Promise<void> {
  const made = (await (await ask("POST", "/v1/enrolments", {})).json()) as { token: string };
  const { token } = JSON.parse(Buffer.from(made.token.slice("sluice1.".length), "base64url").toString()) as {
    token: string;
  };
  await ask("POST", "/v1/enrol", { token, boxId: "b-1", keyHash: "a".repeat(64) });
}

function connect(url: string, ca: string | undefined, servername: string) {
  return new Promise<{
    status: number;
    certificate: ReturnType<import("node:tls").TLSSocket["getPeerCertificate"]> & {
      issuerCertificate: { fingerprint256: string };
    };
  }>((resolve, reject) => {
    const asked = request(
      `${url}/healthz`,
      { servername, agent: false, ...(ca === undefined ? {} : { ca }) },
      (response: IncomingMessage) => {
        const socket = response.socket as import("node:tls").TLSSocket;
        const certificate = socket.getPeerCertificate(true);
        response.resume();
        response.on("end", () => resolve({ status: response.statusCode ?? 0, certificate }));
      },
    );
    asked.on("error", reject);
    asked.end();
  });
}
