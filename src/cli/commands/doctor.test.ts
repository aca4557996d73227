import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AppError } from "../../base/errors.ts";
import { createTestContext } from "../command-context.fake.ts";
import type { Check } from "../doctor/check.ts";
import { judgeFfmpeg } from "../doctor/check-media-tools.ts";
import { judgeClockAgainst, judgeEndpoint } from "../doctor/judge-endpoint.ts";
import { runProgram } from "../program.ts";

const EXITED = { code: 0, signal: null, stdout: "", stderr: "", timedOut: false } as const;
const CAPABLE = {
  version: "5.1.9",
  encoders: ["libx264", "aac"],
  protocols: { input: ["https", "rtmp"], output: ["rtmp", "rtmps", "srt"] },
  muxers: ["rtsp", "hls", "tee"],
} as const;

let directory: string;
let server: Server;
let answer: (response: ServerResponse, authorization: string | undefined) => void;
let base: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-doctor-"));
  await chmod(directory, 0o700);
  server = createServer((request, response) => answer(response, request.headers.authorization));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${portOf(server)}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(directory, { recursive: true });
});

function portOf(listening: { address(): AddressInfo | string | null }): number {
  const address = listening.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

interface DoctorRun {
  readonly exitCode: number;
  readonly out: string;
  check(name: string): Check | undefined;
}

async function doctor(env: Record<string, string>, args: readonly string[] = ["--json"]): Promise<DoctorRun> {
  const context = createTestContext(directory, {
    env: { SLUICE_STATE_DIR: directory, SLUICE_CONFIG: "/dev/null", CONNECTION_TIMEOUT: "1", ...env },
    readFfmpeg: async () => CAPABLE,
    runProgram: async () => ({ ...EXITED, stdout: "ffprobe version 5.1.9 Copyright" }),
  });
  const exitCode = await runProgram(["doctor", ...args], context);
  const checks: Check[] = args.includes("--json") ? JSON.parse(context.out()).checks : [];
  return { exitCode, out: context.out(), check: (name) => checks.find((check) => check.name === name) };
}

test("an event stream that accepts the token passes, and the doctor hangs up", async () => {
  const token = join(directory, "token");
  await writeFile(token, "s3cret-token\n", { mode: 0o600 });
  const closed = new Promise<string | undefined>((resolve) => {
    answer = (response, authorization) => {
      response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" }).flushHeaders();
      response.on("close", () => resolve(authorization));
    };
  });
  const { exitCode, check, out } = await doctor({
    SSE_ENDPOINT: `${base}/events?key=canary`,
    SLUICE_LINK_TOKEN_FILE: token,
  });
  expect(check("endpoint: TCP")).toMatchObject({ outcome: "ok" });
  expect(check("endpoint: HTTP")).toEqual({ name: "endpoint: HTTP", outcome: "ok", found: "200, an event stream" });
  expect(check("token")?.outcome).toBe("ok");
  expect(check("clock")?.outcome).toBe("ok");
  expect(check("state directory")?.outcome).toBe("ok");
  expect(check("run directory")).toBeDefined();
  expect(await closed).toBe("Bearer s3cret-token");
  expect(exitCode).toBe(0);
  expect(out).not.toMatch(/s3cret|canary/);
});

test.each<[string, number, Record<string, string>, Partial<Check>]>([
  ["a wrong path", 404, {}, { outcome: "fail", advice: expect.stringContaining("/v1/boxes/<box id>/events") }],
  [
    "a log-in page",
    200,
    { "content-type": "text/html" },
    { outcome: "fail", advice: expect.stringContaining("captive") },
  ],
  ["a refused token", 401, {}, { outcome: "fail", advice: expect.stringContaining("link.tokenFile") }],
  [
    "a redirect",
    307,
    { location: "https://u:canary@new/e" },
    { outcome: "warn", found: "307: redirected to https://***@new/e" },
  ],
  ["a busy server", 503, {}, { outcome: "warn" }],
])("%s is named, with what to do", async (_, status, headers, expected) => {
  answer = (response) => void response.writeHead(status, headers).end();
  const { exitCode, check } = await doctor({ SSE_ENDPOINT: `${base}/events` });
  expect(check("endpoint: HTTP")).toMatchObject(expected);
  expect(exitCode).toBe(expected.outcome === "fail" ? 1 : 0);
});

test("a closed port is a TCP failure", async () => {
  const closed = createTcpServer();
  await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
  const port = portOf(closed);
  await new Promise((resolve) => closed.close(resolve));
  const { exitCode, check } = await doctor({ SSE_ENDPOINT: `http://127.0.0.1:${port}/` });
  expect(check("endpoint: TCP")).toMatchObject({
    outcome: "fail",
    advice: expect.stringContaining(`Nothing listens on port ${port}`),
  });
  expect(exitCode).toBe(1);
});

test("https spoken to a plain server is a TLS failure; silence is an HTTP failure within the limit", async () => {
  answer = () => undefined;
  const tls = await doctor({ SSE_ENDPOINT: `${base.replace("http:", "https:")}/` });
  expect(tls.check("endpoint: TLS")?.outcome).toBe("fail");
  const silent = await doctor({ SSE_ENDPOINT: `${base}/` });
  expect(silent.check("endpoint: HTTP")).toMatchObject({ outcome: "fail", found: "no answer: no answer within 1 s" });
});

test("a name that does not resolve is a name failure", async () => {
  const { check } = await doctor({ SSE_ENDPOINT: "http://no-such-host.invalid/" });
  expect(check("endpoint: name")).toMatchObject({ outcome: "fail" });
});

test("a missing program, an open directory and an unreadable token are found in one go", async () => {
  await chmod(directory, 0o755);
  const context = createTestContext(directory, {
    env: {
      SLUICE_STATE_DIR: directory,
      SLUICE_CONFIG: "/dev/null",
      SSE_ENDPOINT: `${base}/`,
      SLUICE_LINK_TOKEN_FILE: "/nowhere",
    },
    readFfmpeg: () => Promise.reject(new AppError("not-found", "cannot start ffmpeg (ENOENT): no such program")),
    runProgram: async () => EXITED,
  });
  answer = (response) => void response.writeHead(404).end();
  expect(await runProgram(["doctor"], context)).toBe(1);
  for (const line of [
    /fail {2}ffprobe +ffprobe is not ffprobe: it names no version/,
    /fail {2}ffmpeg +cannot start ffmpeg .*\n +→ Install it \(apt-get install ffmpeg\)/,
    /warn {2}state directory +.* has mode 0755\n +→ Others can read stream keys there: chmod 700/,
    /fail {2}token +.*ENOENT/,
    /fail {2}endpoint: HTTP +404/,
    /warn {2}agent +no agent answers at .*agent\.sock\n/,
    /\d+ checks: 4 failed, \d to look at\n$/,
  ]) {
    expect(context.out()).toMatch(line);
  }
});

test("an FFmpeg that was built without something says what, and what for", () => {
  expect(judgeFfmpeg(CAPABLE).outcome).toBe("ok");
  expect(judgeFfmpeg({ ...CAPABLE, encoders: ["aac"] })).toMatchObject({
    outcome: "warn",
    found: "5.1.9; lacks libx264 (encoding video)",
  });
});

test("a wrong configuration is a failed check, and the host is looked at all the same", async () => {
  const { exitCode, check } = await doctor({ SSE_MAX_RETRIES: "x" });
  expect(check("configuration")).toMatchObject({ outcome: "fail", found: expect.stringContaining("SSE_MAX_RETRIES") });
  expect(check("boot id")?.outcome).toBe("ok");
  expect(exitCode).toBe(1);
});

test("a clock that is off is told from the server's", () => {
  const at = (serverMs: number) =>
    judgeClockAgainst({ status: 200, contentType: undefined, location: undefined, serverMs }, 1_000_000);
  expect(at(1_000_000)?.outcome).toBe("ok");
  expect(at(1_090_000)).toMatchObject({ outcome: "warn", found: "is 90 s behind the endpoint's" });
  expect(judgeClockAgainst(undefined, 0)).toBeUndefined();
});

test.each([
  ["CERT_HAS_EXPIRED", "clock first"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "link.caFile"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "another name"],
])("%s has its own advice", (errorCode, advice) => {
  const probe = { address: undefined, failedAt: "tls", error: errorCode, errorCode, answer: undefined } as const;
  expect(judgeEndpoint("https://hub/", probe).at(-1)?.advice).toContain(advice);
});
