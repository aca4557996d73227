import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { StopLadder } from "../src/agent/runtime/run-handle.ts";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import type { ContainerDaemon } from "./container-daemon.ts";
import {
  type EngineUnderTest,
  type EngineWish,
  markOf,
  openEngineUnderTest,
  smallSession,
} from "./container-engine-world.ts";

const LADDER: StopLadder = [
  { signal: "SIGTERM", graceMs: 5000, toGroup: false },
  { signal: "SIGKILL", graceMs: 5000, toGroup: true },
];
/** Says who it is on port 8080, counts its starts in `/tmp`, and ends well when it is asked to. */
const APPLICATION = `use IO::Socket::INET; $SIG{TERM} = sub { exit 0 };
open(F, ">>/tmp/starts"); print F "x"; close F; $n = -s "/tmp/starts";
$s = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die $!;
while ($c = $s->accept) { print $c "$ENV{SESSION_ID} $n"; close $c }`;
/** Podman takes seconds for each call: there the short form looks at the container that was made and not started. */
const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const BOUNDARIES = { docker: { first: 1, step: 1 }, podman: isLong ? { first: 1, step: 1 } : { first: 3, step: 2 } };
const SLEEPER = ["/usr/bin/perl", "-e", "$SIG{TERM} = sub { exit 0 }; sleep 1 while 1"];

