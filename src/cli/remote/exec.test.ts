import { createHash } from "node:crypto";
import { expect, test, vi } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { systemClock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { Channel } from "../../remote/channel.ts";
import type { OpenWhat } from "../../remote/open-what.ts";
import { createTestContext } from "../command-context.fake.ts";
import { runProgram } from "../program.ts";
import {
  type BoxHand,
  createFakeConsole,
  createRemoteWorld,
  endCommand,
  type FakeConsole,
  type RemoteWorld,
} from "./remote-world.fake.ts";

const exits = (code: number) => ({ kind: "code" as const, code });

interface Given {
  readonly world?: RemoteWorld;
  readonly fake?: FakeConsole;
  readonly clock?: ReturnType<typeof createFakeClock>;
}

function start(args: readonly string[], hand: BoxHand, given: Given = {}) {
  const world = given.world ?? createRemoteWorld(hand, given.clock === undefined ? {} : { clock: given.clock });
  const fake = given.fake ?? createFakeConsole();
  const base = createTestContext("/nowhere");
  const context = createTestContext("/nowhere", {
    env: { SLUICE_HUB: "https://hub.test", SLUICE_HUB_TOKEN: "t", SECRET: "s3" },
    connectHub: () => Promise.resolve(world.hub),
    clock: given.clock ?? systemClock,
    remote: { ...base.remote, ...world.tools, openConsole: () => Promise.resolve(fake.console) },
  });
  const exit = runProgram(["exec", ...args], context);
  return { world, fake, context, exit };
}

async function eventually(isSo: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2000 && !isSo(); turn++) await systemClock.delay(5);
  expect(isSo()).toBe(true);
}

test("output, errors and exit status come apart and exact, and the status line says that they are proved", async () => {
  let asked: OpenWhat | undefined;
  const { world, fake, exit } = start(
    ["north-1", "--env", "A=1", "-e", "SECRET", "--cwd", "/srv", "--status-fd", "3", "--", "do", "--it", "a b"],
    async (channel, what) => {
      asked = what;
      channel.accept({ pid: 7 });
      channel.writable("out").write(Buffer.of(0, 255, 10, 13));
      channel.writable("err").write("complaint");
      await endCommand(channel, exits(42));
    },
  );
  expect(await exit).toBe(42);
  expect(Buffer.from(fake.out(), "utf8").length).toBeGreaterThan(3);
  expect(fake.err()).toBe("complaint");
  expect(asked).toMatchObject({
    kind: "exec",
    argv: ["do", "--it", "a b"],
    env: { A: "1", SECRET: "s3" },
    cwd: "/srv",
    stdin: true,
  });
  expect(world.created).toEqual([
    {
      box: "north-1",
      create: {
        operation: { kind: "exec", argv: ["do", "--it", "a b"], pty: false, detach: false, cwd: "/srv" },
        seal: false,
      },
    },
  ]);
  expect(JSON.stringify(world.created)).not.toContain("s3");
  // The box need not ask for it first.
  expect(world.earlyProofs()).toBe(1);
  expect(fake.statusLines().map((line) => JSON.parse(line.slice(2)))).toEqual([
    { kind: "exit", code: 42, verified: true, wallMs: 12 },
  ]);
});

test("standard input reaches the command whole, with its end, and no faster than it reads", async () => {
  const bytes = Buffer.alloc(6_000_000, "0123456789");
  const { fake, exit } = start(["north-1", "--", "sha256sum"], async (channel) => {
    channel.accept();
    await systemClock.delay(100);
    const hash = createHash("sha256");
    for await (const piece of channel.readable("in")) hash.update(piece as Buffer);
    channel.writable("out").write(hash.digest("hex"));
    await endCommand(channel, exits(0));
  });
  fake.stdin.end(bytes);
  expect(await exit).toBe(0);
  expect(fake.out()).toBe(createHash("sha256").update(bytes).digest("hex"));
});

