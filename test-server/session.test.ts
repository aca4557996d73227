import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { createProcessTable } from "../src/base/process-table.ts";
import type { SessionPower } from "../src/contract/session-spec.ts";
import { createSessionWorld, sessionOf } from "./session-process-world.ts";

const table = createProcessTable();
const ticksOf = (pid = -1) => table.stat(pid)?.cpuTicks;
const asleep = (turn: number): SessionPower => ({ state: "hibernated", turn });
const awake = (turn: number): SessionPower => ({ state: "running", turn });

test.concurrent("sessions sleep and wake by depth, across agents that are killed in each state, and keep their files", async () => {
  await using world = await createSessionWorld([], { eventsPath: "/events?form=simple" });
  await world.startAgent();
  const volumes = [{ name: "data", path: "/data" }];
  // What becomes of them is changed while it runs.
  const fates = (spared: "keep" | "delete", late: "keep" | "delete") => [
    ...volumes,
    { name: "spared", path: "/spared", onStop: spared },
    { name: "late", path: "/late", onStop: late },
  ];
  const cold = (turn: number, power = awake, own = fates("delete", "keep")) =>
    sessionOf({ id: "cold", power: power(turn), volumes: own });
  const warm = (turn: number, power = awake) =>
    sessionOf({ id: "warm", power: power(turn), hibernation: "frozen", does: "busy", volumes });
  world.server.putStreams(cold(1), warm(1));
  const [before, first] = [await world.untilState("warm", "running"), await world.untilState("cold", "running")];
  expect(await world.ask("cold", "/env?name=SESSION_ID")).toBe("cold");
  for (const id of ["cold", "warm"]) await world.ask(id, `/write?text=of-${id}`);

  await world.killAgent("SIGKILL");
  await world.startAgent();
  expect((await world.untilState("warm", "running")).pid).toBe(before.pid);
  expect((await world.untilState("cold", "running")).pid).toBe(first.pid);

  world.server.putStreams(cold(2, asleep), warm(2, asleep));
  const frozen = await world.untilState("warm", "hibernated");
  expect(frozen.session).toMatchObject({ turn: 2, sleep: { depth: "frozen", because: "asked" } });
  expect((await world.untilState("cold", "hibernated")).session).toMatchObject({
    turn: 2,
    sleep: { depth: "stopped" },
  });
  expect(world.workloadPids()).toEqual([before.pid]);
  const ticks = ticksOf(before.pid);
  await systemClock.delay(1000);
  expect(ticksOf(before.pid)).toBe(ticks);

  await world.killAgent("SIGKILL");
  await world.startAgent();
  expect((await world.untilState("warm", "hibernated")).pid).toBe(before.pid);
  expect((await world.untilState("cold", "hibernated")).session?.sleep?.depth).toBe("stopped");
  expect(ticksOf(before.pid)).toBe(ticks);

  world.server.putStreams(cold(3), warm(3));
  const woken = await world.untilState("warm", "running");
  expect(woken).toMatchObject({ pid: before.pid, session: { turn: 3, wakeMs: { frozen: expect.any(Number) } } });
  const restarted = await world.untilState("cold", "running");
  expect(restarted).toMatchObject({ restarts: 0, session: { turn: 3, wakeMs: { stopped: expect.any(Number) } } });
  for (const id of ["cold", "warm"]) expect(await world.ask(id, "/read")).toBe(`of-${id}`);

  world.server.putStreams(cold(3, awake, fates("keep", "delete")));
  const rules = join(world.stateDir, "volume_rules.json");
  await world.until(() => readFileSync(rules, "utf8").includes('["late","delete"]'), "the change is stored");
  await world.killAgent("SIGKILL");
  await world.startAgent();
  expect((await world.untilState("cold", "running")).pid).toBe(restarted.pid);

  world.server.set.remove(["cold", "warm"]);
  await world.until(() => world.workloadPids().length === 0, "both are stopped");
  await world.until(() => !existsSync(join(world.stateDir, "workloads/cold")), "its files are gone");
  expect(readdirSync(join(world.stateDir, "volumes/cold")).sort()).toEqual(["data", "spared"]);
}, 120_000);

test.concurrent("what may run once ends and stays so, what fails comes back later and later, and who holds too much is named", async () => {
  await using world = await createSessionWorld();
  await world.startAgent();
  const once = (turn: number) =>
    sessionOf({ id: "once", does: "exit 4", hasPort: false, restart: "never", power: awake(turn) });
  const gone = sessionOf({ id: "gone", hasPort: false, restart: "never" });
  const done = sessionOf({ id: "done", does: "exit 0", hasPort: false, restart: "on-failure" });
  const failing = sessionOf({ id: "failing", does: "exit 3", hasPort: false, restart: "on-failure" });
  const greedy = sessionOf({ id: "greedy", does: "hold 400", hasPort: false, resources: { memory: "200Mi" } });
  world.server.putStreams(once(1), gone, done, failing, greedy);
  const ended = await world.untilState("once", "ended");
  expect(ended).toMatchObject({ cause: "it has ended: exit 4, failed", lastExit: { code: 4, class: "failed" } });
  expect((await world.untilState("done", "ended")).session?.ended?.reason).toBe("exit 0, completed");
  await world.until(async () => ((await world.workload("failing"))?.restarts ?? 0) >= 2, "failing comes back");
  await world.until(
    async () => (await world.workload("greedy"))?.lastExit?.class === "over-memory",
    "greedy is stopped for its memory",
  );

  const { pid = -1 } = await world.untilState("gone", "running");
  await world.killAgent("SIGKILL");
  process.kill(pid, "SIGKILL");
  await world.startAgent();
  expect((await world.untilState("gone", "ended")).session?.ended?.reason).toBe("it ended while no agent looked");
  expect((await world.workload("once"))?.state).toBe("ended");
  expect((await world.workload("once"))?.session?.ended?.at).toBe(ended.session?.ended?.at);
  const { generation } = ended;
  world.server.putStreams(once(2));
  await world.until(async () => ((await world.workload("once"))?.generation ?? 0) > generation, "once runs again");
}, 120_000);

