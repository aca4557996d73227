import { mkdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { type AgentWorld, createAgentWorld } from "./agent-world.ts";
import { runSluice } from "./sluice-command.ts";

/** A server that drives by command, and a real agent that runs plain programs. */

const SLEEP = "/bin/sleep";
const PRELOAD = resolve(import.meta.dirname, "programs/die-at-effect.js");

const startWorld = (environment: Readonly<Record<string, string>> = {}) =>
  createAgentWorld({
    agentArguments: ["--policy-session-commands", SLEEP],
    server: { rtmpPort: undefined },
    environment,
  });

const specOf = (id: string, seconds = 1000) => ({
  id,
  user: "anna",
  platform: "process",
  template: { command: [SLEEP, String(seconds)] },
  restart: "always",
});

let commands = 0;
function send(
  world: AgentWorld,
  name: string,
  args: Readonly<Record<string, unknown>>,
  given: { id?: string; deadlineMs?: number } = {},
) {
  const { id = `c-${++commands}`, deadlineMs = Date.now() + 60_000 } = given;
  world.server.commands.send({ id, name, args, deadlineMs });
  return id;
}
const answerOf = (world: AgentWorld, id: string) =>
  world.until(() => {
    const answer = world.server.commands.list().find((command) => command.id === id)?.answer;
    return answer === undefined ? undefined : `${answer.ok ? "ok" : "no"} ${answer.text}`;
  }, `command ${id} is answered`);
const ask = (world: AgentWorld, name: string, args: Readonly<Record<string, unknown>>) =>
  answerOf(world, send(world, name, args));
const untilConnected = (world: AgentWorld) =>
  world.until(() => world.server.room.count() === 1, "the agent is connected");

test.concurrent("a server drives sessions by command: once, in the order of generations, in both forms, beside its set", async () => {
  await using world = await startWorld();
  await world.startAgent();
  await untilConnected(world);

  world.server.fault("commands", { how: "twice", seconds: 0 });
  expect(await ask(world, "StartSession", { spec: specOf("web"), generation: 3 })).toBe("ok started");
  await world.untilState("web", "running");
  expect(world.workloadPids()).toHaveLength(1);
  const [pid] = world.workloadPids();
  expect(await ask(world, "StartSession", { spec: specOf("web"), generation: 3 })).toBe("ok already");
  expect((await world.workload("web"))?.session).toMatchObject({ commanded: { generation: 3 } });
  expect((await runSluice(world, ["status"])).text).toContain("expected by a command (generation 3)");
  expect((await runSluice(world, ["explain", "web"])).text).toContain(
    "Expected by a command (generation 3): /bin/sleep for anna",
  );
  expect(await ask(world, "TouchSession", { id: "web" })).toBe("ok noted");
  expect(await ask(world, "TouchSession", { id: "nobody" })).toBe("no no session nobody runs on this box");

  world.server.fault("commands", { how: "swapped", seconds: 0 });
  const start = send(world, "StartSession", { spec: specOf("late"), generation: 7 });
  const stop = send(world, "StopSession", { id: "late", generation: 8 });
  expect(await answerOf(world, stop)).toMatch(/^ok stopped: it did not run/);
  expect(await answerOf(world, start)).toBe("no older generation 7 than 8");
  await fetch(`${world.server.origin}/faults`, { method: "DELETE" });
  expect(world.workloadPids()).toEqual([pid]);

  // A set of the server's, changed or whole, says nothing of what was commanded.
  world.server.set.replace([], true);
  const simple = { eventType: "HibernateSession", id: "web", generation: 4, commandId: "simple-1" };
  await fetch(`${world.server.origin}/send-event`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(simple),
  });
  await world.untilState("web", "hibernated");
  expect(await ask(world, "WakeSession", { id: "web", generation: 3 })).toBe("no older generation 3 than 4");
  expect(await ask(world, "WakeSession", { id: "web", generation: 5 })).toBe("ok woken");
  await world.untilState("web", "running");

  // An agent that is killed finds it, and knows who expects it.
  const [before] = world.workloadPids();
  await world.killAgent("SIGKILL");
  await world.startAgent();
  await world.untilState("web", "running");
  expect(world.workloadPids()).toEqual([before]);
  expect((await world.workload("web"))?.session).toMatchObject({ commanded: { generation: 5 } });
  await untilConnected(world);

  // What the server's set names is the set's, and goes with it.
  const { id, ...spec } = specOf("web");
  world.server.putStreams({ kind: "session", id, spec: { ...spec, platform: "process", restart: "always" } });
  await world.until(
    async () => (await world.workload("web"))?.session?.commanded === undefined,
    "the set has taken it over",
  );
  expect(await ask(world, "StopSession", { id: "web", generation: 9 })).toMatch(
    /^no conflict: the server's expected set/,
  );
  const [owned] = world.workloadPids();

  // A server that has lost its memory names nothing: what it cannot know is kept, and said to be kept.
  world.server.fault("lose-state", {});
  await world.until(async () => (await world.workload("web"))?.session?.unclaimed !== undefined, "it is kept");
  expect((await world.workload("web"))?.session?.unclaimed).toMatchObject({ spec: { user: "anna" } });
  expect(world.workloadPids()).toEqual([owned]);
  expect((await runSluice(world, ["explain", "web"])).text).toContain(
    "Expected by what was expected before the hub forgot it",
  );
  await untilConnected(world);
  expect(await ask(world, "StopSession", { id: "web", generation: 10 })).toMatch(/^ok stopped: it was kept for a hub/);
  await world.until(() => world.workloadPids().length === 0, "it is stopped");
});