test("a slow reader holds the command back, and gets every byte of it", async () => {
  const whole = Buffer.alloc(8_000_000, "seq");
  let isHeld = true;
  let waiting: (() => void) | undefined;
  const fake = createFakeConsole({
    onWrite: (_bytes, done) => {
      if (isHeld) waiting = done;
      else done();
    },
  });
  let written = 0;
  const { exit } = start(
    ["north-1", "--", "seq"],
    async (channel) => {
      channel.accept();
      const out = channel.writable("out");
      for (let at = 0; at < whole.length; at += 50_000) {
        await new Promise((resolve) => out.write(whole.subarray(at, at + 50_000), resolve));
        written = at;
      }
      await endCommand(channel, exits(0));
    },
    { fake },
  );
  await eventually(() => waiting !== undefined);
  await systemClock.delay(200);
  expect(written).toBeLessThan(2_000_000);
  isHeld = false;
  waiting?.();
  expect(await exit).toBe(0);
  expect(fake.out().length).toBe(whole.length);
});

test("death by signal is 128 + n, and is said to whoever watches", async () => {
  const fake = createFakeConsole();
  const { context, exit } = start(
    ["north-1", "-v", "--", "sleep"],
    async (channel) => {
      channel.accept();
      await endCommand(channel, { kind: "signal", signal: "KILL" });
    },
    { fake },
  );
  expect(await exit).toBe(137);
  expect(context.err()).toContain("the command was ended by SIGKILL");
});

test("output that is not what the command wrote is no success", async () => {
  const { fake, context, exit } = start(["north-1", "--status-fd", "4", "--", "cat"], async (channel) => {
    channel.accept();
    channel.writable("out").write("abc");
    await endCommand(channel, exits(0), { out: { total: 5, sha256: Buffer.alloc(32) } });
  });
  expect(await exit).toBe(251);
  expect(context.err()).toContain("standard output has 3 of 5 bytes");
  expect(JSON.parse(fake.statusLines()[0]?.slice(2) ?? "")).toMatchObject({
    kind: "truncated",
    code: 0,
    verified: false,
  });
});

test("a reader that leaves ends the output, and the exit status is still the command's", async () => {
  let wasStopped = false;
  const fake = createFakeConsole({ onWrite: (_bytes, done) => done(new Error("EPIPE")) });
  const { exit } = start(
    ["north-1", "--", "yes"],
    async (channel) => {
      channel.accept();
      const out = channel.writable("out");
      out.on("stopped", () => {
        wasStopped = true;
      });
      while (!wasStopped) await new Promise((resolve) => out.write("y\n".repeat(1000), resolve));
      await endCommand(channel, { kind: "signal", signal: "PIPE" });
    },
    { fake },
  );
  expect(await exit).toBe(141);
  expect(wasStopped).toBe(true);
});

test("what still holds the output after the exit is not waited for", async () => {
  const { fake, exit } = start(["north-1", "--", "sh"], async (channel) => {
    channel.accept();
    channel.writable("out").write("hi\n");
    await systemClock.delay(20);
    const [out, err] = [channel.digest("out"), channel.digest("err")];
    const facts = { coreDumped: false, killedBy: undefined, outputOpenAfterExit: true, wallMs: 2000 };
    channel.exit({ how: exits(0), ...facts, out, err });
  });
  expect(await exit).toBe(0);
  expect(fake.out()).toBe("hi\n");
});

test("a link that breaks in the middle is joined again, and nothing is lost or twice", async () => {
  const whole = Buffer.alloc(3_000_000, "abcdefghij\n");
  const world: RemoteWorld = createRemoteWorld(async (channel) => {
    channel.accept();
    const out = channel.writable("out");
    for (let at = 0; at < whole.length; at += 30_000) {
      await new Promise((resolve) => out.write(whole.subarray(at, at + 30_000), resolve));
      if (at === 900_000 || at === 1_800_000) world.carrier().break();
    }
    await endCommand(channel, exits(3));
  });
  world.rejoinFaults.push(new AppError("unavailable", "the hub is away"));
  const { fake, exit } = start(["north-1", "--", "x"], () => undefined, { world });
  expect(await exit).toBe(3);
  expect(world.rejoins()).toBe(3);
  expect(world.earlyProofs()).toBe(1);
  expect(Buffer.compare(Buffer.from(fake.out()), whole)).toBe(0);
});

test("a box that has lost its memory of the session ends it as lost, never as success", async () => {
  const world: RemoteWorld = createRemoteWorld((channel) => {
    channel.accept();
    channel.writable("out").write("begun");
  });
  const { context, fake, exit } = start(["north-1", "--", "x"], () => undefined, { world });
  // Only an operator's end that has heard of the box can miss its memory.
  await vi.waitFor(() => expect(fake.out()).toBe("begun"), { timeout: 30_000 });
  world.forget();
  world.carrier().break();
  expect(await exit).toBe(250);
  expect(context.err()).toContain("lost its memory");
});