test.concurrent("a session that nothing uses falls asleep, while a connection, a busy processor or a call keeps others awake", async () => {
  await using world = await createSessionWorld();
  await world.startAgent();
  const idle = { idleTimeout: "20s", power: awake(1) } as const;
  const unused = { ...idle, id: "unused", idleTimeout: "10s", hibernation: "frozen" } as const;
  world.server.putStreams(
    sessionOf(unused),
    sessionOf({ id: "held", ...idle }),
    sessionOf({ id: "batch", ...idle, does: "busy", hasPort: false, activity: { cpuPercent: 5 } }),
    sessionOf({ id: "called", ...idle }),
    sessionOf({ id: "counted", ...idle, idleTimeout: "60s" }),
    sessionOf({ id: "timed", maxDuration: "10s", hasPort: false }),
  );
  await world.untilState("held", "running");
  const socket = await world.hold("held");
  await world.untilState("called", "running");
  const calling = new AbortController();
  const calls = (async () => {
    while (!calling.signal.aborted) {
      await world.touch("called");
      await systemClock.delay(1000, calling.signal).catch(() => undefined);
    }
  })();
  const shown = await world.untilState("unused", "running");
  expect(shown.session?.idle?.hibernatesAt).toEqual(expect.any(String));
  const slept = await world.untilState("unused", "hibernated");
  expect(slept.session).toMatchObject({ turn: 1, sleep: { depth: "frozen", because: "idle" } });
  expect((await world.untilState("timed", "ended")).session?.ended?.reason).toContain("maxDuration is 10s");
  for (const id of ["held", "batch", "called"]) expect((await world.workload(id))?.state, id).toBe("running");
  expect((await world.workload("held"))?.session).toMatchObject({ openConnections: 1 });

  calling.abort();
  await calls;
  const idleOf = async (id: string) => (await world.untilState(id, "running")).session?.idle;
  const counted = await idleOf("counted");
  await world.killAgent("SIGKILL");
  await world.startAgent();
  const counts = await idleOf("counted");
  expect(counts?.lastActivity.source).toBe(counted?.lastActivity.source);
  // Of its use no more than ten seconds are forgotten, though more than that have passed since.
  const laterMs = Date.parse(counts?.hibernatesAt ?? "") - Date.parse(counted?.hibernatesAt ?? "");
  expect(laterMs).toBeGreaterThanOrEqual(-500);
  expect(laterMs).toBeLessThan(11_000);
  world.server.putStreams(sessionOf(unused));
  expect((await world.untilState("unused", "hibernated")).session?.sleep?.because).toBe("idle");
  socket.destroy();
  await world.untilState("held", "hibernated");
  await expect(world.touch("held")).rejects.toThrow("no session held is awake on this box");
  world.server.putStreams(sessionOf({ ...unused, power: awake(2) }));
  expect((await world.untilState("unused", "running")).session?.turn).toBe(2);
}, 120_000);

test.concurrent("a box says which of its rules keeps a session from running", async () => {
  await using world = await createSessionWorld(["--sessions-max", "2"]);
  await world.startAgent();
  const command = ["/usr/bin/env", "true"];
  world.server.putStreams(
    sessionOf({ id: "a", hasPort: false }),
    sessionOf({ id: "b", hasPort: false, template: { command } }),
    sessionOf({ id: "c", hasPort: false }),
    sessionOf({ id: "d", hasPort: false }),
    sessionOf({ id: "e", hasPort: false, platform: "docker", template: { image: "nginx" } }),
    sessionOf({ id: "f", hasPort: false, volumes: [{ name: "etc", path: "/etc", hostPath: "/etc" }] }),
  );
  await world.untilState("a", "running");
  await world.untilState("c", "running");
  const causes = await Promise.all(
    ["b", "d", "e", "f"].map(async (id) => (await world.untilState(id, "refused")).cause),
  );
  expect(causes).toEqual([
    expect.stringMatching(/^template\.command\[0\]: given \/usr\/bin\/env; allowed: /),
    "the box has 2 already; allowed: 2",
    "template.image: given nginx; allowed: none",
    "volumes[0].hostPath: given /etc; allowed: none",
  ]);
});
