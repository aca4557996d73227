import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { auditViewSchema } from "../src/contract/fleet/audit-view.ts";
import { commandViewSchema } from "../src/contract/fleet/command-view.ts";
import { pageSchema } from "../src/contract/fleet/page.ts";
import { sessionViewSchema } from "../src/contract/fleet/session.ts";
import { enrolmentCreatedSchema } from "../src/contract/fleet/token.ts";
import { createAgentWorld } from "./agent-world.ts";
import { type HubProcess, type HubProcessOptions, startHubProcess } from "./hub-process.ts";
import { startRelay } from "./relay.ts";
import { runSluice } from "./sluice-command.ts";

/** A real hub, a real agent with plain programs as sessions, and a backup that is older than what they agreed on. */

const SLEEP = "/bin/sleep";

async function openFleet() {
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), "sluice-hub-"));
  stack.defer(() => rm(dataDir, { recursive: true, force: true, maxRetries: 5 }));
  let hub: HubProcess | undefined;
  let starting: Promise<HubProcess> | undefined;
  const relay = stack.use(await startRelay(() => hub?.port ?? 0));
  const startHub = async (given: HubProcessOptions = {}) => {
    starting = startHubProcess({ dataDir, publicUrl: `http://127.0.0.1:${relay.port}`, ...given });
    hub = await starting;
    return hub;
  };
  const first = await startHub();
  // Also one that is being started while a test that took too long is ended.
  stack.defer(async () => await (await starting)?.[Symbol.asyncDispose]());
  const world = stack.use(
    await createAgentWorld({
      goesToHub: true,
      agentArguments: ["--policy-session-commands", SLEEP, "--report-interval-seconds", "1"],
      server: { rtmpPort: undefined },
    }),
  );
  const sluice = async (...args: readonly string[]) => {
    const hubOf = { SLUICE_HUB: hub?.origin ?? "", SLUICE_HUB_TOKEN: first.adminToken };
    const { code, text } = await runSluice(world, args, { ...hubOf, SLUICE_HUB_CONFIG: "/dev/null" });
    expect([code, text]).toEqual([0, expect.any(String)]);
  };
  const call = (method: string, path: string, body?: unknown) => hub?.call(method, path, body);
  const { token = "" } = enrolmentCreatedSchema.parse(await call("POST", "/v1/enrolments", { approve: true }));
  await sluice("enrol", token);
  const life = stack.move();
  return {
    world,
    relay,
    call,
    backup: (file: string) => sluice("backup", file),
    /** The hub is ended, put back to the backup, and started again. */
    restore: async (file: string) => {
      await hub?.[Symbol.asyncDispose]();
      await sluice("hub", "--data-dir", dataDir, "--tls-mode", "off", "--restore", file);
      await startHub({ adminToken: first.adminToken });
    },
    dataDir,
    session: async (id: string) => sessionViewSchema.parse(await call("GET", `/v1/sessions/${id}`)),
    send: async (name: string, args: object, deadlineSeconds = 600) =>
      commandViewSchema.parse(await call("POST", `/v1/boxes/${world.boxId}/commands`, { name, args, deadlineSeconds }))
        .id,
    command: async (id: string) =>
      commandViewSchema.parse(await call("GET", `/v1/boxes/${world.boxId}/commands/${id}`)),
    audited: async (action: string) =>
      pageSchema(auditViewSchema)
        .parse(await call("GET", `/v1/audit?action=${action}`))
        .items.map(({ subject, detail }) => `${subject}: ${detail}`),
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}

const specOf = (id: string, env: Readonly<Record<string, string>> = {}) => ({
  id,
  user: "anna",
  platform: "process" as const,
  template: { command: [SLEEP, "1000"], env },
});

