import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { sessionViewSchema } from "../src/contract/fleet/session.ts";
import { type ContainerDaemon, dockerRefusal, startDocker } from "./container-daemon.ts";
import { LISTENER, smallSession } from "./container-engine-world.ts";
import { createSessionWorld } from "./container-session-world.ts";
import { freePort } from "./free-port.ts";
import { openImageRegistry } from "./image-registry.ts";
import { createRemoteWorld, until } from "./remote-world.ts";

const title =
  dockerRefusal === undefined ? "sessions on a real Docker Engine" : `sessions on Docker (skipped: ${dockerRefusal})`;
/** Takes datagrams on port 5353. */
const SINK = [
  "/usr/bin/perl",
  "-e",
  `use IO::Socket::INET; $SIG{TERM} = sub { exit 0 };
$s = IO::Socket::INET->new(LocalPort => 5353, Proto => "udp") or die $!;
while (defined $s->recv($m, 100)) {}`,
];
const SLEEPER = ["/usr/bin/perl", "-e", "$SIG{TERM} = sub { exit 0 }; sleep 1 while 1"];

describe.skipIf(dockerRefusal !== undefined).concurrent(title, { timeout: 120_000 }, () => {
  let daemon: ContainerDaemon | undefined;
  beforeAll(async () => {
    daemon = await startDocker();
  });
  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]();
  });
  const sessionOf = (id: string, wish: Partial<Parameters<typeof smallSession>[1]> = {}) =>
    smallSession(id, { image: daemon?.image ?? "", script: SLEEPER, ...wish });

  test("an agent that is killed finds each session as it is: running, standing still, asleep, ended", async () => {
    if (daemon === undefined) return expect.unreachable();
    await using world = await createSessionWorld("docker", daemon);
    await world.startAgent();
    const asleep = { state: "hibernated", turn: 1 } as const;
    const frozen = sessionOf("kill-frozen");
    const once = sessionOf("kill-once", {
      script: ["/usr/bin/sh", "-c", "while [ ! -e /tmp/x ]; do sleep 0.1; done; exit 4"],
    });
    const sessions = [
      sessionOf("kill-running"),
      { ...frozen, spec: { ...frozen.spec, hibernation: "frozen" as const } },
      sessionOf("kill-asleep"),
      { ...once, spec: { ...once.spec, restart: "never" as const } },
    ];
    world.server.putStreams(...sessions);
    const before = await Promise.all(sessions.map(({ id }) => world.untilState(id, "running")));
    world.server.putStreams(...sessions.slice(1, 3).map((session) => ({ ...session, power: asleep })));
    await Promise.all(["kill-frozen", "kill-asleep"].map((id) => world.untilState(id, "hibernated")));
    await world.killAgent("SIGKILL");
    const run = { AttachStdout: false, Cmd: ["/usr/bin/touch", "/tmp/x"] };
    const exec = await daemon.call("POST", "/v1.41/containers/sluice-kill-once/exec", run);
    const execId = typeof exec === "object" && exec !== null && "Id" in exec ? String(exec.Id) : "";
    await daemon.call("POST", `/v1.41/exec/${execId}/start`, { Detach: true });
    await daemon.call("POST", "/v1.41/containers/sluice-kill-once/wait");

    await world.startAgent();
    expect(await world.untilState("kill-running", "running")).toMatchObject({
      restarts: 0,
      session: { instance: before[0]?.session?.instance },
    });
    expect(await world.untilState("kill-frozen", "hibernated")).toMatchObject({
      session: { sleep: { depth: "frozen" } },
    });
    expect(await world.untilState("kill-asleep", "hibernated")).toMatchObject({
      session: { sleep: { depth: "stopped" } },
    });
    expect(await world.untilState("kill-once", "ended")).toMatchObject({ lastExit: { code: 4 } });

    const awake = { state: "running", turn: 2 } as const;
    world.server.putStreams(...sessions.slice(1, 3).map((session) => ({ ...session, power: awake })));
    for (const at of [1, 2]) {
      const woken = await world.untilState(sessions[at]?.id ?? "", "running");
      expect([woken.restarts, woken.session?.instance]).toEqual([0, before[at]?.session?.instance]);
    }
  });

  test("an engine that is away is waited for, and what it ran all the time is taken over when it answers", async () => {
    if (daemon === undefined) return expect.unreachable();
    const directory = mkdtempSync(join(tmpdir(), "sluice-late-"));
    const socketPath = join(directory, "late.sock");
    try {
      await using world = await createSessionWorld("docker", { socketPath });
      await world.startAgent();
      world.server.putStreams(sessionOf("late"));
      const waiting = await world.untilState("late", "waiting");
      expect(JSON.stringify(waiting)).toContain(`waits for Docker Engine at ${socketPath}: nothing listens there`);
      symlinkSync(daemon.socketPath, socketPath);
      const first = await world.untilState("late", "running");
      expect(first.restarts).toBe(0);

      await world.killAgent("SIGKILL");
      rmSync(socketPath);
      await world.startAgent();
      await world.untilState("late", "waiting");
      symlinkSync(daemon.socketPath, socketPath);
      const second = await world.untilState("late", "running");
      expect([second.restarts, second.session?.instance]).toEqual([0, first.session?.instance]);
      expect(world.agent()?.output()).toContain("Adopted late (container ");
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test("an agent that is killed while it fetches an image begins again, and there is one container", async () => {
    if (daemon === undefined) return expect.unreachable();
    const directory = mkdtempSync(join(tmpdir(), "sluice-slow-"));
    const { promise: until, resolve: goOn } = Promise.withResolvers<void>();
    try {
      for (const name of ["usr", "etc", "tmp", "proc", "sys", "dev"]) mkdirSync(join(directory, name));
      for (const name of ["bin", "lib", "lib64"]) symlinkSync(`usr/${name}`, join(directory, name));
      const layer = execFileSync("tar", ["-C", directory, "-c", "."]);
      using registry = await openImageRegistry(layer, { until });
      await using world = await createSessionWorld("docker", daemon);
      await world.startAgent();
      world.server.putStreams(sessionOf("slow", { image: `${registry.host}/team/slow:1` }));
      const isFetching = () => registry.asked.some((line) => line.startsWith("GET ") && line.includes("/blobs/"));
      await world.until(isFetching, "the image is being fetched");
      expect((await world.untilState("slow", "starting")).restarts).toBe(0);
      await world.killAgent("SIGKILL");
      await world.startAgent();
      await world.untilState("slow", "starting");
      goOn();
      await world.untilState("slow", "running");
      const filters = encodeURIComponent(JSON.stringify({ label: ["sluice.workload=slow"] }));
      expect(await daemon.call("GET", `/v1.41/containers/json?all=true&filters=${filters}`)).toHaveLength(1);
    } finally {
      goOn();
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test("datagrams to a container keep it awake, while one that nobody talks to falls asleep", async () => {
    if (daemon === undefined) return expect.unreachable();
    await using world = await createSessionWorld("docker", daemon);
    await world.startAgent();
    const deaf = (id: string) => {
      const session = sessionOf(id, { script: SINK, ports: [{ port: 5353, protocol: "udp" }] });
      return { ...session, spec: { ...session.spec, idleTimeout: "10s" } };
    };
    world.server.putStreams(deaf("used"), deaf("unused"));
    const { hostPort = 0 } = (await world.untilState("used", "running")).session?.endpoints?.[0] ?? {};
    const socket = createSocket("udp4");
    const talking = new AbortController();
    const talk = (async () => {
      while (!talking.signal.aborted) {
        socket.send("word", hostPort, "127.0.0.1");
        await systemClock.delay(500, talking.signal).catch(() => undefined);
      }
    })();
    try {
      const slept = await world.untilState("unused", "hibernated");
      expect(slept.session?.sleep?.because).toBe("idle");
      const used = await world.workload("used");
      expect([used?.state, used?.session?.idle?.lastActivity.source]).toEqual(["running", "datagram"]);
    } finally {
      talking.abort();
      await talk;
      socket.close();
    }
  });

  test("what cannot run says why, holds up nobody, and is tried again with longer and longer pauses", async () => {
    if (daemon === undefined) return expect.unreachable();
    await using world = await createSessionWorld("docker", daemon);
    await world.startAgent();
    const hostPort = await freePort();
    world.server.putStreams(
      sessionOf("loop", { script: ["/usr/bin/sh", "-c", "exit 3"] }),
      sessionOf("nowhere", { image: "localhost:1/nothing/here:1" }),
      sessionOf("port-a", { script: LISTENER, ports: [{ port: 8080, hostPort }] }),
    );
    const nowhere = await world.until(async () => {
      const found = await world.workload("nowhere");
      return found?.cause?.includes("could not be fetched") ? found : undefined;
    }, "the image is named");
    expect(nowhere).toMatchObject({ state: "waiting", cause: expect.stringContaining("localhost:1/nothing/here:1") });
    await world.until(async () => ((await world.workload("loop"))?.restarts ?? 0) >= 2, "it was started again");
    expect((await world.workload("loop"))?.lastExit).toMatchObject({ code: 3, class: "failed" });
    world.server.putStreams(sessionOf("port-b", { script: LISTENER, ports: [{ port: 8080, hostPort }] }));
    const blocked = await world.untilState("port-b", "waiting");
    expect(JSON.stringify(blocked)).toContain("port-a");
    // Whoever has the port lets go: the other gets it.
    world.server.set.remove(["port-a"]);
    await world.untilState("port-b", "running");
  });

  test("a container's port on loopback is reached through the hub, and after a wake at its new one", async () => {
    if (daemon === undefined) return expect.unreachable();
    await using world = await createRemoteWorld({
      agentArguments: [
        ...["--sessions-platforms", "docker", "--sessions-docker-socket", daemon.socketPath],
        ...["--policy-images", "*", "--policy-session-mounts", "/usr"],
      ],
    });
    const { id, spec } = sessionOf("app-far", { script: LISTENER, ports: [{ port: 8080, name: "web" }] });
    await world.hub().call("POST", "/v1/sessions", { ...spec, id, box: world.boxId });
    const viewOf = async () => sessionViewSchema.parse(await world.hub().call("GET", `/v1/sessions/${id}`));
    const untilState = (state: string) => until(async () => (await viewOf()).state === state, `it is ${state}`, 60_000);
    await untilState("running");
    const run = world.start(["session", "forward", id, "web", "--wake", "--json"]);
    let out = "";
    run.child.stdout.on("data", (bytes: Buffer) => {
      out += bytes.toString();
    });
    await until(() => out.includes("\n") || run.child.exitCode !== null, "it listens", 30_000);
    const { forwards } = JSON.parse(out.split("\n")[0] ?? "");
    const port = Number(String(forwards[0]?.local[0]).split(":").at(-1));
    const read = async () => {
      let text = "";
      for await (const piece of connect({ host: "127.0.0.1", port })) text += String(piece);
      return text;
    };
    expect(await read()).toBe("here");
    const before = (await viewOf()).session?.endpoints?.[0]?.hostPort;
    await world.hub().call("POST", `/v1/sessions/${id}/hibernate`);
    await untilState("hibernated");
    expect(await read()).toBe("here");
    await untilState("running");
    expect((await viewOf()).session?.endpoints?.[0]?.hostPort).not.toBe(before);
    run.child.kill("SIGINT");
    expect((await run.ended).code).toBe(0);
  });
});
