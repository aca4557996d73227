import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { readProcText } from "../src/base/proc-text.ts";
import type { LoadedPty } from "../src/holder/terminal.ts";
import { startNameServer } from "./name-server.ts";
import { createNetworkNamespace, type NetworkNamespace, networkNamespaceProblem } from "./network-namespace.ts";
import { pty, sluiceOnTerminal } from "./on-terminal.ts";
import { createRemoteWorld, type RemoteWorld, until } from "./remote-world.ts";
import { layWire, slowWireProblem } from "./slow-wire.ts";

const isLong = process.env["SLUICE_TEST_LONG"] === "1";
/** The kernel sends again after 0.2, 0.6, 1.4, 3 and 6.2 s. */
const CUT_MS = isLong ? 20_000 : 5500;
const KEYS = isLong ? 200 : 15;
const ROUND_TRIP_MS = 200;
const NARROW_TRIP_MS = 20;
/** What its queue holds. */
const NARROW_QUEUE_MS = 300;
/** The round trip, what a copy keeps in the queue, and as much again for terminals and programs. */
const NARROW_ECHO_MS = 80;
const LIMIT_MS = 180_000;
const ECHO_PORT = 7007;
const FLOOD_BYTES = 80_000_000;
const LINES = 60;
const problem = networkNamespaceProblem();
const slowProblem = slowWireProblem();
const wireProblem = pty === undefined ? "no terminals" : slowProblem;
const because = (why: string | undefined) => (why === undefined ? "" : ` (skipped: ${why})`);