test("a box away past a deadline never does what it was asked; a hub put back to an old backup loses no session, starts none again that was stopped since, and repeats no command", async () => {
  await using fleet = await openFleet();
  const { world, call } = fleet;
  await world.startAgent();
  const untilRuns = (id: string) =>
    world.until(async () => {
      const found = await world.workload(id);
      return found?.state === "running" ? found.pid : undefined;
    }, `${id} runs`);
  const untilGone = (id: string) =>
    world.until(async () => (await world.workload(id)) === undefined, `${id} is gone from its box`);
  const untilState = (id: string, state: string) =>
    world.until(async () => (await fleet.session(id)).state === state, `the hub says that ${id} is ${state}`);
  const untilAnswered = (id: string) =>
    world.until(async () => {
      const { state, answer } = await fleet.command(id);
      return state === "waiting" || state === "taken" ? undefined : `${state}: ${answer}`;
    }, `command ${id} is answered`);
  const start = (id: string, env?: Readonly<Record<string, string>>) =>
    call("POST", "/v1/sessions", { ...specOf(id, env), box: world.boxId });

  await start("kept");
  await start("stopped");
  const kept = await untilRuns("kept");
  await untilRuns("stopped");
  await untilState("stopped", "running");

  // In the backup nobody has sent this command yet.
  fleet.relay.cut();
  const command = await world.until(async () => {
    const id = await fleet.send("StartSession", { spec: specOf("commanded"), generation: 1 });
    // A connection that the hub has not yet seen end takes commands with it.
    await systemClock.delay(300);
    return (await fleet.command(id)).state === "waiting" ? id : undefined;
  }, "a command waits for the box");
  const expiring = await fleet.send("StartSession", { spec: specOf("expired"), generation: 1 }, 1);
  const file = join(fleet.dataDir, "old.backup");
  await fleet.backup(file);
  await world.until(async () => (await fleet.command(expiring)).state === "expired", "a deadline passes meanwhile");
  fleet.relay.mend();
  await untilRuns("commanded");
  expect(await untilAnswered(command)).toBe("done: started");
  expect(await untilAnswered(await fleet.send("StopSession", { id: "commanded", generation: 2 }))).toBe(
    "done: stopped",
  );
  await untilGone("commanded");
  expect(await world.workload("expired")).toBeUndefined();
  expect(await fleet.audited("command.expired")).toEqual([
    `box/${world.boxId}: StartSession (${expiring}): not sent before the deadline`,
  ]);

  await call("DELETE", "/v1/sessions/stopped");
  await untilGone("stopped");
  await start("later", { DB_PASSWORD: "hunter-2222" });
  const later = await untilRuns("later");

  await fleet.restore(file);
  await world.until(async () => (await fleet.audited("session.recovered")).length === 1, "the hub takes it up again");
  await untilState("later", "running");
  await world.until(
    async () => (await world.workload("later"))?.session?.unclaimed === undefined,
    "the box hears that its hub knows it",
  );
  expect(JSON.stringify(await fleet.session("later"))).not.toContain("hunter");
  expect(await untilAnswered(command)).toBe("done: started");

  const stopped = await world.workload("stopped");
  expect(stopped).toMatchObject({
    state: "waiting",
    cause: expect.stringContaining("waits for a later word of the hub"),
  });
  expect(stopped?.pid).toBeUndefined();
  expect(await world.workload("commanded")).toBeUndefined();
  expect([await untilRuns("kept"), await untilRuns("later")]).toEqual([kept, later]);

  // A kill of the agent changes none of it.
  await world.killAgent("SIGKILL");
  await world.startAgent();
  expect([await untilRuns("kept"), await untilRuns("later")]).toEqual([kept, later]);
  expect((await world.workload("stopped"))?.state).toBe("waiting");
  expect(world.workloadPids()).toHaveLength(2);

  // What a person says of it now is later than what the box remembers.
  await untilState("stopped", "failing");
  await call("POST", "/v1/sessions/stopped/wake");
  await untilRuns("stopped");
  await call("DELETE", "/v1/sessions/later");
  await untilGone("later");
}, 120_000);