test.concurrent("what comes late, wrong or not allowed is answered with its reason and starts nothing", async () => {
  await using world = await startWorld();
  await world.startAgent();
  await untilConnected(world);
  world.server.fault("commands", { how: "late", seconds: 0 });
  const late = send(world, "StartSession", { spec: specOf("web"), generation: 1 }, { deadlineMs: Date.now() + 200 });
  expect(await answerOf(world, late)).toBe("no it came after its deadline and was not done");
  await fetch(`${world.server.origin}/faults`, { method: "DELETE" });

  const wrong = (spec: object) => ask(world, "StartSession", { spec: { ...specOf("web"), ...spec }, generation: 1 });
  expect(await wrong({ id: "../../../etc/cron.d/x" })).toMatch(
    /^no args\.spec\.id: given a text of 21 characters; allowed: /,
  );
  expect(await wrong({ template: { command: ["/bin/sh", "-c", "id"] } })).toMatch(
    /^no refused by policy\.sessionCommands: /,
  );
  expect(await wrong({ template: { command: [SLEEP, "9"], env: { DB_PASSWORD: "***" } } })).toMatch(
    /^no refused by spec: /,
  );
  expect(await ask(world, "StopSession", { id: "web" })).toBe("no args.generation: given nothing; allowed: a number");
  const huge = {
    data: `{"id":"c-huge","name":"StartSession","args":{"spec":"${"x".repeat(100 * 2 ** 20)}"}}`,
    event: "command",
  };
  world.server.room.broadcast(() => [Buffer.from(`event: command\ndata: ${huge.data}\n\n`)]);
  await world.until(
    async () => (await world.status()).badInputs["event:too-large"] === 1,
    "a hundred megabytes of args are skipped",
    // They take seconds of a processor, of which a busy machine gives little.
    150_000,
  );
  expect(world.workloadPids()).toEqual([]);
  expect((await world.status()).workloads).toEqual([]);
  // The connection and what follows go on.
  expect(await ask(world, "StartSession", { spec: specOf("web"), generation: 1 })).toBe("ok started");
});

const kills = [
  {
    when: "between the journal and the effect",
    after: "rename .*commands\\.json",
    before: "commanded_state",
    answer: "no the agent ended before it did this; nothing came of it, and it is not done again",
    runs: 0,
  },
  {
    when: "between the effect and the answer",
    after: "rename .*commanded_state",
    before: "commands\\.json",
    answer: "ok started",
    runs: 1,
  },
];

test.concurrent.each(kills)(
  "an agent that is killed $when leaves a command done once or not at all, and its answer true",
  async (kill) => {
    const environment: Record<string, string> = {
      NODE_OPTIONS: `--import=${PRELOAD}`,
      EFFECT_ROOTS: join(tmpdir(), "sluice-world-"),
      DIE_AFTER: kill.after,
      DIE_BEFORE: kill.before,
    };
    await using world = await startWorld(environment);
    await mkdir(join(world.stateDir, "logs"));
    // What lies among the logs is no effect.
    const effects = join(world.stateDir, "logs", "effects");
    environment["EFFECTS_FILE"] = effects;
    const agent = await world.startAgent();
    await untilConnected(world);
    const id = send(world, "StartSession", { spec: specOf("web"), generation: 3 });
    expect(await agent.exited).toEqual({ code: null, signal: "SIGKILL" });
    expect(await readFile(effects, "utf8")).toMatch(new RegExp(kill.before));

    for (const name of Object.keys(environment)) delete environment[name];
    await world.startAgent();
    // Whoever lost the answer sends the command again.
    await untilConnected(world);
    send(world, "StartSession", { spec: specOf("web"), generation: 3 }, { id });
    expect(await answerOf(world, id)).toBe(kill.answer);
    if (kill.runs > 0) await world.untilState("web", "running");
    expect(world.workloadPids()).toHaveLength(kill.runs);
    expect(await ask(world, "StartSession", { spec: specOf("web"), generation: 3 })).toBe(
      kill.runs > 0 ? "ok already" : "ok started",
    );
  },
);
