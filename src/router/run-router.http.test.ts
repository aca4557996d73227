import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import { createMemoryLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import type { RouterProgramOptions } from "../config/router-options.ts";
import { EndReason } from "../contract/proto/sluice/router/v1/router_pb.js";
import { newRemoteKey, publicTextOf } from "../contract/remote/remote-key.ts";
import { startTestHub, type TestHub } from "../hub/hub-world.fake.ts";
import { reportOf } from "../hub/store/store.fake.ts";
import { joinRouter } from "./router.fake.ts";
import { runRouter } from "./run-router.ts";

const KEY = publicTextOf(newRemoteKey());
const LIMITS = { perUser: 16, total: 512, idleSeconds: 1800, maxSeconds: 28_800, resumeSeconds: 300 };

let hub: TestHub;
let directory = "";
const stops: AbortController[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "sluice-router-"));
  // No router of its own: sessions can only meet at ours.
  hub = await startTestHub({ remote: { enabled: true, ownRouter: false, ...LIMITS } });
});
afterEach(async () => {
  for (const stop of stops.splice(0)) stop.abort();
  await hub.close();
  rmSync(directory, { recursive: true, force: true });
});

async function startProgram(id: string) {
  const made = await hub.ask("POST", "/v1/tokens", { body: { name: id, role: "router" } });
  expect(made.status).toBe(201);
  const tokenFile = join(directory, id);
  writeFileSync(tokenFile, made.body.secret ?? made.body.token);
  const options: RouterProgramOptions = {
    id,
    server: { host: "127.0.0.1", port: 0, publicUrl: `http://127.0.0.1:9/${id}`, peerUrl: undefined, drainMs: 2000 },
    tls: undefined,
    hub: { url: hub.origin, tokenFile, caFile: undefined },
    limits: { sessions: 10, sessionsPerOperator: 10, windowBytes: 64 * 1024 ** 2 },
    metrics: undefined,
    log: { level: "info" },
  };
  const stop = new AbortController();
  stops.push(stop);
  const log = createMemoryLog();
  const { promise: port, resolve } = Promise.withResolvers<number>();
  const base = { clock: systemClock, random: systemRandom, log, version: "0.0.0", addSecret: () => undefined };
  const done = runRouter(options, { ...base, announce: resolve }, stop.signal);
  return { port: await port, done, stop, log };
}

const listed = async () => (await hub.ask("GET", "/v1/routers")).body.items;

test("a router registers with its hub, takes its tickets, tells what becomes of sessions, and drains", async () => {
  const program = await startProgram("router-1");
  await expect.poll(listed).toMatchObject([{ id: "router-1", state: "live", isHub: false, sessions: 0 }]);
  const key = await hub.enrol("north-1");
  const report = { ...reportOf("north-1", "s", 1), capabilities: ["command:remote"], remoteKey: KEY };
  expect((await hub.ask("POST", "/v1/boxes/north-1/report", { token: key, body: report })).status).toBe(202);
  const body = { operation: { kind: "exec", argv: ["uptime"] }, key: KEY };
  const made = await hub.ask("POST", "/v1/boxes/north-1/remote", { token: hub.tokens.operator, body });
  expect([made.status, made.body.router?.id]).toEqual([201, "router-1"]);
  const [command] = (await hub.ask("GET", "/v1/boxes/north-1/commands")).body.items;
  expect(command.name).toBe("remote");

  const client = connect(`http://127.0.0.1:${program.port}`);
  client.on("error", () => undefined);
  const operator = joinRouter(client, made.body.ticket);
  await operator.until("waiting");
  // The hub ends it: the router hears of that with its next beat.
  expect((await hub.ask("DELETE", `/v1/remote/${made.body.id}`, { token: hub.tokens.operator })).status).toBeLessThan(
    300,
  );
  expect(await operator.until("ended")).toMatchObject({ message: { value: { reason: EndReason.TERMINATED } } });

  const again = (await hub.ask("POST", "/v1/boxes/north-1/remote", { token: hub.tokens.operator, body })).body;
  const second = joinRouter(client, again.ticket);
  await second.until("waiting");
  program.stop.abort();
  expect(await second.until("ended")).toMatchObject({ message: { value: { reason: EndReason.DRAINING } } });
  await program.done;
  expect(await listed()).toMatchObject([{ id: "router-1", state: "draining" }]);
  client.destroy();
});

test("what cannot be read is told with its option", async () => {
  const options = { hub: { url: hub.origin, tokenFile: join(directory, "none"), caFile: undefined } };
  const base = { clock: systemClock, random: systemRandom, log: createMemoryLog(), version: "0", addSecret: () => {} };
  const given = { ...base, announce: () => undefined };
  await expect(runRouter(options as RouterProgramOptions, given, new AbortController().signal)).rejects.toMatchObject({
    code: "config",
    field: "hub.tokenFile",
  });
});
