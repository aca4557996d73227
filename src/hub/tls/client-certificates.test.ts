import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { MAIN_PROGRAM } from "../../../test-server/main-program.ts";
import { systemClock } from "../../base/clock.ts";
import { createHttpFetch } from "../../base/http-fetch.ts";
import { createMemoryLog, type MemoryLog } from "../../base/log.ts";
import { systemRandom } from "../../base/random.ts";
import { runHub, type StartedHub } from "../hub.ts";
import { sha256, testHubOptions } from "../hub-world.fake.ts";
import { judgeClientCertificate } from "./client-certificates.ts";

let directory = "";
const at = (name: string) => join(directory, name);
const stops: (() => Promise<unknown>)[] = [];

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-mtls-"));
  for (const name of ["server-ca", "box-ca", "other-ca"]) makeAuthority(name);
  makeCertificate("hub", { by: "server-ca", extension: "subjectAltName=IP:127.0.0.1" });
  makeCertificate("north-1", { by: "box-ca" });
  makeCertificate("stranger", { by: "other-ca" });
  makeCertificate("for-servers", { by: "box-ca", extension: "extendedKeyUsage=serverAuth" });
  makeDated("old", { by: "box-ca", fromMs: Date.UTC(2024, 0, 1), toMs: Date.UTC(2024, 1, 1) });
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function openssl(...args: readonly string[]): void {
  execFileSync("openssl", args, { cwd: directory, stdio: "pipe" });
}

const newKey = (name: string) => [
  "-newkey",
  "ec",
  "-pkeyopt",
  "ec_paramgen_curve:P-256",
  "-nodes",
  "-keyout",
  `${name}.key`,
];

function makeAuthority(name: string): void {
  openssl("req", "-x509", ...newKey(name), "-subj", `/CN=${name}`, "-days", "30", "-out", `${name}.pem`);
}

function makeCertificate(name: string, { by, extension }: { readonly by: string; readonly extension?: string }): void {
  openssl("req", ...newKey(name), "-subj", `/CN=${name}`, "-out", `${name}.csr`);
  writeFileSync(at("ext"), `${extension ?? "extendedKeyUsage=clientAuth"}\n`);
  const sign = ["-CA", `${by}.pem`, "-CAkey", `${by}.key`, "-CAcreateserial", "-days", "30", "-extfile", "ext"];
  openssl("x509", "-req", "-in", `${name}.csr`, ...sign, "-out", `${name}.pem`);
}

function makeDated(
  name: string,
  { by, fromMs, toMs }: { readonly by: string; readonly fromMs: number; readonly toMs: number },
): void {
  const date = (ms: number) => new Date(ms).toISOString().replace(/\.\d+|[-:T]/g, "");
  openssl("req", ...newKey(name), "-subj", `/CN=${name}`, "-out", `${name}.csr`);
  mkdirSync(at("issued"), { recursive: true });
  writeFileSync(at("index"), "");
  writeFileSync(
    at("ca.cnf"),
    `[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=issued\ndatabase=index\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n`,
  );
  const dates = ["-startdate", date(fromMs), "-enddate", date(toMs)];
  const files = ["-in", `${name}.csr`, "-cert", `${by}.pem`, "-keyfile", `${by}.key`, "-out", `${name}.pem`];
  openssl("ca", "-batch", "-notext", "-config", "ca.cnf", ...dates, ...files);
}

interface TlsHub {
  readonly url: string;
  readonly log: MemoryLog;
  readonly admin: string;
  /** Through the API, with a certificate where the hub asks for one. */
  readonly key: string;
}

async function startHub(clientCertificates: "required" | "asked"): Promise<TlsHub> {
  const dataDir = mkdtempSync(at("hub-"));
  const stop = new AbortController();
  const log = createMemoryLog();
  const { promise, resolve, reject } = Promise.withResolvers<StartedHub>();
  const tls = { mode: "files", certFile: at("hub.pem"), keyFile: at("hub.key"), names: [] } as const;
  const options = testHubOptions(dataDir, { tls: { ...tls, clientCaFile: at("box-ca.pem"), clientCertificates } });
  let made = 0;
  const ended = runHub(
    options,
    {
      clock: systemClock,
      random: systemRandom,
      log,
      runProgram: () => Promise.reject(new Error("this hub runs no programs")),
      newId: () => `id-${made++}`,
      newSecret: () => `secret-${made++}-${"x".repeat(40)}`,
      version: "0.0.0",
      hostname: "hub",
      pages: [],
      announce: resolve,
    },
    stop.signal,
  );
  ended.catch(reject);
  stops.push(async () => {
    stop.abort();
    await ended;
  });
  const { port, adminToken: admin = "" } = await promise;
  const url = `https://127.0.0.1:${port}`;
  const { token } = (await ask(url, "POST", "/v1/enrolments", { token: admin, body: {} })).body as { token: string };
  const { token: secret } = JSON.parse(Buffer.from(token.slice("sluice1.".length), "base64url").toString());
  const key = "k".repeat(43);
  const enrol = { token: secret, boxId: "north-1", keyHash: sha256(key), labels: {} };
  const enrolled = await ask(url, "POST", "/v1/enrol", { body: enrol, certificate: "north-1" });
  expect(enrolled.status).toBe(200);
  return { url, log, admin, key };
}

