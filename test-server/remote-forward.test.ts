import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sessionViewSchema } from "../src/contract/fleet/session.ts";
import { type LateAnswerer, startLateAnswerer } from "./late-answerer.ts";
import { createRemoteWorld, type RemoteWorld, until } from "./remote-world.ts";

const LIMIT_MS = 90_000;
const hasRsync = (process.env["PATH"] ?? "").split(delimiter).some((directory) => existsSync(join(directory, "rsync")));

let world: RemoteWorld;
let server: LateAnswerer;
beforeAll(async () => {
  world = await createRemoteWorld();
  server = await startLateAnswerer(({ bytes }) => `${bytes} bytes`);
}, LIMIT_MS);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

const portOf = (listening: Server | ReturnType<typeof createSocket>) => (listening.address() as { port: number }).port;

async function forward(...forwards: string[]) {
  const run = world.start(["forward", world.boxId, "--json", ...forwards]);
  let out = "";
  run.child.stdout.on("data", (bytes: Buffer) => {
    out += bytes.toString();
  });
  await until(() => out.includes("\n") || run.child.exitCode !== null, "it listens", 30_000);
  const { forwards: shown } = JSON.parse(out.split("\n")[0] ?? "");
  const ports: number[] = shown.map(({ local }: { local: string[] }) => Number(local[0]?.split(":").at(-1)));
  return { ...run, ports };
}

async function count(port: number | undefined, bytes: number): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port: port ?? 0, allowHalfOpen: true });
  socket.end(Buffer.alloc(bytes));
  let text = "";
  for await (const piece of socket) text += String(piece);
  return text;
}

test(
  "connections with half-closes, a refused target, and datagrams go through one forward",
  async () => {
    const echo = createSocket("udp4");
    echo.on("message", (bytes, { port, address }) => echo.send(bytes, port, address));
    echo.bind(0, "127.0.0.1");
    await once(echo, "listening");
    const closed = createServer().listen(0, "127.0.0.1");
    await once(closed, "listening");
    const dead = portOf(closed);
    closed.close();
    const run = await forward(`0:127.0.0.1:${server.port}`, `0:127.0.0.1:${dead}`, `0:127.0.0.1:${portOf(echo)}/udp`);
    const [tcp, refused, udp = 0] = run.ports;
    const sizes = Array.from({ length: 20 }, (_none, index) => index * 50_000);
    expect(await Promise.all(sizes.map((bytes) => count(tcp, bytes)))).toEqual(sizes.map((bytes) => `${bytes} bytes`));
    await expect(count(refused, 1)).rejects.toMatchObject({ code: "ECONNRESET" });
    const answers = [0, 1472, 65_507].map(async (size) => {
      const socket = createSocket("udp4");
      // The first datagrams may come before the association on the box is there.
      const again = setInterval(() => socket.send(Buffer.alloc(size, 7), udp, "127.0.0.1"), 200);
      const [bytes] = await once(socket, "message", { signal: AbortSignal.timeout(20_000) });
      clearInterval(again);
      socket.close();
      return (bytes as Buffer).length;
    });
    expect(await Promise.all(answers)).toEqual([0, 1472, 65_507]);
    run.child.kill("SIGINT");
    const { code, err } = await run.ended;
    expect(code).toBe(0);
    expect(err).toContain(`127.0.0.1:${dead} cannot be reached`);
    echo.close();
  },
  LIMIT_MS,
);

test(
  "a killed hub, with its router, costs neither a command nor a connection anything, sealed as they are",
  async () => {
    const run = await forward("--seal", `0:127.0.0.1:${server.port}`);
    const socket = connect({ host: "127.0.0.1", port: run.ports[0] ?? 0, allowHalfOpen: true });
    // What becomes of it is read at the end.
    socket.on("error", () => undefined);
    socket.write(Buffer.alloc(100_000));
    const text = "for i in $(seq 1 60); do echo line $i; sleep 0.1; done; exit 7";
    const command = world.start(["exec", "--seal", world.boxId, "--no-stdin", "--", "/bin/sh", "-c", text]);
    await once(command.child.stdout, "data");
    await world.killHub();
    const { code, out, err } = await command.ended;
    expect({ code, err: code === 7 ? "" : err }).toEqual({ code: 7, err: "" });
    expect(out.toString()).toBe(Array.from({ length: 60 }, (_none, index) => `line ${index + 1}\n`).join(""));
    socket.end(Buffer.alloc(200_000));
    let answer = "";
    for await (const piece of socket) answer += String(piece);
    expect(answer).toBe("300000 bytes");
    run.child.kill("SIGTERM");
    expect((await run.ended).code).toBe(0);
  },
  LIMIT_MS,
);

