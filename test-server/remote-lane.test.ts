import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { delimiter, join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sessionViewSchema } from "../src/contract/fleet/session.ts";
import { type LateAnswerer, startLateAnswerer } from "./late-answerer.ts";
import { createRemoteWorld, type RemoteWorld, until } from "./remote-world.ts";

/** A real hub with TLS on the port of its router, a real agent, holder and CLI: what forwards and rsync carry goes over a lane there. */
const LIMIT_MS = 90_000;
const BYTES = 8 * 1024 * 1024;
const hasRsync = (process.env["PATH"] ?? "").split(delimiter).some((directory) => existsSync(join(directory, "rsync")));

let world: RemoteWorld;
let server: LateAnswerer;
const answer = randomBytes(BYTES);
beforeAll(async () => {
  world = await createRemoteWorld({ hasTls: true });
  server = await startLateAnswerer(({ sha256 }) => Buffer.concat([sha256, answer]));
}, LIMIT_MS);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

/** Of the hub's own router. */
async function figures() {
  const text = await world.hub().metrics();
  const readFigure = (name: string) => {
    const line = text.split("\n").find((each) => each.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1) ?? Number.NaN);
  };
  return {
    lanes: readFigure("router_grpc_lanes_active"),
    toBox: readFigure('router_grpc_bytes_total{direction="to_box"}'),
    fromBox: readFigure('router_grpc_bytes_total{direction="from_box"}'),
  };
}
const untilLanes = (count: number) =>
  until(async () => (await figures()).lanes === count, `${count} lanes are at the router`, 30_000);

async function listening(...args: string[]) {
  const run = world.start([...args, "--json"]);
  let out = "";
  run.child.stdout.on("data", (bytes: Buffer) => {
    out += bytes.toString();
  });
  await until(() => out.includes("\n") || run.child.exitCode !== null, "it listens", 30_000);
  return { ...run, shown: JSON.parse(out.split("\n")[0] ?? "") };
}

test(
  "a forward's bytes come whole in both directions, on one lane",
  async () => {
    const run = await listening("forward", world.boxId, `0:127.0.0.1:${server.port}`);
    await untilLanes(1);
    const before = await figures();
    const local = Number(run.shown.forwards[0].local[0].split(":").at(-1));
    const sent = randomBytes(BYTES);
    const socket = connect({ host: "127.0.0.1", port: local, allowHalfOpen: true });
    socket.end(sent);
    const came = await buffer(socket);
    expect(came.subarray(0, 32).equals(createHash("sha256").update(sent).digest())).toBe(true);
    expect(came.subarray(32).equals(answer)).toBe(true);
    const after = await figures();
    expect(after.lanes).toBe(1);
    for (const moved of [after.toBox - before.toBox, after.fromBox - before.fromBox]) {
      expect(moved).toBeGreaterThan(BYTES);
      // TLS adds 22 bytes to 16 KiB, and frames less than that.
      expect(moved).toBeLessThan(BYTES * 1.02);
    }
    run.child.kill("SIGTERM");
    expect(await run.ended).toMatchObject({ code: 0, err: "" });
    await untilLanes(0);
  },
  LIMIT_MS,
);

test(
  "a port of a session is reached on a lane",
  async () => {
    const program = join(import.meta.dirname, "programs/session-app.ts");
    const template = {
      command: [process.execPath, "--no-warnings", program],
      ports: [{ port: 80, name: "web", scheme: "http" }],
    };
    await world.hub().call("POST", "/v1/sessions", { id: "app-1", user: "anna", box: world.boxId, template });
    const viewOf = async () => sessionViewSchema.parse(await world.hub().call("GET", "/v1/sessions/app-1"));
    await until(async () => (await viewOf()).state === "running", "the session is running", 60_000);
    const run = await listening("session", "forward", "app-1", "web");
    expect(await (await fetch(run.shown.forwards[0].url)).text()).toBe("here");
    expect((await figures()).lanes).toBe(1);
    run.child.kill("SIGINT");
    expect((await run.ended).code).toBe(0);
    await untilLanes(0);
    await world.hub().call("DELETE", "/v1/sessions/app-1");
  },
  LIMIT_MS,
);

test.skipIf(!hasRsync)(
  "rsync copies over a lane (needs rsync)",
  async () => {
    const [here, there] = [join(world.directory, "here"), join(world.directory, "there")];
    await mkdir(here);
    await writeFile(join(here, "big"), answer);
    const before = await figures();
    // So slow that its lane is seen.
    const run = world.start(["rsync", "-a", "--bwlimit=4m", `${here}/`, `${world.boxId}:${there}/`]);
    await untilLanes(1);
    expect(await run.ended).toMatchObject({ code: 0, err: "" });
    expect((await readFile(join(there, "big"))).equals(answer)).toBe(true);
    expect((await figures()).toBox - before.toBox).toBeGreaterThan(BYTES);
    await untilLanes(0);
  },
  LIMIT_MS,
);
