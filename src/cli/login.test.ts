import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import { createMemoryLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { createSpawner } from "../base/spawn.ts";
import { runHub, type StartedHub } from "../hub/hub.ts";
import { testHubOptions } from "../hub/hub-world.fake.ts";
import { createTestContext } from "./command-context.fake.ts";
import { runProgram } from "./program.ts";

let directory: string;
let home: string;
let hub: StartedHub;
let ended: Promise<void>;
const stop = new AbortController();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-login-"));
  hub = await new Promise<StartedHub>((resolve, reject) => {
    ended = runHub(
      testHubOptions(join(directory, "data"), {
        tls: { mode: "generated", certFile: undefined, keyFile: undefined, names: [] },
      }),
      {
        clock: systemClock,
        random: systemRandom,
        log: createMemoryLog(),
        runProgram: createSpawner({ ambient: process.env }, { clock: systemClock }).runProgram,
        newId: () => randomBytes(8).toString("hex"),
        newSecret: () => randomBytes(32).toString("base64url"),
        version: "0.1.0",
        hostname: "hub",
        pages: [],
        announce: resolve,
      },
      stop.signal,
    );
    ended.catch(reject);
  });
});
afterAll(async () => {
  stop.abort();
  await ended;
  await rm(directory, { recursive: true });
});
beforeEach(async () => {
  home = await mkdtemp(join(directory, "home-"));
});

async function run(args: readonly string[], ask?: (question: string) => Promise<string>) {
  const terminal = { ask, readInput: async () => hub.adminToken ?? "" };
  const context = createTestContext(home, { terminal });
  const exitCode = await runProgram(args, context);
  return { exitCode, out: context.out(), err: context.err() };
}

const url = () => `https://127.0.0.1:${hub.port}`;

test("the fingerprint that the hub printed is enough, and its authority is trusted from then on", async () => {
  const { exitCode, err, out } = await run([
    "login",
    url(),
    "--fingerprint",
    `sha256:${hub.caSha256}`,
    "--name",
    "lab",
  ]);
  expect(err).toBe("");
  expect(exitCode).toBe(0);
  expect(out).toMatch(/as first admin \(admin\)\. The context lab is the current one\.\n/);
  expect(await readFile(join(home, ".config/sluice/contexts.json"), "utf8")).toContain("BEGIN CERTIFICATE");
  expect((await run(["box", "ls"])).out).toBe("no box\n");
});

test("a certificate file does the same", async () => {
  expect((await run(["login", url(), "--ca", join(directory, "data/tls/ca.pem")])).exitCode).toBe(0);
  expect((await run(["box", "ls"])).exitCode).toBe(0);
});

test("an address of the wrong scheme and a file that is not there are named, and nothing is kept", async () => {
  expect(await run(["login", url().replace("https", "http")])).toEqual({
    exitCode: 69,
    out: "",
    err: `sluice: what listens at ${url().replace("https", "http")} ended the connection: is its address https:// rather than http://?\n`,
  });
  expect(await run(["login", url(), "--token-file", "nowhere"])).toEqual({
    exitCode: 78,
    out: "",
    err: "sluice: --token-file: nowhere cannot be read: there is no such file\n",
  });
  expect((await run(["context", "ls"])).out).toMatch(/^No context yet/);
});

test("another fingerprint is refused, and nothing is kept or sent", async () => {
  const answer = await run(["login", url(), "--fingerprint", "ab".repeat(32)]);
  expect(answer).toMatchObject({ exitCode: 77, err: expect.stringContaining("another machine may stand between") });
  expect(await run(["login", url(), "--fingerprint", "abc"])).toEqual({
    exitCode: 64,
    out: "",
    err: 'sluice: --fingerprint: given "abc"; allowed: a SHA-256, 64 hexadecimal digits with or without colons\n',
  });
  expect((await run(["context", "ls"])).out).toMatch(/^No context yet/);
});

test("without either, the certificate is shown; a script is refused, and a person decides", async () => {
  const shown = (hub.caSha256?.match(/../g) ?? []).join(":").toUpperCase();
  expect(await run(["login", url()])).toMatchObject({
    exitCode: 69,
    err: expect.stringContaining(`log in with --fingerprint sha256:${shown}`),
  });
  const questions: string[] = [];
  const ask = (answer: string) => async (question: string) => {
    questions.push(question);
    return question.startsWith("Token") ? (hub.adminToken ?? "") : answer;
  };
  expect((await run(["login", url()], ask("n"))).exitCode).toBe(130);
  expect((await run(["context", "ls"])).out).toMatch(/^No context yet/);
  const { exitCode, out } = await run(["login", url()], ask("y"));
  expect(exitCode).toBe(0);
  expect(out).toContain(`fingerprint sha256:${shown}.`);
  expect(questions.at(-1)).toBe("Is it the same, and shall it be trusted from now on? [y/N] ");
  expect((await run(["box", "ls"])).exitCode).toBe(0);
});