test("what was asked for and not answered before the session was over is lost: it may have begun", async () => {
  let isAsked = false;
  const world = createRemoteWorld(() => {
    isAsked = true;
  });
  world.rejoinFaults.push(new AppError("conflict", "its box is gone"));
  const { context, exit } = start(["north-1", "--", "x"], () => undefined, { world });
  await eventually(() => isAsked);
  world.carrier().break();
  expect(await exit).toBe(250);
  expect(context.err()).toContain("its box is gone");
});

test("it says so after two seconds without a link, and gives up when the box no longer waits", async () => {
  const clock = createFakeClock();
  const world = createRemoteWorld(
    (channel) => {
      channel.accept();
      channel.writable("out").write("begun");
    },
    { clock },
  );
  const { context, exit, fake } = start(["north-1", "--", "x"], () => undefined, { world, clock });
  // Also the operator's end has it: a carrier that breaks before that ends what never began.
  for (let turn = 0; turn < 5000 && fake.out() === ""; turn++) {
    await clock.advance(1);
    await systemClock.delay(1);
  }
  expect(fake.out()).toBe("begun");
  for (let count = 0; count < 10_000; count++) world.rejoinFaults.push(new AppError("unavailable", "no route"));
  world.carrier().break();
  await clock.advance(1900);
  expect(context.err()).toBe("");
  await clock.advance(200);
  expect(context.err()).toContain("the connection to north-1 is lost (no route); trying again for up to 5 min");
  await clock.advance(300_000);
  expect(await exit).toBe(250);
  expect(context.err()).toContain("did not come back in 5 min: no route");
});

test("a box that does not come is 252, one that refuses 253 with its reason, a program that is not there 254", async () => {
  const silent = createRemoteWorld(() => undefined);
  silent.joinFaults.push(new AppError("timeout", "north-1 did not come within 60 s"));
  const first = start(["north-1", "--", "x"], () => undefined, { world: silent });
  expect(await first.exit).toBe(252);

  // The hub names no other router; another way to the same one may do, and is tried a few times.
  const away = createRemoteWorld(() => undefined);
  for (let count = 0; count < 5; count++)
    away.joinFaults.push(new AppError("unavailable", "the router r-1 cannot be reached"));
  const nowhere = start(["north-1", "--", "x"], () => undefined, { world: away });
  expect([await nowhere.exit, away.rejoins()]).toEqual([252, 4]);
  expect(nowhere.context.err()).toBe("sluice: the router r-1 cannot be reached\n");

  const refusing = createRemoteWorld(() => undefined);
  refusing.joinFaults.push(new AppError("cancelled", "the session was ended"));
  refusing.end("the box's policy allows no commands to anna");
  const second = start(["north-1", "--", "x"], () => undefined, { world: refusing });
  expect(await second.exit).toBe(253);
  expect(second.context.err()).toBe("sluice: the box's policy allows no commands to anna\n");

  const third = start(["north-1", "--", "x"], (channel) =>
    channel.refuse(new AppError("not-found", "no such program: x")),
  );
  expect(await third.exit).toBe(254);
  expect(third.context.err()).toBe("sluice: no such program: x\n");

  expect(await start(["nowhere", "--", "x"], () => undefined).exit).toBe(254);
  expect(await start(["north-1", "--bad"], () => undefined).exit).toBe(254);
});

test("signals go to the command; a second SIGINT at once ends this side", async () => {
  const names: string[] = [];
  let opened: Channel | undefined;
  const { fake, context, exit } = start(["north-1", "--", "x"], (channel) => {
    opened = channel;
    channel.on({ onSignal: (name) => void names.push(name) });
    channel.accept();
  });
  await eventually(() => opened !== undefined);
  await systemClock.delay(20);
  fake.raise("TERM");
  fake.raise("INT");
  await eventually(() => names.length === 2);
  fake.raise("INT");
  expect(await exit).toBe(250);
  expect(names).toEqual(["TERM", "INT"]);
  expect(context.err()).toContain("interrupted twice");
});

