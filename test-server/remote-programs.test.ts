import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import { startBalancer } from "./balancer.ts";
import { freePort, freePorts } from "./free-port.ts";
import { pty, sluiceOnTerminal } from "./on-terminal.ts";
import { createRemoteWorld, type RemoteWorld, type Running, startRemoteRouter, until } from "./remote-world.ts";

/** Real programs through remote sessions that meet at two routers of their own. The last three tests stop and kill them. */

const LIMIT_MS = 120_000;
/** Longer than a hub waits for a router's word. */
const STILL_MS = 12_000;
const IDS = ["router-1", "router-2"] as const;
type RouterId = (typeof IDS)[number];
const run = promisify(execFile);

const findProgram = (...names: readonly string[]) =>
  names.map((name) => join("/usr/bin", name)).find((path) => existsSync(path));
const editor = findProgram("vim.tiny", "vim.basic", "vim");
const because = (why: string | undefined) => (why === undefined ? "" : ` (skipped: ${why})`);

let world: RemoteWorld;
let routers: Record<RouterId, Running>;
beforeAll(async () => {
  world = await createRemoteWorld({ hubFlags: ["--remote-own-router", "false"] });
  const ports = await freePorts(2);
  const [one, other] = await Promise.all(
    IDS.map((id, index) => startRemoteRouter(world, { id, port: ports[index] ?? 0 })),
  );
  if (one !== undefined && other !== undefined) routers = { "router-1": one, "router-2": other };
  await until(async () => (await live()).length === 2, "both routers are at the hub");
}, LIMIT_MS);
afterAll(async () => {
  for (const { child } of Object.values(routers ?? {})) child.kill("SIGKILL");
  await world?.[Symbol.asyncDispose]();
}, LIMIT_MS);

async function untilSome<Value>(find: () => Promise<Value | undefined>, what: string): Promise<Value> {
  let found: Value | undefined;
  await until(async () => {
    found = await find();
    return found !== undefined;
  }, what);
  if (found === undefined) throw new AppError("internal", what);
  return found;
}

async function items<Item>(path: string): Promise<readonly Item[]> {
  return ((await world.hub().call("GET", path)) as { items: readonly Item[] }).items;
}
const live = async () =>
  (await items<{ id: RouterId; state: string }>("/v1/routers")).filter(({ state }) => state === "live");
const routerOf = async (id: string) =>
  ((await world.hub().call("GET", `/v1/remote/${id}`)) as { router?: RouterId }).router;
const open = () => items<{ id: string }>("/v1/remote?state=open");

async function forward(...targets: readonly string[]) {
  const running = world.start(["forward", world.boxId, "--json", ...targets.map((target) => `0:${target}`)]);
  let out = "";
  running.child.stdout.on("data", (bytes: Buffer) => {
    out += bytes.toString();
  });
  await until(() => out.includes("\n") || running.child.exitCode !== null, "it listens", 30_000);
  const { forwards }: { forwards: { local: string[] }[] } = JSON.parse(out.split("\n")[0] ?? "");
  return { ...running, ports: forwards.map(({ local }) => Number(local[0]?.split(":").at(-1))) };
}

test(
  "who comes first does not matter; who is gone when the other comes has begun nothing",
  async () => {
    const marker = join(world.directory, "begun");
    await world.box.killAgent("SIGTERM");
    const gone = world.start(["exec", world.boxId, "-v", "--no-stdin", "--", "/bin/sh", "-c", `echo gone >>${marker}`]);
    const first = world.start([
      "exec",
      world.boxId,
      "-v",
      "--no-stdin",
      "--",
      "/bin/sh",
      "-c",
      `echo first >>${marker}`,
    ]);
    await Promise.all([gone, first].map(({ child }) => once(child.stderr, "data")));
    const waiting = await untilSome(async () => {
      const all = await items<{ id: string; operation: { argv: string[] } }>("/v1/remote?state=waiting");
      return all.length === 2 ? all : undefined;
    }, "both wait");
    gone.child.kill("SIGKILL");
    await gone.ended;
    await world.box.startAgent();
    const { code, err } = await first.ended;
    expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
    const [left] = waiting.filter(({ operation }) => operation.argv.at(-1)?.includes("gone"));
    expect(await world.hub().call("GET", `/v1/remote/${left?.id}`)).toMatchObject({
      state: expect.stringMatching(/^(?:waiting|broken)$/),
      attempt: 1,
    });
    await world.hub().call("DELETE", `/v1/remote/${left?.id}`);
    expect(await readFile(marker, "utf8")).toBe("first\n");
  },
  LIMIT_MS,
);

