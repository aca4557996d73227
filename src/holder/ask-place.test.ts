import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { systemClock } from "../base/clock.ts";
import { createAskPlace } from "./ask-place.ts";

let directory: string;
let socketPath: string;
let server: Server;
let asked: string[];
let answer: { status: number; body: unknown };
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-ask-"));
  socketPath = join(directory, "agent.sock");
  asked = [];
  answer = { status: 200, body: { address: "127.0.0.1", port: 21_000 } };
  server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(answer.status).end(JSON.stringify(answer.body));
  });
});
afterEach(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});
const listen = () => new Promise<void>((resolve) => server.listen(socketPath, resolve));
const PORT = { port: 80, protocol: "tcp" } as const;

test("the agent is asked, once for all who ask at one time, and anew afterwards", async () => {
  await listen();
  const ask = createAskPlace(socketPath, systemClock);
  const all = await Promise.all([ask("app", PORT), ask("app", PORT), ask("app", { port: 53, protocol: "udp" })]);
  expect(all).toEqual(Array.from({ length: 3 }, () => ({ address: "127.0.0.1", port: 21_000 })));
  expect(asked.sort()).toEqual(["GET /v1/places/app?port=53/udp", "GET /v1/places/app?port=80/tcp"]);
  answer.body = { address: "127.0.0.1", port: 21_001 };
  expect(await ask("app", PORT)).toEqual({ address: "127.0.0.1", port: 21_001 });
});

test("what the agent refuses is refused with its word", async () => {
  await listen();
  answer = { status: 409, body: { error: { code: "conflict", message: "session app sleeps" } } };
  const ask = createAskPlace(socketPath, systemClock);
  await expect(ask("app", PORT)).rejects.toMatchObject({ code: "conflict", message: "session app sleeps" });
});

test("an agent that is being started anew is waited for", async () => {
  const asking = createAskPlace(socketPath, systemClock)("app", PORT);
  await systemClock.delay(300);
  await listen();
  expect(await asking).toEqual({ address: "127.0.0.1", port: 21_000 });
});

test("without an agent nothing is guessed", async () => {
  const clock = createFakeClock();
  let said = "";
  createAskPlace(socketPath, clock)("app", PORT).catch(({ code, message }) => {
    said = `${code} ${message}`;
  });
  await expect
    .poll(async () => {
      await clock.advance(1000);
      return said;
    })
    .toMatch(/^unavailable the agent of the box does not say where it is \(.*ENOENT/);
});
