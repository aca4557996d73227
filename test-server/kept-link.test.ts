import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { sendSignal } from "../src/base/send-signal.ts";
import { MAIN_PROGRAM } from "./main-program.ts";
import { pty, sluiceOnTerminal } from "./on-terminal.ts";
import { createRemoteWorld, type RemoteWorld, type Running, until } from "./remote-world.ts";

/** Real commands one after the other, whose link to hub and router stays behind the first. */

const LIMIT_MS = 120_000;

interface Link {
  readonly pid: number;
  readonly commands: number;
}

let world: RemoteWorld;
let runtime = "";
beforeAll(async () => {
  world = await createRemoteWorld();
}, LIMIT_MS);
afterAll(() => world[Symbol.asyncDispose](), LIMIT_MS);
beforeEach(async () => {
  // Short: the name of a socket has little room.
  runtime = await mkdtemp(join(tmpdir(), "sluice-link-"));
});
afterEach(async () => {
  for (const { pid } of await links()) sendSignal(pid, "SIGKILL");
  await rm(runtime, { recursive: true, force: true, maxRetries: 5 });
});

const environment = (more: Readonly<Record<string, string>> = {}) => ({
  ...world.environment(),
  XDG_RUNTIME_DIR: runtime,
  ...more,
});
const start = (args: readonly string[], more?: Readonly<Record<string, string>>) =>
  world.start(args, environment(more));
const exec = (...argv: readonly string[]) => start(["exec", "-v", world.boxId, "--", ...argv]);

async function links(): Promise<readonly Link[]> {
  const { out } = await start(["link", "ls", "--json"]).ended;
  return JSON.parse(out.toString()).items;
}

/** Of the keeper that the next command finds. */
async function keep(): Promise<number> {
  const { code, err } = await exec("true").ended;
  expect({ code, err }).toEqual({ code: 0, err: expect.stringContaining("a new link") });
  let pid = 0;
  await until(async () => {
    const [link] = await links();
    pid = link?.pid ?? 0;
    return pid > 0;
  }, "a link is kept");
  return pid;
}

async function says(run: Running, text: string): Promise<void> {
  let seen = "";
  run.child.stdout.on("data", (bytes: Buffer) => {
    seen += bytes.toString();
  });
  await until(() => seen.includes(text), `it says ${text}`);
}

test(
  "the second command uses what the first has left: ends, signals, binary input and both outputs are as ever",
  async () => {
    const pid = await keep();
    const kept = `the link that process ${pid} keeps`;
    const codes = await Promise.all([0, 3, 255].map((code) => exec("/bin/sh", "-c", `exit ${code}`).ended));
    expect(codes.map(({ code }) => code)).toEqual([0, 3, 255]);
    for (const { err } of codes) expect(err).toContain(kept);
    const killed = await exec("/bin/sh", "-c", "kill -9 $$").ended;
    expect(killed).toMatchObject({ code: 137, err: expect.stringContaining("SIGKILL") });

    const bytes = randomBytes(8_000_000);
    const summed = start(["exec", world.boxId, "--", "/usr/bin/sha256sum"]);
    summed.child.stdin.end(bytes);
    const sum = await summed.ended;
    expect({ ...sum, out: sum.out.toString() }).toEqual({
      code: 0,
      err: "",
      out: `${createHash("sha256").update(bytes).digest("hex")}  -\n`,
    });
    const back = await start(["exec", "--seal", world.boxId, "--", "/bin/sh", "-c", "seq 1 300000; echo e >&2"]).ended;
    expect({ code: back.code, err: back.err, bytes: back.out.length }).toEqual({
      code: 0,
      err: "e\n",
      bytes: 1_988_895,
    });

    const sleeping = exec("/bin/sh", "-c", 'trap "exit 7" INT; echo ready; while :; do sleep 0.1; done');
    await says(sleeping, "ready");
    sendSignal(sleeping.child.pid ?? 0, "SIGINT");
    expect((await sleeping.ended).code).toBe(7);
    expect(await links()).toMatchObject([{ pid, commands: 0 }]);
  },
  LIMIT_MS,
);