async function ask(
  url: string,
  method: "GET" | "POST",
  path: string,
  given: { readonly token?: string; readonly body?: unknown; readonly certificate?: string },
): Promise<{ readonly status: number; readonly body: unknown }> {
  const { token, body, certificate } = given;
  const pem =
    certificate === undefined
      ? {}
      : { cert: readFileSync(at(`${certificate}.pem`)), key: readFileSync(at(`${certificate}.key`)) };
  return new Promise((resolve, reject) => {
    const headers = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    };
    const asked = request(`${url}${path}`, {
      method,
      headers,
      agent: false,
      ca: readFileSync(at("server-ca.pem")),
      ...pem,
    });
    asked.on("error", reject);
    asked.on("response", (response) => {
      let text = "";
      response.on("data", (piece: Buffer) => (text += piece.toString()));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body: text === "" ? undefined : JSON.parse(text) }),
      );
    });
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** An event stream, read until the other side ends it. */
async function openStream(url: string, given: { readonly token: string; readonly certificate: string }) {
  const asked = request(url, {
    headers: { authorization: `Bearer ${given.token}`, accept: "text/event-stream" },
    agent: false,
    ca: readFileSync(at("server-ca.pem")),
    cert: readFileSync(at(`${given.certificate}.pem`)),
    key: readFileSync(at(`${given.certificate}.key`)),
  });
  stops.push(async () => asked.destroy());
  asked.end();
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  response.resume();
  return { status: response.statusCode, ended: once(response, "end") };
}