const terminalProblem =
  pty === undefined
    ? "no terminals"
    : editor === undefined
      ? "no vim"
      : findProgram("tmux") === undefined
        ? "no tmux"
        : undefined;
test.skipIf(terminalProblem !== undefined)(
  `a full-screen program in tmux has its terminal's size, follows it and keeps what is typed${because(terminalProblem)}`,
  async () => {
    if (pty === undefined || editor === undefined) return;
    const path = (name: string) => join(world.directory, name);
    const argv = [
      "tmux",
      "-S",
      path("tmux.sock"),
      "-f",
      "/dev/null",
      "new-session",
      `${editor} -u NONE -n ${path("text")}`,
    ];
    const screen = sluiceOnTerminal(
      ["exec", "-it", world.boxId, "--", ...argv],
      world.environment(),
      { cols: 100, rows: 30 },
      pty,
    );
    try {
      await until(() => screen.shown().includes("text"), "it is on the screen", 30_000);
      // tmux takes a line for itself; what is typed before the program is ready waits.
      const sizeOf = async (name: string) => {
        screen.type(`:silent !stty size >${path(name)}\r`);
        await until(
          async () => (await readFile(path(name), "utf8").catch(() => "")) !== "",
          `${name} is written`,
          30_000,
        );
        return (await readFile(path(name), "utf8")).trim();
      };
      expect(await sizeOf("before")).toBe("29 100");
      screen.resize({ cols: 132, rows: 43 });
      let turn = 0;
      await until(async () => (await sizeOf(`after-${turn++}`)) === "42 132", "it has the new size", 30_000);
      screen.type("ihello\u001b:wq\r");
      const { code } = await screen.exited;
      expect({ code, text: await readFile(path("text"), "utf8") }).toEqual({ code: 0, text: "hello\n" });
    } finally {
      screen.kill();
    }
  },
  LIMIT_MS,
);

test.skipIf(findProgram("git") === undefined)(
  "git clones, a dump that ends either way first comes whole, and names are looked up with answers of every size (needs git)",
  async () => {
    const [repository, copy] = [join(world.directory, "source/repository"), join(world.directory, "copy")];
    const git = (...args: readonly string[]) =>
      run("git", ["-c", "user.name=a", "-c", "user.email=a@b.c", ...args], {
        env: { PATH: process.env["PATH"], HOME: world.directory, GIT_CONFIG_NOSYSTEM: "1" },
      });
    await mkdir(repository, { recursive: true });
    await writeFile(join(repository, "film"), randomBytes(3_000_000));
    await git("init", "-q", repository);
    await git("-C", repository, "add", "film");
    await git("-C", repository, "commit", "-qm", "film");
    const gitPort = await freePort();
    const daemon = spawn(
      "git",
      [
        "daemon",
        "--export-all",
        `--base-path=${join(world.directory, "source")}`,
        "--listen=127.0.0.1",
        `--port=${gitPort}`,
        "--reuseaddr",
      ],
      { stdio: "ignore", detached: true },
    );

    // Answers with as much as was asked for, as databases do; or says all it has, ends, and then hears how much arrived.
    const dump = randomBytes(3_000_000);
    const heard: string[] = [];
    const database = createServer({ allowHalfOpen: true }, async (socket) => {
      socket.on("error", () => undefined);
      const [ask] = (await once(socket, "data")) as [Buffer];
      if (ask.toString() === "dump") await once(socket.resume(), "end");
      socket.end(dump);
      if (ask.toString() === "push") heard.push((await buffer(socket)).toString());
    }).listen(0, "127.0.0.1");
    const dns = createSocket("udp4");
    dns.on("message", (query, { port, address }) => dns.send(answerOf(query), port, address)).bind(0, "127.0.0.1");
    await Promise.all([once(database, "listening"), once(dns, "listening")]);
    const portOf = (server: { address(): unknown }) => (server.address() as { port: number }).port;
    const tunnel = await forward(
      `127.0.0.1:${gitPort}`,
      `127.0.0.1:${portOf(database)}`,
      `127.0.0.1:${portOf(dns)}/udp`,
    );
    try {
      const [gitLocal = 0, dataLocal = 0, dnsLocal = 0] = tunnel.ports;
      await git("clone", "-q", `git://127.0.0.1:${gitLocal}/repository`, copy);
      const bytes = (place: string) => readFile(join(place, "film"));
      expect((await bytes(copy)).equals(await bytes(repository))).toBe(true);

      const ask = connect({ host: "127.0.0.1", port: dataLocal, allowHalfOpen: true });
      ask.end("dump");
      const push = connect({ host: "127.0.0.1", port: dataLocal, allowHalfOpen: true });
      // It is read before it is written: the tunnel may go first.
      push.on("error", () => undefined);
      push.write("push");
      const got = await Promise.all([buffer(ask), buffer(push)]);
      expect(got.map((one) => one.equals(dump))).toEqual([true, true]);
      push.end(`${got[1]?.length} bytes`);
      await until(() => heard.length === 1, "the end of the other direction arrives");
      expect(heard).toEqual(["3000000 bytes"]);

      const resolver = new Resolver({ timeout: 2000, tries: 10 });
      resolver.setServers([`127.0.0.1:${dnsLocal}`]);
      const names = Array.from({ length: 50 }, (_none, index) => `host-${index}.test`);
      expect(await Promise.all(names.map((name) => resolver.resolve4(name)))).toEqual(names.map(() => ["192.0.2.7"]));
      for (const size of [512, 1232, 4096, 65_507]) expect(await lookUp(dnsLocal, size)).toBe(size);
    } finally {
      tunnel.child.kill("SIGKILL");
      if (daemon.pid !== undefined) process.kill(-daemon.pid, "SIGKILL");
      database.close();
      dns.close();
    }
  },
  LIMIT_MS,
);