describe.skipIf(problem !== undefined)(`a box behind a network${because(problem)}`, () => {
  let namespace: NetworkNamespace;
  let world: RemoteWorld;
  let copies: string;
  const names: Record<string, string> = {};
  const life = new AsyncDisposableStack();
  beforeAll(async () => {
    copies = await mkdtemp(join(tmpdir(), "sluice-copies-"));
    life.defer(() => rm(copies, { recursive: true, force: true }));
    namespace = life.use(createNetworkNamespace());
    namespace.setResolver(namespace.nearAddress);
    life.use(await startNameServer({ address: namespace.nearAddress, names }));
    const script = `require("net").createServer({allowHalfOpen:true},(s)=>{s.on("error",()=>{});s.pipe(s)}).listen(${ECHO_PORT},"127.0.0.1");
      const u=require("dgram").createSocket("udp4",(m,from)=>u.send(m,from.port,from.address)).bind(${ECHO_PORT},"127.0.0.1")`;
    const echo = spawn("ip", ["netns", "exec", namespace.name, process.execPath, "-e", script], { stdio: "ignore" });
    life.defer(() => void echo.kill("SIGKILL"));
    world = life.use(
      await createRemoteWorld({
        hubHost: namespace.nearAddress,
        namespace: namespace.name,
        policy: {
          operators: "*",
          commands: "/bin/sh,/bin/cat,/usr/bin/head",
          directories: "/srv",
          rsync: `${copies}:ro`,
          forward: `127.0.0.1:${ECHO_PORT},camera.lan:1-65535`,
        },
      }),
    );
  }, LIMIT_MS);
  afterAll(() => life.disposeAsync(), LIMIT_MS);

  const exec = (...argv: string[]) => world.start(["exec", world.boxId, "--no-stdin", "--", ...argv]);
  const forward = async (...targets: readonly string[]) => {
    const run = world.start(["forward", world.boxId, "--json", ...targets.map((target) => `0:${target}`)]);
    let out = "";
    let told = "";
    run.child.stdout.on("data", (bytes: Buffer) => {
      out += bytes.toString();
    });
    run.child.stderr.on("data", (bytes: Buffer) => {
      told += bytes.toString();
    });
    await until(() => out.includes("\n") || run.child.exitCode !== null, "it listens", 30_000);
    const { forwards }: { forwards: { local: string[] }[] } = JSON.parse(out.split("\n")[0] ?? "");
    const [port = 0, secondPort = 0] = forwards.map(({ local }) => Number(local[0]?.split(":").at(-1)));
    return { ...run, port, secondPort, told: () => told };
  };
  /** The median time of an answer to a datagram, of the best of some turns: a machine that has no time for anybody is not the wire. */
  const bestAnswerMs = async (peer: Socket, port: number) => {
    const sentMs: number[] = [];
    const tookMs: number[] = [];
    peer.on("message", (bytes) => void tookMs.push(performance.now() - (sentMs[bytes.readUInt32BE(0)] ?? 0)));
    let best = Number.POSITIVE_INFINITY;
    for (let turn = 0; turn < 10 && best > NARROW_ECHO_MS; turn++) {
      tookMs.length = 0;
      for (let asked = 0; asked < KEYS; asked++) {
        const question = Buffer.alloc(64);
        question.writeUInt32BE(sentMs.length, 0);
        sentMs.push(performance.now());
        peer.send(question, port, "127.0.0.1");
        await systemClock.delay(100);
      }
      const median = tookMs.toSorted((one, other) => one - other)[Math.floor(KEYS / 2)];
      best = Math.min(best, median ?? Number.POSITIVE_INFINITY);
    }
    return best;
  };
  const residentMib = (pid: number) =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readProcText(`/proc/${pid}/status`) ?? "")?.[1] ?? Number.NaN) / 1024;

  test(`a network that is cut for ${CUT_MS / 1000} s costs a command, a flood and 100 connections nothing, and nobody hoards what waits`, {
    timeout: LIMIT_MS,
  }, async () => {
    const tunnel = await forward(`127.0.0.1:${ECHO_PORT}`);
    const lines = exec("/bin/sh", "-c", `for i in $(seq 1 ${LINES}); do echo line $i; sleep 0.1; done; exit 7`);
    const flood = exec("/usr/bin/head", "-c", String(FLOOD_BYTES), "/dev/zero");
    let flooded = 0;
    let isCut = false;
    flood.child.stdout.removeAllListeners("data").on("data", (bytes: Buffer) => {
      flooded += bytes.length;
      // However fast it is, the cut comes in the middle of it.
      if (flooded > 5_000_000 && !isCut) flood.child.stdout.pause();
    });
    const stop = new AbortController();
    const talk = async () => {
      const socket = connect({ host: "127.0.0.1", port: tunnel.port, allowHalfOpen: true });
      const [sent, got] = [createHash("sha256"), createHash("sha256")];
      const back = (async () => {
        for await (const bytes of socket) got.update(bytes as Buffer);
      })();
      while (!stop.signal.aborted) {
        const bytes = randomBytes(1500);
        sent.update(bytes);
        socket.write(bytes);
        await systemClock.delay(250);
      }
      socket.end();
      await back;
      return got.digest("hex") === sent.digest("hex");
    };
    const talks = Array.from({ length: 100 }, talk);
    await Promise.all([once(lines.child.stdout, "data"), until(() => flooded > 5_000_000, "the flood runs")]);
    namespace.cut();
    isCut = true;
    flood.child.stdout.resume();
    await systemClock.delay(1000);
    const pids = [flood.child.pid ?? 0, tunnel.child.pid ?? 0, world.hub().pid, ...world.holderPids()];
    expect(pids.length).toBeGreaterThan(3);
    const before = pids.map(residentMib);
    await systemClock.delay(CUT_MS - 1000);
    const grownMib = pids.map((pid, index) => residentMib(pid) - (before[index] ?? 0));
    expect(flooded).toBeLessThan(FLOOD_BYTES);
    namespace.heal();
    stop.abort();
    expect(await Promise.all(talks)).toEqual(talks.map(() => true));
    const { code, out } = await lines.ended;
    const whole = Array.from({ length: LINES }, (_none, index) => `line ${index + 1}\n`).join("");
    expect({ code, out: out.toString() }).toEqual({ code: 7, out: whole });
    // Success is the word of the command for: length and SHA-256 are those that the box told.
    expect({ code: (await flood.ended).code, flooded }).toEqual({ code: 0, flooded: FLOOD_BYTES });
    for (const mib of grownMib) expect(mib).toBeLessThan(FLOOD_BYTES / 2 / 1024 ** 2);
    tunnel.child.kill("SIGTERM");
    expect((await tunnel.ended).code).toBe(0);
  });

  /** What is typed into a terminal of a session of its own, while something else goes on. */
  const openTypist = async (terminals: LoadedPty) => {
    const size = { cols: 80, rows: 24 };
    // Only the box says this: until its terminal is open, this machine's own shows what is typed, at once.
    const argv = ["/bin/sh", "-c", "echo open; exec /bin/cat"];
    const shell = sluiceOnTerminal(["exec", "-t", world.boxId, "--", ...argv], world.environment(), size, terminals);
    await until(() => shell.shown().includes("open\r\n"), "the box's terminal is open", 60_000);
    const typedMs: number[] = [];
    const tookMs: number[] = [];
    shell.onShown((bytes) => {
      for (const byte of bytes) {
        if (byte === 0x78) tookMs.push(performance.now() - (typedMs[tookMs.length] ?? 0));
      }
    });
    /** Of the keys: every fiftieth is sent again by TCP, where packets are lost, which takes it at least a round trip more. */
    const medianMs = async () => {
      typedMs.length = 0;
      tookMs.length = 0;
      for (let key = 0; key < KEYS; key++) {
        typedMs.push(performance.now());
        shell.type("x");
        await systemClock.delay(100);
      }
      await until(() => tookMs.length === KEYS, "everything has come back", 60_000);
      return tookMs.toSorted((one, other) => one - other)[Math.floor(KEYS / 2)] ?? Number.POSITIVE_INFINITY;
    };
    return {
      /** A machine that has no time for anybody is not the wire. */
      bestMs: async (limitMs: number) => {
        let best = await medianMs();
        for (let turn = 0; turn < 10 && best > limitMs; turn++) best = Math.min(best, await medianMs());
        return best;
      },
      [Symbol.dispose]: () => shell.kill(),
    };
  };

  test.skipIf(wireProblem !== undefined)(
    `what is typed comes back within 1.3 round trips of ${ROUND_TRIP_MS} ms beside a bulk copy, 1 % lost${because(wireProblem)}`,
    { timeout: LIMIT_MS },
    async () => {
      if (pty === undefined) return;
      const wire = { delayMs: ROUND_TRIP_MS / 2, lossPerMille: 10, kilobytesPerSecond: 2500, queueMs: 400 };
      await using _wire = await layWire(namespace, wire);
      const bulk = exec("/usr/bin/head", "-c", "2000000000", "/dev/zero");
      let copied = 0;
      bulk.child.stdout.removeAllListeners("data").on("data", (bytes: Buffer) => {
        copied += bytes.length;
      });
      try {
        using typist = await openTypist(pty);
        await until(() => copied > 1_000_000, "the copy runs", 60_000);
        const before = copied;
        const best = await typist.bestMs(1.3 * ROUND_TRIP_MS);
        expect(best).toBeGreaterThanOrEqual(ROUND_TRIP_MS);
        expect(best).toBeLessThan(1.3 * ROUND_TRIP_MS);
        expect(copied).toBeGreaterThan(before);
      } finally {
        bulk.child.kill("SIGKILL");
      }
    },
  );

  test.skipIf(wireProblem !== undefined || !existsSync("/usr/bin/rsync"))(
    `what is typed in one session does not wait in the queue that another session's rsync could fill, on a link of 20 Mbit/s and ${NARROW_TRIP_MS} ms${because(wireProblem)} (needs rsync)`,
    { timeout: LIMIT_MS },
    async () => {
      if (pty === undefined) return;
      // With this one it is the sender's own restraint, and not the kernel's, that keeps the queue short.
      namespace.setCongestionControl("reno");
      const wire = { delayMs: NARROW_TRIP_MS / 2, lossPerMille: 0, kilobytesPerSecond: 2500, queueMs: NARROW_QUEUE_MS };
      await using _wire = await layWire(namespace, wire);
      const [from, to] = [join(copies, "large"), join(copies, "copy")];
      await writeFile(from, "");
      await truncate(from, 400_000_000);
      const copy = world.start(["rsync", "--inplace", "--whole-file", `${world.boxId}:${from}`, to]);
      const copied = async () => (await stat(to).catch(() => undefined))?.size ?? 0;
      try {
        using typist = await openTypist(pty);
        await until(async () => (await copied()) > 5_000_000, "the copy runs", 60_000);
        const before = await copied();
        const best = await typist.bestMs(NARROW_ECHO_MS);
        expect(best).toBeGreaterThanOrEqual(NARROW_TRIP_MS);
        expect(best).toBeLessThan(NARROW_ECHO_MS);
        expect(await copied()).toBeGreaterThan(before);
      } finally {
        copy.child.kill("SIGTERM");
        await copy.ended;
      }
    },
  );

  test.skipIf(slowProblem !== undefined)(
    `datagrams do not wait behind a copy of the same session, on a link of 20 Mbit/s and ${NARROW_TRIP_MS} ms${because(slowProblem)}`,
    { timeout: LIMIT_MS },
    async () => {
      namespace.setCongestionControl("reno");
      const wire = { delayMs: NARROW_TRIP_MS / 2, lossPerMille: 0, kilobytesPerSecond: 2500, queueMs: NARROW_QUEUE_MS };
      await using _wire = await layWire(namespace, wire);
      const tunnel = await forward(`127.0.0.1:${ECHO_PORT}`, `127.0.0.1:${ECHO_PORT}/udp`);
      const copy = connect({ host: "127.0.0.1", port: tunnel.port });
      copy.on("error", () => undefined);
      let copied = 0;
      copy.on("data", (bytes) => {
        copied += bytes.length;
      });
      const piece = Buffer.alloc(64 * 1024);
      const fill = () => {
        while (copy.writable && copy.write(piece));
      };
      copy.on("drain", fill).on("connect", fill);
      const peer = createSocket("udp4");
      try {
        await until(() => copied > 5_000_000, "the copy runs", 60_000);
        const before = copied;
        const best = await bestAnswerMs(peer, tunnel.secondPort);
        expect(best).toBeGreaterThanOrEqual(NARROW_TRIP_MS);
        expect(best).toBeLessThan(NARROW_ECHO_MS);
        expect(copied).toBeGreaterThan(before);
      } finally {
        copy.destroy();
        peer.close();
        tunnel.child.kill("SIGTERM");
        await tunnel.ended;
      }
    },
  );

  test("neither links, paths, users, variables, other ports nor names that mean something else later lead past the policy", {
    timeout: LIMIT_MS,
  }, async () => {
    const link = async (name: string, to: string) => {
      const path = join(world.directory, name);
      await symlink(to, path);
      return path;
    };
    const [shell, etc] = await Promise.all([link("sh", "/usr/bin/id"), link("etc", "/etc")]);
    const attempts: Readonly<Record<string, readonly string[]>> = {
      "policy.remote.commands: a link": ["--", shell],
      "policy.remote.commands: a path": ["--", "/bin/../usr/bin/id"],
      "policy.remote.users": ["--user", "nobody", "--", "/bin/cat"],
      "policy.remote.directories: a link": ["--cwd", etc, "--", "/bin/cat"],
      "policy.remote.directories: a path": ["--cwd", "/srv/../etc", "--", "/bin/cat"],
      "policy.remote.environment": ["--env", "LD_PRELOAD=/tmp/x.so", "--", "/bin/cat"],
      "policy.remote.shell": [],
    };
    const refused = Object.entries(attempts).map(async ([why, args]) => {
      const { code, out, err } = await world.start(["exec", "--no-stdin", world.boxId, ...args]).ended;
      return { why, code, out: out.toString(), isNamed: err.includes(why.split(":")[0] ?? "") };
    });
    expect(await Promise.all(refused)).toEqual(
      Object.keys(attempts).map((why) => ({ why, code: 253, out: "", isNamed: true })),
    );
    const other = await world.start(["forward", world.boxId, `0:127.0.0.1:${ECHO_PORT + 1}`]).ended;
    expect({ code: other.code, err: other.err }).toMatchObject({ code: 253, err: expect.stringContaining("forward") });

    // At the same port another machine answers under this name, and the box itself.
    const camera = createServer((socket) => {
      // A caller that goes before it has read resets it.
      socket.on("error", () => undefined);
      socket.end("a camera");
    }).listen(ECHO_PORT, namespace.nearAddress);
    try {
      await once(camera, "listening");
      names["camera.lan"] = namespace.nearAddress;
      const run = await forward(`camera.lan:${ECHO_PORT}`);
      const say = async () => {
        const socket = connect({ host: "127.0.0.1", port: run.port });
        socket.end("hello");
        return (await buffer(socket)).toString();
      };
      // The box's own lookups give up after a second, which a busy machine may need.
      const untilTheCamera = () => until(async () => (await say().catch(() => "")) === "a camera", "it is reached");
      await untilTheCamera();
      for (const near of ["127.0.0.1", namespace.address, "169.254.169.254", "0.0.0.0"]) {
        names["camera.lan"] = near;
        await until(async () => {
          await expect(say()).rejects.toMatchObject({ code: "ECONNRESET" });
          return run.told().includes(`camera.lan leads to ${near} on the box`);
        }, `it is said that ${near} is not allowed`);
      }
      names["camera.lan"] = namespace.nearAddress;
      await untilTheCamera();
      run.child.kill("SIGTERM");
      expect((await run.ended).code).toBe(0);
    } finally {
      camera.close();
    }
  });
});