function startAgent(hub: TlsHub, certificate: string | undefined) {
  const stateDir = mkdtempSync(at("agent-"));
  writeFileSync(join(stateDir, "key"), hub.key, { mode: 0o600 });
  const files =
    certificate === undefined
      ? []
      : ["cert", "key"].flatMap((kind) => [`--link-${kind}-file`, join(stateDir, `box.${kind}`)]);
  const use = (name: string) => {
    cpSync(at(`${name}.pem`), join(stateDir, "box.cert"));
    cpSync(at(`${name}.key`), join(stateDir, "box.key"));
  };
  if (certificate !== undefined) use(certificate);
  const link = [
    "--link-endpoint",
    hub.url,
    "--link-token-file",
    join(stateDir, "key"),
    "--link-ca-file",
    at("server-ca.pem"),
  ];
  const args = ["agent", "--config", "/dev/null", "--state-dir", stateDir, "--box-id", "north-1", ...link, ...files];
  const child: ChildProcess = spawn(process.execPath, ["--no-warnings", MAIN_PROGRAM, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"] },
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (piece: Buffer) => (text += piece.toString()));
  const ended = once(child, "close");
  stops.push(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  return { text: () => text, use, ended, child };
}

const soon = { timeout: 40_000, interval: 50 };

describe("a hub that takes boxes by certificate", () => {
  test.each([
    [
      undefined,
      "this hub takes boxes with a client certificate only, and none was shown: set link.certFile and link.keyFile on the box",
    ],
    ["stranger", 'the client certificate "stranger" does not lead to an authority of this hub\'s tls.clientCaFile'],
    ["old", 'the client certificate "old" ended at 2024-02-01T00:00:00.000Z: give the box a new one'],
    ["for-servers", 'the client certificate "for-servers" is not made for clients'],
  ])("says to a box that shows %s what is wrong, on both sides", async (certificate, message) => {
    const hub = await startHub("required");
    const agent = startAgent(hub, certificate);
    await expect.poll(agent.text, soon).toContain(`HTTP 403: ${message}`);
    const lines = () => hub.log.lines.filter((line) => line.includes("A box at 127.0.0.1 is refused"));
    await expect.poll(() => lines().length, soon).toBe(1);
    expect(lines()[0]).toContain(message);
  });

  test("serves a box with a good one, and people and programs without any", async () => {
    const hub = await startHub("required");
    const agent = startAgent(hub, "north-1");
    await expect
      .poll(async () => boxOf(await ask(hub.url, "GET", "/v1/boxes/north-1", { token: hub.admin })), soon)
      .toBe("online");
    expect(agent.text()).not.toContain("HTTP 403");
    expect((await ask(hub.url, "GET", "/healthz", {})).status).toBe(200);
  });

  test("that only asks for them takes a box without one, and refuses a bad one", async () => {
    const hub = await startHub("asked");
    const report = (certificate?: string) =>
      ask(hub.url, "POST", "/v1/boxes/north-1/report", {
        token: hub.key,
        body: {},
        ...(certificate === undefined ? {} : { certificate }),
      });
    expect((await report()).status).toBe(400);
    expect((await report("stranger")).status).toBe(403);
    expect((await report("north-1")).status).toBe(400);
  });
});

test("a renewed certificate is shown with the next request of the same program", async () => {
  const hub = await startHub("required");
  let name = "old";
  const certificate = () => ({
    cert: readFileSync(at(`${name}.pem`), "utf8"),
    key: readFileSync(at(`${name}.key`), "utf8"),
  });
  const fetch = createHttpFetch({ ca: readFileSync(at("server-ca.pem"), "utf8"), certificate });
  const statusOf = async () => {
    const signal = AbortSignal.timeout(10_000);
    const headers = { authorization: `Bearer ${hub.key}`, "content-type": "application/json" };
    const url = new URL(`${hub.url}/v1/boxes/north-1/report`);
    const answer = await fetch(url, { method: "POST", body: "{}", headers, redirect: "manual", signal });
    await answer.body?.cancel();
    return answer.status;
  };
  expect(await statusOf()).toBe(403);
  name = "north-1";
  expect(await statusOf()).toBe(400);
});

test("an agent whose certificate and key do not belong together is not started, and says which files", async () => {
  const hub = await startHub("required");
  const agent = startAgent(hub, "north-1");
  agent.child.kill("SIGKILL");
  await agent.ended;
  const other = at("mixed");
  mkdirSync(other);
  const flags = ["--link-cert-file", at("north-1.pem"), "--link-key-file", at("stranger.key")];
  const child = spawn(
    process.execPath,
    ["--no-warnings", MAIN_PROGRAM, "agent", "--config", "/dev/null", "--state-dir", other, ...flags],
    {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env["PATH"] },
    },
  );
  let text = "";
  child.stderr.on("data", (piece: Buffer) => (text += piece.toString()));
  expect(await once(child, "close")).toEqual([78, null]);
  expect(text).toMatch(
    /link\.certFile and link\.keyFile: .*north-1\.pem and .*stranger\.key do not make a certificate and its key/,
  );
});

test("an open stream of a box is ended when its certificate ends, and not before", async () => {
  const hub = await startHub("required");
  // Of certificates whole seconds count.
  const endMs = Math.floor(systemClock.wallMs() / 1000) * 1000 + 6000;
  makeDated("short", { by: "box-ca", fromMs: endMs - 3_600_000, toMs: endMs });
  const open = await openStream(`${hub.url}/v1/boxes/north-1/events`, { token: hub.key, certificate: "short" });
  expect(open.status).toBe(200);
  expect(systemClock.wallMs()).toBeLessThan(endMs);
  await open.ended;
  expect(systemClock.wallMs()).toBeGreaterThanOrEqual(endMs);
  expect(systemClock.wallMs()).toBeLessThan(endMs + 10_000);
  expect(hub.log.lines.join("\n")).toContain('the client certificate "short" ended at');
  const again = await openStream(`${hub.url}/v1/boxes/north-1/events`, { token: hub.key, certificate: "short" });
  expect(again.status).toBe(403);
});

test("a certificate that ends while its connection lasts is refused from then on", () => {
  const shown = { name: "b", validToMs: 1000, error: undefined };
  expect(judgeClientCertificate(shown, { isRequired: true, nowMs: 999 })).toBe(undefined);
  expect(judgeClientCertificate(shown, { isRequired: true, nowMs: 1000 })).toContain("ended at 1970-01-01");
});

function boxOf({ body }: { readonly body: unknown }): unknown {
  return (body as { connection?: string }).connection;
}