/** RFC 1035: one address; a first label of digits asks for an answer of so many bytes. */
function answerOf(query: Buffer): Buffer {
  const wish = Number(query.toString("latin1", 13, 13 + (query[12] ?? 0)));
  const questionEnd = query.indexOf(0, 12) + 5;
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8180, 2);
  header.writeUInt16BE(1, 6);
  header.writeUInt32BE(0, 8);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 7]);
  const answer = Buffer.concat([header, query.subarray(12, questionEnd), record]);
  return wish > answer.length ? Buffer.concat([answer, Buffer.alloc(wish - answer.length, query[0])]) : answer;
}

/** How many bytes came, each as it was sent. */
async function lookUp(port: number, size: number): Promise<number> {
  const label = Buffer.from(String(size));
  const head = Buffer.from([size % 251, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, label.length]);
  const query = Buffer.concat([head, label, Buffer.from([0, 0, 1, 0, 1])]);
  const socket = createSocket("udp4");
  // What is lost is asked again, as resolvers do.
  const again = setInterval(() => socket.send(query, port, "127.0.0.1"), 500);
  try {
    socket.send(query, port, "127.0.0.1");
    const [bytes] = (await once(socket, "message", { signal: AbortSignal.timeout(20_000) })) as [Buffer];
    return bytes.equals(answerOf(query)) ? bytes.length : -1;
  } finally {
    clearInterval(again);
    socket.close();
  }
}

test.skipIf(findProgram("rsync") === undefined)(
  "an rsync that is cut goes on where it was, with options of its own (needs rsync)",
  async () => {
    const [here, there] = [join(world.directory, "here"), join(world.directory, "there")];
    await Promise.all([here, there].map((path) => mkdir(path)));
    const film = randomBytes(12_000_000);
    await Promise.all([writeFile(join(here, "film"), film), writeFile(join(here, "scratch.tmp"), "not this")]);
    const options = ["-az", "--partial", "--exclude=*.tmp", "--checksum", "--stats"];
    const rsync = (...more: readonly string[]) =>
      world.start(["rsync", ...options, ...more, `${here}/`, `${world.boxId}:${there}/`]);
    const cut = rsync("--bwlimit=2000");
    const size = async () => (await stat(join(there, "film")).catch(() => undefined))?.size ?? 0;
    const isMoving = async () => {
      const { stdout } = await run("find", [there, "-name", ".film*", "-size", "+2000k"]);
      return stdout !== "";
    };
    await until(isMoving, "a part has arrived", 30_000);
    const { stdout } = await run("pgrep", ["-P", String(cut.child.pid), "-x", "rsync"]);
    for (const pid of stdout.trim().split("\n")) process.kill(Number(pid), "SIGKILL");
    expect((await cut.ended).code).not.toBe(0);
    await until(async () => (await size()) > 1_000_000, "the box has kept the part", 30_000);
    expect(await size()).toBeLessThan(film.length);
    const { code, out, err } = await rsync().ended;
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const matched = /^Matched data: ([\d,]+) bytes/m.exec(out.toString())?.[1] ?? "";
    expect(Number(matched.replaceAll(",", ""))).toBeGreaterThan(1_000_000);
    expect((await readFile(join(there, "film"))).equals(film)).toBe(true);
    expect(existsSync(join(there, "scratch.tmp"))).toBe(false);
  },
  LIMIT_MS,
);