test(
  "a session's port is reached by its id, through hibernation and a kill of the agent, and wakes it when asked",
  async () => {
    const wish = {
      id: "app-1",
      user: "anna",
      box: world.boxId,
      template: {
        command: [process.execPath, "--no-warnings", join(import.meta.dirname, "programs/session-app.ts")],
        ports: [{ port: 80, name: "web", scheme: "http" }],
      },
    };
    const hub = () => world.hub();
    await hub().call("POST", "/v1/sessions", wish);
    await hub().call("POST", "/v1/sessions", { ...wish, id: "other" });
    const viewOf = async () => sessionViewSchema.parse(await hub().call("GET", "/v1/sessions/app-1"));
    const untilState = (state: string) =>
      until(async () => (await viewOf()).state === state, `the session is ${state}`, 60_000);
    await untilState("running");
    const hostPort = async () => (await viewOf()).session?.endpoints?.[0]?.hostPort;
    const first = await hostPort();

    const open = async (...args: string[]) => {
      const run = world.start(["session", "forward", "--json", ...args]);
      let out = "";
      run.child.stdout.on("data", (bytes: Buffer) => {
        out += bytes.toString();
      });
      await until(() => out.includes("\n") || run.child.exitCode !== null, "it listens", 30_000);
      const [{ url }]: [{ url: string }] = JSON.parse(out.split("\n")[0] ?? "").forwards;
      return { ...run, url };
    };
    const [waking, plain, refused] = await Promise.all([
      open("app-1", "web", "--wake"),
      open("app-1", "80"),
      world.start(["session", "forward", "other", "web"]).ended,
    ]);
    expect(refused).toMatchObject({
      code: 253,
      err: expect.stringContaining("policy.remote.sessions: given other; allowed: app*"),
    });
    const ask = async (url: string, path: string) => (await fetch(new URL(path, url))).text();
    expect(await ask(plain.url, "/")).toBe("here");
    expect(await ask(waking.url, "/write?text=kept")).toBe("written");

    await hub().call("POST", "/v1/sessions/app-1/hibernate");
    await untilState("hibernated");
    await expect(ask(plain.url, "/")).rejects.toThrow();
    expect((await viewOf()).state).toBe("hibernated");
    expect(await ask(waking.url, "/read")).toBe("kept");
    expect(await ask(plain.url, "/read")).toBe("kept");
    expect(await hostPort()).not.toBe(first);

    await world.box.killAgent("SIGKILL");
    await world.box.startAgent();
    const answers = async () => (await ask(plain.url, "/read").catch(() => "")) === "kept";
    await until(answers, "it is reached after a kill of the agent", 30_000);

    for (const { child, ended } of [waking, plain]) {
      child.kill("SIGINT");
      expect((await ended).code).toBe(0);
    }
    expect((await plain.ended).err).toContain("sluice session wake app-1 wakes it");
    for (const id of ["app-1", "other"]) await hub().call("DELETE", `/v1/sessions/${id}`);
  },
  LIMIT_MS,
);

test.skipIf(!hasRsync)(
  "rsync copies both ways with its own options, and a daemon copies each change (needs rsync)",
  async () => {
    const [here, there, back] = ["here", "there", "back"].map((name) => join(world.directory, name)) as [
      string,
      string,
      string,
    ];
    await mkdir(join(here, "deep"), { recursive: true });
    await mkdir(there);
    await writeFile(join(here, "big"), Buffer.alloc(3_000_000, "x"));
    await writeFile(join(here, "deep/small"), "first");
    await writeFile(join(there, "stale"), "goes");
    const up = await world.start(["rsync", "--seal", "-a", "--delete", `${here}/`, `${world.boxId}:${there}/`]).ended;
    expect({ code: up.code, err: up.err }).toEqual({ code: 0, err: "" });
    expect((await stat(join(there, "big"))).size).toBe(3_000_000);
    expect(existsSync(join(there, "stale"))).toBe(false);
    const down = await world.start(["rsync", "-a", `${world.boxId}:${there}/`, `${back}/`]).ended;
    expect({ code: down.code, err: down.err }).toEqual({ code: 0, err: "" });
    expect(await readFile(join(back, "deep/small"), "utf8")).toBe("first");
    const outside = await world.start(["rsync", "-a", `${world.boxId}:/etc/hostname`, `${back}/`]).ended;
    expect(outside.code).not.toBe(0);

    const options = [
      "--daemon",
      "UP",
      "--seal",
      "--name",
      "site",
      "--debounce",
      "0",
      "-a",
      `${here}/`,
      `${world.boxId}:${there}/`,
    ];
    const started = await world.start(["rsync", ...options]).ended;
    expect({ code: started.code, err: started.err }).toEqual({ code: 0, err: "" });
    await writeFile(join(here, "deep/new"), "second");
    await until(
      async () => (await readFile(join(there, "deep/new"), "utf8").catch(() => "")) === "second",
      "the change arrives",
      30_000,
    );
    await rm(join(here, "big"));
    const [twice, status] = await Promise.all([
      world.start(["rsync", ...options]).ended,
      world.start(["rsync", "--status", "--json"]).ended,
    ]);
    expect(twice.code).not.toBe(0);
    expect(twice.err).toContain("site runs already");
    const { items } = JSON.parse(status.out.toString());
    expect(items).toMatchObject([{ name: "site", running: true, direction: "UP" }]);
    const stopped = await world.start(["rsync", "--stop", "site"]).ended;
    expect({ code: stopped.code, out: stopped.out.toString() }).toEqual({ code: 0, out: "site is stopped\n" });
    const after = await world.start(["rsync", "--status"]).ended;
    expect(after.out.toString()).toBe("no directory is kept in sync\n");
    expect(existsSync(join(there, "big"))).toBe(true);
  },
  LIMIT_MS,
);
