import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { WorkloadStatus } from "../contract/local-status.ts";
import type { SessionFacts } from "../contract/session-status.ts";
import type { SessionWorkload } from "../contract/workload.ts";
import { createFleetWorld, type FleetWorld } from "./fleet-world.fake.ts";

const FACTS: SessionFacts = {
  platforms: [
    { platform: "docker", isReady: true, version: "20.10.24" },
    { platform: "process", isReady: true },
  ],
  cores: 4,
  memoryBytes: 4e9,
  maxSessions: 10,
};
let world: FleetWorld;
let said: Partial<WorkloadStatus>;

/** What an agent would say of a session, but for what a test has it say. */
function statusOf({ id, spec, power = { state: "running", turn: 0 } }: SessionWorkload): WorkloadStatus {
  const at = new Date().toISOString();
  const isAwake = power.state === "running";
  const [port] = spec.template.ports ?? [];
  const endpoint = {
    name: port?.name ?? "80",
    url: `http://192.0.2.1:${32_000 + power.turn}/`,
    port: port?.port ?? 80,
    protocol: "tcp",
    address: "192.0.2.1",
    hostPort: 32_000 + power.turn,
  } as const;
  return {
    id,
    kind: "session",
    description: "",
    state: isAwake ? "running" : "hibernated",
    generation: 1,
    restarts: 0,
    since: at,
    cpuPercent: 12.4,
    session: {
      user: spec.user,
      platform: spec.template.image === undefined ? "process" : "docker",
      turn: power.turn,
      memoryBytes: 64 * 2 ** 20,
      wakeMs: { stopped: 640 },
      ...(isAwake && port !== undefined ? { endpoints: [endpoint] } : {}),
      ...(isAwake
        ? {
            idle: {
              lastActivity: { at, source: "connection" },
              hibernatesAt: new Date(Date.now() + 1.8e6).toISOString(),
            },
          }
        : { sleep: { depth: "stopped", since: at, because: "asked" } }),
    },
    ...said,
  };
}

const run: FleetWorld["run"] = (...args) => world.run(...args);
const report: FleetWorld["report"] = (...args) => world.report(...args);

beforeEach(async () => {
  said = {};
  world = await createFleetWorld({
    boxes: ["north-1", "studio"].map((id) => ({ id, labels: { site: id } })),
    facts: { sessions: FACTS },
    statusOf: (workload) => (workload.kind === "session" ? statusOf(workload) : undefined),
    env: { API_KEY: "hunter-22" },
    columns: 150,
  });
});
afterEach(() => world[Symbol.asyncDispose]());

const START = ["session", "start", "web", "--image", "nginx:1.27", "--port", "web=80/http", "--user", "anna"];

test("start tells where it goes and its address; ls, show, hibernate, wake, touch and stop do what they say", async () => {
  world.live("north-1", "studio");
  const flags = ["--box", "north", "--name", "Lobby site", "--env", "API_KEY", "--memory", "256Mi", "--idle", "30m"];
  const start = await run(...START, ...flags, "--wait");
  expect(start).toMatchObject({ exitCode: 0, err: "" });
  expect(start.out).toMatch(/session web is placed on north-1: /);
  expect(start.out).toMatch(/session web is running on north-1\n {2}web: http:\/\/192\.0\.2\.1:32000\/\n$/);
  expect((await run("session", "ls")).out).toMatch(
    /web +Lobby site +running .*north-1 +anna +12 % +64 MiB +(29 min|30 min).*http:\/\/192\.0\.2\.1:32000\//,
  );
  expect(JSON.parse((await run("session", "ls", "--user", "anna", "--json")).out).items).toHaveLength(1);
  expect((await run("session", "ls", "--user", "bob")).out).toBe("no session\n");
  const shown = (await run("session", "show", "lobby s")).out;
  expect(shown).toMatch(/^endpoint +web: http:\/\/192\.0\.2\.1:32000\/$/m);
  expect(shown).toMatch(/^idle +hibernates in (29|30) min.*; last used 0 s ago by a connection$/m);
  expect(shown).toMatch(/^wakes in +640 ms from stopped$/m);
  expect(shown).toMatch(/^environment +API_KEY=\*\*\*$/m);
  expect(shown).not.toContain("hunter-22");

  expect(await run("session", "touch", "web")).toMatchObject({ exitCode: 0, out: "session web counts as used\n" });
  expect(await run("session", "hibernate", "web", "--wait")).toMatchObject({
    exitCode: 0,
    out: "session web is hibernated\n",
  });
  expect((await run("session", "show", "web")).out).toMatch(/^sleeps +stopped for .*because it was asked to$/m);
  const woken = await run("session", "wake", "web", "--wait");
  expect(woken.out).toBe("session web is running\n  web: http://192.0.2.1:32002/\n");
  expect(await run("completion", "words", "--", "session", "stop", "we")).toMatchObject({ out: "web\n" });
  expect(await run("session", "stop", "web", "--wait")).toMatchObject({ exitCode: 0, out: "session web is stopped\n" });
  expect((await run("session", "show", "web")).exitCode).toBe(66);
});

test("a dry run says where it would run and why not elsewhere, and makes nothing", async () => {
  const { exitCode, out } = await run(...START, "--select", "site=studio", "--dry-run");
  expect(exitCode).toBe(0);
  expect(out).toMatch(/^studio: .*\n {2}not north-1: its labels do not match site=studio\n$/);
  expect((await run(...START, "--select", "site=none", "--dry-run")).out).toMatch(/^no box takes it: /);
  expect((await run("session", "ls")).out).toBe("no session\n");
});