const LINES = Array.from({ length: 40 }, (_none, index) => `line ${index + 1}\n`).join("");
/** Two that print lines for a while, one at each of the two routers. */
async function countAtBoth(): Promise<readonly Running[]> {
  const runs: Running[] = [];
  // The hub hears of the first, and sends the second to the other router.
  for (const isOpen of [1, 2]) {
    const run = count();
    runs.push(run);
    await once(run.child.stdout, "data");
    await until(async () => (await open()).length === isOpen, `${isOpen} are open`);
  }
  return runs;
}
const count = () =>
  world.start([
    ...["exec", world.boxId, "-v", "--no-stdin", "--"],
    ...["/bin/sh", "-c", "for i in $(seq 1 40); do echo line $i; sleep 0.1; done; exit 7"],
  ]);

test(
  `a router that stands still for ${STILL_MS / 1000} s loses no byte of its sessions, and holds up no new one for longer`,
  async () => {
    const runs = await countAtBoth();
    const { child } = routers["router-1"];
    child.kill("SIGSTOP");
    const goesOn = systemClock.delay(STILL_MS).then(() => void child.kill("SIGCONT"));
    try {
      await expectAllGoOn(runs);
    } finally {
      await goesOn;
    }
    await until(async () => (await live()).length === 2, "the hub hears both again");
  },
  LIMIT_MS,
);

test(
  "of two routers one is killed: sessions at the other go on, those of the first move there, and new ones begin at once",
  async () => {
    const runs = await countAtBoth();
    const at = await Promise.all((await open()).map(({ id }) => routerOf(id)));
    expect(at.toSorted()).toEqual(IDS);
    await kill(routers["router-1"]);
    await expectAllGoOn(runs);
  },
  LIMIT_MS,
);

test(
  "behind a balancer both ends meet whichever router each comes to; one is killed, and all goes on as with addresses of their own",
  async () => {
    const [one = 0, other = 0, oneMetrics, otherMetrics] = await freePorts(4);
    await using balancer = await startBalancer({ servers: () => [one, other] });
    const start = (id: string, port: number, metrics: string) =>
      startRemoteRouter(world, { id, port, publicUrl: `http://127.0.0.1:${balancer.port}` }, [
        ...["--server-peer-url", `http://127.0.0.1:${port}`, "--metrics-listen", metrics],
      ]);
    const metrics = [oneMetrics, otherMetrics].map((port) => `127.0.0.1:${port}`);
    const [third, fourth] = await Promise.all([
      start("router-3", one, metrics[0] ?? ""),
      start("router-4", other, metrics[1] ?? ""),
    ]);
    try {
      await kill(routers["router-2"]);
      for (const id of IDS) await world.hub().call("DELETE", `/v1/routers/${id}`);
      await until(async () => (await live()).length === 2, "both routers are at the hub");
      const runs = await countAtBoth();
      const texts = await Promise.all(metrics.map(async (at) => (await fetch(`http://${at}/metrics`)).text()));
      const handedOn = texts.map((text) => Number(/^router_grpc_calls_handed_on (\d+)$/m.exec(text)?.[1]));
      // The box keeps one connection, which leads to one of them: one of its two calls belongs to the other.
      expect(Math.max(...handedOn)).toBeGreaterThan(0);
      await kill(third);
      await expectAllGoOn(runs);
    } finally {
      for (const { child } of [third, fourth]) child.kill("SIGKILL");
    }
  },
  LIMIT_MS,
);

async function kill({ child, ended }: Running): Promise<void> {
  child.kill("SIGKILL");
  await ended;
}

async function expectAllGoOn(runs: readonly Running[]): Promise<void> {
  const fresh = await Promise.all(
    Array.from({ length: 4 }, () => world.start(["exec", world.boxId, "-v", "--", "/bin/true"]).ended),
  );
  expect(fresh.map(({ code, err }) => (code === 0 ? 0 : err))).toEqual([0, 0, 0, 0]);
  const ends = await Promise.all(runs.map(({ ended }) => ended));
  expect(ends.map(({ code, out, err }) => ({ code, out: out.toString(), err: code === 7 ? "" : err }))).toEqual(
    ends.map(() => ({ code: 7, out: LINES, err: "" })),
  );
}