test("with -t the terminal is raw while it runs, its size follows, ~. leaves, and it is restored", async () => {
  const fake = createFakeConsole({ isTerminal: true });
  const sizes: unknown[] = [];
  let typed = "";
  let asked: OpenWhat | undefined;
  const { world, exit } = start(
    ["north-1", "-it"],
    (channel, what) => {
      asked = what;
      channel.on({ onResize: (size) => void sizes.push(size) });
      channel.accept();
      channel.readable("in").on("data", (bytes) => {
        typed += String(bytes);
      });
    },
    { fake },
  );
  await eventually(() => fake.isRaw());
  expect(asked).toMatchObject({ argv: [], pty: { term: "xterm-test", cols: 80, rows: 24 }, stdin: true });
  expect(world.created[0]?.create.operation).toEqual({ kind: "shell", pty: true });
  fake.resize(120, 40);
  fake.stdin.write("ls ~.\r~~x\r");
  await eventually(() => typed === "ls ~.\r~x\r");
  expect(sizes).toEqual([
    { cols: 80, rows: 24 },
    { cols: 120, rows: 40 },
  ]);
  fake.stdin.write("~.");
  expect(await exit).toBe(250);
  expect(fake.isRaw()).toBe(false);
  expect(world.earlyProofs()).toBe(0);
});

test("a command that takes too long is stopped, and that is 252", async () => {
  const { exit } = start(["north-1", "--timeout", "1s", "--", "sleep"], (channel) => {
    channel.on({ onSignal: (signal) => void endCommand(channel, { kind: "signal", signal }) });
    channel.accept();
  });
  expect(await exit).toBe(252);
});

test("a detached command gives its session, and its end can be had later", async () => {
  let kept: Channel | undefined;
  const world = createRemoteWorld((channel, what) => {
    if (what.kind === "exec") {
      kept = channel;
      channel.accept({ pid: 77 });
      return;
    }
    channel.accept({ pid: 77, droppedBytes: 5 });
    channel.writable("out").write("tail");
    void endCommand(channel, exits(9), { out: { total: 9, sha256: Buffer.alloc(32) } });
  });
  const first = start(["north-1", "--detach", "--", "job"], () => undefined, { world });
  expect(await first.exit).toBe(0);
  expect(first.context.out()).toBe("s-1\n");
  expect(kept).toBeDefined();
  const second = start(["north-1", "--attach", "s-1", "--status-fd", "3"], () => undefined, { world });
  expect(await second.exit).toBe(9);
  expect(second.fake.out()).toBe("tail");
  expect(second.context.err()).toContain("5 bytes of its output are no longer kept");
  expect(JSON.parse(second.fake.statusLines()[0]?.slice(2) ?? "")).toMatchObject({
    kind: "exit",
    code: 9,
    verified: false,
  });
  expect(world.created[1]?.create.operation).toEqual({ kind: "attach", session: "s-1" });
});

test("on many boxes lines are whole and named, and it is 0 only when all are", async () => {
  const boxes = ["north-1", "north-2", "w"];
  const world = createRemoteWorld(
    async (channel, _what, box) => {
      if (box === "north-2") return channel.refuse(new AppError("refused", "policy"));
      channel.accept();
      const out = channel.writable("out");
      out.write(`${box} li`);
      await systemClock.delay(20);
      out.write("ne\nlast");
      await endCommand(channel, exits(0));
    },
    { boxes },
  );
  const { fake, context, exit } = start(["--all", "--parallel", "2", "--", "uptime"], () => undefined, { world });
  expect(await exit).toBe(1);
  expect(fake.out().split("\n").sort()).toEqual(
    ["", "north-1 | last", "north-1 | north-1 line", "w       | last", "w       | w line"].sort(),
  );
  expect(context.err()).toMatch(/north-2\s+253\s+\S+ s\s+policy/);
  expect(context.err()).toContain("2 of 3 boxes ended with 0");

  const json = start(["--label", "site=north", "--json", "--", "uptime"], () => undefined, { world });
  expect(await json.exit).toBe(1);
  const lines = `${json.fake.out()}${json.context.out()}`
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines).toContainEqual({ box: "w", output: "stdout", text: "w line" });
  expect(lines).toContainEqual(expect.objectContaining({ box: "north-2", exitCode: 253, kind: "denied" }));
});