test("what does not run in time is told with its reason and stays asked for; one that is refused is not waited for", async () => {
  const slow = await run(...START, "--box", "studio", "--wait", "1s");
  expect(slow.exitCode).toBe(75);
  expect(slow.err).toMatch(/session web is pending on studio: .*the wish itself stays/);
  expect((await run("session", "ls", "--state", "pending")).out).toContain("web");
  said = { state: "refused", cause: "policy.images does not allow nginx:1.27" };
  world.live("studio");
  expect(await run(...START, "--box", "studio", "--replace", "--wait")).toMatchObject({
    exitCode: 77,
    err: expect.stringContaining("session web is refused on studio: policy.images does not allow nginx:1.27"),
  });
});

test("a box shows what it can run sessions with", async () => {
  const podman = { platform: "podman", isReady: false, reason: "nothing listens there" };
  await report("studio", { sessions: { platforms: [...FACTS.platforms, podman] } });
  const { out } = await run("box", "show", "studio");
  expect(out).toMatch(/^platform +docker ready, 20\.10\.24$/m);
  expect(out).toMatch(/^platform +podman away, nothing listens there$/m);
});

test("an exit for want of memory is told apart", async () => {
  const at = "2026-01-15T10:30:45.000Z";
  said = { state: "waiting", nextStartInSeconds: 4, lastExit: { at, code: 137, signal: null, class: "oom-killed" } };
  world.live("north-1");
  await run(...START, "--box", "north-1", "--wait", "2s");
  const { out } = await run("session", "show", "web");
  expect(out).toMatch(/^state +failing/m);
  expect(out).toMatch(/^last exit +out of memory: oom-killed \(status 137\) at 2026-/m);
});

test("a program of the box, a file, variables of a file, and ids that are made", async () => {
  world.live("north-1", "studio");
  await writeFile(join(world.home, "app.env"), "MODE=dark\n");
  const made = await run(
    "session",
    "start",
    "--env-file",
    join(world.home, "app.env"),
    "--json",
    "--",
    "/bin/sleep",
    "-1",
  );
  expect(JSON.parse(made.out)).toMatchObject({
    id: "sleep",
    user: "operator",
    wish: { template: { command: ["/bin/sleep", "-1"], env: { MODE: "dark" } } },
  });
  expect(JSON.parse((await run("session", "start", "--json", "--", "/bin/sleep", "2")).out).id).toBe("sleep-2");
  expect(await run("session", "start", "sleep", "--", "/bin/sleep", "3")).toMatchObject({ exitCode: 75 });
  const file = join(world.home, "web.yaml");
  await writeFile(file, "id: web\nuser: anna\ntemplate: {image: nginx, prots: []}\n");
  expect(await run("session", "start", "-f", file)).toMatchObject({
    exitCode: 78,
    err: expect.stringMatching(/web\.yaml:3: template\.prots: is not a key that a session has; did you mean ports\?/),
  });
  await writeFile(file, "id: web\nuser: anna\ntemplate: {image: nginx, ports: [{port: 80}]}\n");
  const { out } = await run("session", "start", "-f", file, "--image", "nginx:2", "--json");
  expect(JSON.parse(out).wish).toMatchObject({ user: "anna", template: { image: "nginx:2", ports: [{ port: 80 }] } });
  expect(await run("session", "start", "web2", "sleep", "1")).toMatchObject({
    exitCode: 64,
    err: expect.stringContaining('COMMAND: given "sleep" after the id'),
  });
});

test("a fleet's file makes, changes and with --prune stops sessions, and shows first what differs, secrets masked", async () => {
  const file = join(world.home, "fleet.yaml");
  const apply = async (text: string, ...flags: readonly string[]) => {
    await writeFile(file, text);
    return run("apply", "-f", file, "-y", ...flags);
  };
  const first =
    "sessions:\n  kiosk: {user: lobby, box: north-1, template: {image: nginx, env: {API_KEY: one, MODE: dark}}, idleTimeout: 30m}\n";
  const tried = await apply(first, "--dry-run");
  expect(tried.out).toContain("+ session/kiosk");
  expect(tried.out).not.toContain("one");
  expect((await run("session", "ls")).out).toBe("no session\n");
  expect(await apply(first)).toMatchObject({ exitCode: 0, err: "", out: expect.stringContaining("1 change made.") });
  expect((await apply(first)).out).toBe("Nothing to change.\n");
  expect((await apply(first.replace("30m", "1h"))).out).toContain('~ session/kiosk\n    idleTimeout: "30m" → "1h"');
  expect((await apply(first.replace("30m", "1h").replace("one", "two"))).out).toContain(
    "~ session/kiosk  a secret that is not shown",
  );
  expect(await apply("sessions:\n  kiosk: {user: lobby}\n")).toMatchObject({
    exitCode: 78,
    err: expect.stringContaining("fleet.yaml:2"),
  });
  expect((await apply("sessions: {}\n", "--prune")).out).toContain("- session/kiosk  nginx for lobby");
  expect(JSON.parse((await run("session", "ls", "--json")).out).items[0]?.state ?? "stopping").toBe("stopping");
});