/** What Docker and Podman must do alike. */
export function defineEngineTests(platform: "docker" | "podman", running: () => ContainerDaemon | undefined): void {
  const daemonNow = (): ContainerDaemon => {
    const daemon = running();
    if (daemon === undefined) throw new AppError("unavailable", "the daemon did not start");
    return daemon;
  };
  const stateDirectory = () => {
    const directory = mkdtempSync(join(tmpdir(), "sluice-engine-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    return directory;
  };
  const open = async (stateDir: string, more: Pick<EngineWish, "around"> = {}): Promise<EngineUnderTest> => {
    const box = await openEngineUnderTest({ platform, daemon: daemonNow(), stateDir, ...more });
    await box.untilReady();
    return box;
  };
  const sessionOf = (id: string, wish: Partial<Parameters<typeof smallSession>[1]> = {}) =>
    smallSession(id, { image: daemonNow().image, script: SLEEPER, ...wish });
  const containersOf = async (id: string) => {
    const filters = encodeURIComponent(JSON.stringify({ label: [`sluice.workload=${id}`] }));
    const list = await daemonNow().call("GET", `/v1.41/containers/json?all=true&filters=${filters}`);
    return Array.isArray(list) ? list.length : -1;
  };

  describe.concurrent("at once", { timeout: 120_000 }, () => {
    test("a session answers on its port, stands still and goes on, and wakes with its files", async () => {
      const stateDir = stateDirectory();
      await using box = await open(stateDir);
      const volumes = [
        { name: "gone", path: "/gone", onStop: "delete" },
        { name: "kept", path: "/kept" },
        { name: "later", path: "/later" },
        { name: "spared", path: "/spared", onStop: "delete" },
      ] as const;
      const ports = [{ port: 8080 }, { port: 53, protocol: "udp" }] as const;
      const workload = sessionOf("life", {
        script: ["/usr/bin/perl", "-e", APPLICATION],
        ports: [...ports],
        volumes: [...volumes],
      });
      const run = await box.start(workload);
      const placed = await run.endpoints();
      expect(placed.map(({ port, protocol, address }) => `${address} ${port}/${protocol}`).sort()).toEqual([
        "127.0.0.1 53/udp",
        "127.0.0.1 8080/tcp",
      ]);
      const portOf = (list: typeof placed) => list.find(({ protocol }) => protocol === "tcp")?.hostPort ?? 0;
      expect(await untilSaid(portOf(placed))).toBe("life 1");
      expect(await run.usage()).toMatchObject({ cpuMs: expect.any(Number), memoryBytes: expect.any(Number) });

      await run.freeze();
      expect(await run.isFrozen()).toBe(true);
      await run.thaw();
      expect(await run.isFrozen()).toBe(false);

      await run.freeze();
      expect(await run.stop(LADDER)).toBe("gone");
      expect(await run.exited).toMatchObject({ code: 0, signal: null });

      const woken = await box.start(workload, 2);
      expect([woken.instance, woken.mark.generation]).toEqual([run.instance, 1]);
      expect(await untilSaid(portOf(await woken.endpoints()))).toBe("life 2");

      await woken.stop(LADDER);
      // Said after they were made.
      box.rules.set("life", new Map([["later", "delete"] as const, ["spared", "keep"] as const]));
      box.unkept.add("life");
      await box.engine.discard("life");
      expect(await containersOf("life")).toBe(0);
      expect(JSON.stringify(await daemonNow().call("GET", "/v1.41/networks"))).not.toContain('"sluice-life"');
      const left = JSON.stringify(await daemonNow().call("GET", "/v1.41/volumes"));
      const isLeft = ["gone", "kept", "later", "spared"].map((name) => left.includes(`sluice-life-${name}`));
      expect(isLeft).toEqual([false, true, false, true]);
    });

    test("the next agent finds what runs, what stands still, and the end of what has ended meanwhile", async () => {
      const stateDir = stateDirectory();
      const ids = ["next-running", "next-frozen", "next-ended"] as const;
      {
        await using box = await open(stateDir);
        const [, frozen, ended] = await Promise.all(
          ids.map((id) =>
            box.start(sessionOf(id, id === "next-ended" ? { script: ["/usr/bin/sh", "-c", "sleep 1; exit 7"] } : {})),
          ),
        );
        await frozen?.freeze();
        await ended?.exited;
      }
      await using box = await open(stateDir);
      const found = new Map((await box.engine.sweep()).map((run) => [run.mark.workloadId, run]));
      expect([...found.keys()].sort()).toEqual([...ids].sort());
      expect(found.get("next-running")?.endedAtWallMs).toBeUndefined();
      const running = found.get("next-running")?.adopt();
      expect(running).toMatchObject({ isAdopted: true, mark: markOf(sessionOf("next-running"), 1) });
      const frozen = found.get("next-frozen")?.adopt();
      expect(frozen !== undefined && "isFrozen" in frozen).toBe(true);
      expect(found.get("next-ended")?.endedAtWallMs).toBeGreaterThan(0);
      expect(await found.get("next-ended")?.adopt()?.exited).toMatchObject({ code: 7, isAdopted: true });
      // What stands still takes no signal, and is stopped all the same.
      expect(await Promise.all([running?.stop(LADDER), frozen?.stop(LADDER)])).toEqual(["gone", "gone"]);
      // Another state directory is another agent's.
      await using other = await open(stateDirectory());
      expect(await other.engine.sweep()).toEqual([]);
    });

    test("whatever call the agent dies after, the next start makes no second container", async () => {
      const stateDir = stateDirectory();
      const workload = sessionOf("edge", { volumes: [{ name: "own", path: "/own" }] });
      let isOver = false;
      for (let calls = BOUNDARIES[platform].first; !isOver; calls += BOUNDARIES[platform].step) {
        expect(calls).toBeLessThan(20);
        let asked = 0;
        let isCounting = false;
        await using dying = await open(stateDir, {
          around: (real) => (url, init) => {
            if (isCounting && init.method === "POST") asked += 1;
            // The call that the agent dies in is done by the engine, and its answer is heard by nobody.
            if (isCounting && asked === calls)
              return real(url, init).then(() => Promise.reject(new AppError("cancelled", "dead")));
            return isCounting && asked > calls ? Promise.reject(new AppError("cancelled", "dead")) : real(url, init);
          },
        });
        isCounting = true;
        const died = await dying.start(workload).then(
          () => false,
          () => true,
        );
        isCounting = false;
        isOver = !died;
        await using box = await open(stateDir);
        const run = await box.start(workload, 2);
        expect(await containersOf("edge")).toBe(1);
        expect((await box.engine.sweep()).map(({ label }) => label)).toEqual([run.label]);
        await run.stop([{ signal: "SIGKILL", graceMs: 5000, toGroup: true }]);
        box.unkept.add("edge");
        await box.engine.discard("edge");
      }
    });

    // Podman 4.3 does not tell it: what its monitor notes about it lies elsewhere than where it looks.
    test.skipIf(platform === "podman")(
      "a container that the kernel ended at its memory limit is told apart from one that was killed",
      async () => {
        await using box = await open(stateDirectory());
        const greedy = sessionOf("greedy", { script: ["/usr/bin/tail", "/dev/zero"], resources: { memory: "32Mi" } });
        const [full, plain] = await Promise.all([box.start(greedy), box.start(sessionOf("plain"))]);
        expect(await full.exited).toMatchObject({ signal: "SIGKILL", reason: "oom-killed" });
        plain.signal("SIGKILL");
        const exit = await plain.exited;
        expect([exit.signal, exit.reason]).toEqual(["SIGKILL", undefined]);
      },
    );

    test("an image that is nowhere is named, and nothing is left of the attempt", async () => {
      await using box = await open(stateDirectory());
      const start = box.start(sessionOf("missing", { image: "localhost:1/nothing/here:1" }));
      await expect(start).rejects.toMatchObject({
        code: "not-found",
        message: expect.stringContaining(
          "image localhost:1/nothing/here:1 is not on this box and could not be fetched",
        ),
      });
      expect(await containersOf("missing")).toBe(0);
    });

    test("a port that somebody else has is a conflict that names it, and is had once it is free", async () => {
      await using box = await open(stateDirectory());
      const taker = createServer().listen(0, "127.0.0.1");
      await once(taker, "listening");
      const address = taker.address();
      const hostPort = typeof address === "object" && address !== null ? address.port : 0;
      const workload = sessionOf("port", { ports: [{ port: 8080, hostPort }] });
      await expect(box.start(workload)).rejects.toMatchObject({
        code: "conflict",
        message: expect.stringContaining(String(hostPort)),
      });
      taker.close();
      await once(taker, "close");
      const run = await box.start(workload, 2);
      expect(await run.endpoints()).toMatchObject([{ port: 8080, hostPort }]);
      expect(await containersOf("port")).toBe(1);
    });

    test("a name that a stranger's container has is said, and the stranger is left alone", async () => {
      await using box = await open(stateDirectory());
      const body = { Image: daemonNow().image, Entrypoint: ["/usr/bin/true"], Cmd: [] };
      await daemonNow().call("POST", "/v1.41/containers/create?name=sluice-taken", body);
      await expect(box.start(sessionOf("taken"))).rejects.toMatchObject({
        code: "conflict",
        message: expect.stringMatching(/the name sluice-taken is taken by container \w+, which Sluice did not make/),
      });
      box.unkept.add("taken");
      await box.engine.discard("taken");
      expect(await daemonNow().call("GET", "/v1.41/containers/sluice-taken/json")).toBeTruthy();
    });

    test("other settings get another container, and limits that were changed come at once, or with the next wake", async () => {
      await using box = await open(stateDirectory());
      const first = await box.start(sessionOf("change", { resources: { memory: "64Mi" } }));
      await first.stop(LADDER);
      const larger = await box.start(sessionOf("change", { resources: { memory: "128Mi" } }), 2);
      expect(larger.instance).toBe(first.instance);
      // Podman goes on telling the limit that it was made with.
      expect(memoryLimitOf(larger.networkPid() ?? 0)).toBe(128 * 2 ** 20);
      await larger.limit?.({ memory: "96Mi" });
      expect(memoryLimitOf(larger.networkPid() ?? 0)).toBe(96 * 2 ** 20);
      const other = await box.start(sessionOf("change", { env: { A: "b" } }), 3);
      expect(other.instance).not.toBe(first.instance);
      expect([await containersOf("change"), (await larger.exited).isAdopted]).toEqual([1, false]);
    });

    // Podman clears away no network that a container has, asleep or not.
    test.skipIf(platform === "podman")(
      "a network that was cleared away while a session slept is made anew, and its files stay",
      async () => {
        await using box = await open(stateDirectory());
        const workload = sessionOf("network", {
          script: ["/usr/bin/perl", "-e", APPLICATION],
          ports: [{ port: 8080 }],
        });
        const first = await box.start(workload);
        expect(await untilSaid((await first.endpoints())[0]?.hostPort ?? 0)).toBe("network 1");
        await first.stop(LADDER);
        await daemonNow().call("DELETE", "/v1.41/networks/sluice-network?force=true");
        const woken = await box.start(workload, 2);
        expect(await untilSaid((await woken.endpoints())[0]?.hostPort ?? 0)).toBe("network 2");
      },
    );

    test("what a session that is kept no more has left goes, also when it was discarded by an agent that is gone", async ({
      expect: here,
    }) => {
      const stateDir = stateDirectory();
      {
        await using box = await open(stateDir);
        await (await box.start(sessionOf("forgotten"))).stop(LADDER);
      }
      const box = await openEngineUnderTest({ platform, daemon: daemonNow(), stateDir });
      box.unkept.add("forgotten");
      await using _ = box;
      await here.poll(() => containersOf("forgotten")).toBe(0);
    });
  });
}

/** As the kernel holds it. */
function memoryLimitOf(pid: number): number {
  const groups = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n");
  const ofMemory = groups.find((line) => /^\d+:memory:/.test(line));
  const path = (ofMemory ?? groups.find((line) => line.startsWith("0::")) ?? "").split(":")[2] ?? "";
  const file =
    ofMemory === undefined ? `/sys/fs/cgroup${path}/memory.max` : `/sys/fs/cgroup/memory${path}/memory.limit_in_bytes`;
  return Number(readFileSync(file, "utf8"));
}

async function untilSaid(port: number): Promise<string> {
  const endMs = systemClock.monotonicMs() + 20_000;
  for (;;) {
    const said = await new Promise<string>((resolve) => {
      let text = "";
      const socket = connect(port, "127.0.0.1");
      socket.setEncoding("utf8").on("data", (piece) => {
        text += String(piece);
      });
      socket.on("error", () => resolve(""));
      socket.on("close", () => resolve(text));
    });
    if (said !== "" || systemClock.monotonicMs() > endMs) return said;
    await systemClock.delay(50);
  }
}