test(
  "a keeper has nothing of who started it: no descriptor, no directory, no terminal; and a pipeline ends with its command",
  async () => {
    const script = `exec 7>&1; "$0" --no-warnings "$1" exec "$2" -- echo out | cat; echo piped`;
    const child = spawn("/bin/sh", ["-c", script, process.execPath, MAIN_PROGRAM, world.boxId], {
      env: environment(),
      cwd: runtime,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let out = "";
    child.stdout.on("data", (bytes: Buffer) => {
      out += bytes.toString();
    });
    // Only once nobody at all holds the pipe.
    await once(child.stdout, "end");
    expect(out).toBe("out\npiped\n");
    let pid = 0;
    await until(async () => {
      pid = (await links())[0]?.pid ?? 0;
      return pid > 0;
    }, "a link is kept");
    expect(await readlink(`/proc/${pid}/cwd`)).toBe("/");
    const open = await Promise.all([0, 1, 2].map((fd) => readlink(`/proc/${pid}/fd/${fd}`)));
    expect(open).toEqual(["/dev/null", "/dev/null", "/dev/null"]);
  },
  LIMIT_MS,
);

test(
  "a keeper that is killed loses no session: the command goes on by itself",
  async () => {
    const pid = await keep();
    const run = exec("/bin/sh", "-c", "echo begun; while read -r line; do echo got $line; done; exit 5");
    await says(run, "begun");
    run.child.stdin.write("one\n");
    await says(run, "got one");
    sendSignal(pid, "SIGKILL");
    run.child.stdin.end("two\nthree\n");
    const { code, out, err } = await run.ended;
    expect({ code, out: out.toString() }).toEqual({ code: 5, out: "begun\ngot one\ngot two\ngot three\n" });
    expect(err).toContain("without the kept link from here on");
    // What is left of it holds up nobody, and the command that went on by itself has replaced it.
    await until(async () => (await links()).some((link) => link.pid !== pid), "another link is kept");
  },
  LIMIT_MS,
);

test.skipIf(pty === undefined)(
  `a terminal through a kept link has its size, follows it and passes keys${pty === undefined ? " (skipped: no terminals)" : ""}`,
  async () => {
    if (pty === undefined) return;
    const pid = await keep();
    const screen = sluiceOnTerminal(
      [
        "exec",
        "-v",
        "-it",
        world.boxId,
        "--",
        "/bin/sh",
        "-c",
        'while read -r x; do echo "$x $(stty size)"; done; exit 9',
      ],
      environment(),
      { cols: 91, rows: 31 },
      pty,
    );
    try {
      await until(() => screen.shown().includes(`process ${pid} keeps`), "it uses the link");
      screen.type("first\r");
      await until(() => screen.shown().includes("first 31 91"), "it has the size");
      screen.resize({ cols: 132, rows: 43 });
      let turn = 0;
      await until(async () => {
        screen.type(`then${turn++}\r`);
        await systemClock.delay(100);
        return /then\d+ 43 132/.test(screen.shown());
      }, "it has the new size");
      screen.type("\u0004");
      expect((await screen.exited).code).toBe(9);
    } finally {
      screen.kill();
    }
  },
  LIMIT_MS,
);

test(
  "two that begin at once leave one link to find; another token has another; none is kept where that is said or not safe",
  async () => {
    const both = await Promise.all([exec("true").ended, exec("true").ended]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    await until(async () => (await links()).length === 1, "one link is kept");
    const [link] = await links();
    expect((await exec("true").ended).err).toContain(`process ${link?.pid} keeps`);

    const made = (await world.hub().call("POST", "/v1/tokens", { name: "second", role: "operator" })) as {
      id: string;
      token: string;
    };
    const as = { SLUICE_HUB_TOKEN: made.token };
    const second = () => start(["exec", "-v", world.boxId, "--", "true"], as).ended;
    expect((await second()).err).toContain("a new link");
    await until(async () => (await links()).length === 2, "each token has its own");
    expect((await second()).err).toMatch(/process \d+ keeps/);
    await world.hub().call("DELETE", `/v1/tokens/${made.id}`);
    const refused = await second();
    expect({ code: refused.code, err: refused.err }).toEqual({
      code: 253,
      err: expect.stringContaining("without the kept link"),
    });
    await until(async () => (await links()).length === 1, "the link of the revoked token is gone");

    const without = await start(["exec", "-v", "--persist", "no", world.boxId, "--", "true"]).ended;
    expect({ code: without.code, err: without.err }).toEqual({ code: 0, err: expect.not.stringContaining("link") });
    const stopped = await start(["link", "stop"]).ended;
    expect({ code: stopped.code, out: stopped.out.toString() }).toEqual({
      code: 0,
      out: expect.stringMatching(/^the link to http\S+ \(process \d+\) is ended\n$/),
    });
    expect(await links()).toEqual([]);
    const unsafe = await start(["exec", "-v", world.boxId, "--", "true"], { XDG_RUNTIME_DIR: "/no/such" }).ended;
    expect({ code: unsafe.code, err: unsafe.err }).toEqual({
      code: 0,
      err: expect.stringContaining("no link is kept: /no/such"),
    });
    expect(await readdir(join(runtime, "sluice"))).toEqual([]);
  },
  LIMIT_MS,
);
