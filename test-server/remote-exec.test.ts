import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { messageOf } from "../src/base/errors.ts";
import { createRemoteWorld, type RemoteWorld, until } from "./remote-world.ts";
import { createWarmOperator } from "./warm-operator.ts";

const LIMIT_MS = 60_000;
const IS_LONG = process.env["SLUICE_TEST_LONG"] === "1";
const COMMAND_RUNS = IS_LONG ? 50 : 5;
const WARM_RUNS = IS_LONG ? 950 : 10;

let world: RemoteWorld;
beforeAll(async () => {
  world = await createRemoteWorld();
}, LIMIT_MS);
afterAll(() => world[Symbol.asyncDispose]());

const exec = (...argv: string[]) => world.start(["exec", world.boxId, "--", ...argv]);

test(
  "a slow reader gets all that seq writes, and the exit status 0",
  async () => {
    const run = exec("/usr/bin/seq", "1", "2000000");
    run.child.stdout.pause();
    await systemClock.delay(2000);
    run.child.stdout.resume();
    const { code, out, err } = await run.ended;
    expect({ code, err, bytes: out.length }).toEqual({ code: 0, err: "", bytes: 14_888_896 });
    expect(out.subarray(-8).toString()).toBe("2000000\n");
  },
  LIMIT_MS,
);

test(
  "a reader that begins when the command has long ended gets all of it",
  async () => {
    // Around what a pipe and the program itself hold.
    for (const bytes of [60_000, 150_000, 230_000, 260_000, 300_000]) {
      const run = exec("/usr/bin/head", "-c", String(bytes), "/dev/zero");
      run.child.stdout.pause();
      await systemClock.delay(1500);
      run.child.stdout.resume();
      const { code, out, err } = await run.ended;
      expect({ code, err, bytes: out.length }).toEqual({ code: 0, err: "", bytes });
    }
  },
  LIMIT_MS,
);

test(
  "what is piped in arrives whole, with its end, sealed or not",
  async () => {
    const bytes = Buffer.alloc(20_000_000, "any bytes \0\xff\r\n", "latin1");
    const sealed = world.start(["exec", "--seal", world.boxId, "--", "/usr/bin/sha256sum"]);
    for (const run of [exec("/usr/bin/sha256sum"), sealed]) {
      run.child.stdin.end(bytes);
      const { code, out, err } = await run.ended;
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(out.toString()).toBe(`${createHash("sha256").update(bytes).digest("hex")}  -\n`);
    }
  },
  LIMIT_MS,
);

test(
  "the end of a detached command is told to the hub, also one that comes while the agent is away",
  async () => {
    const detach = async (text: string) => {
      const argv = ["exec", "--detach", world.boxId, "--", "/bin/sh", "-c", text];
      const { code, out, err } = await world.start(argv).ended;
      expect({ code, err }).toEqual({ code: 0, err: "" });
      return out.toString().trim();
    };
    const [three, killed] = await Promise.all([detach("exit 3"), detach("sleep 2; kill -9 $$")]);
    await world.box.killAgent("SIGKILL");
    await systemClock.delay(2500);
    await world.box.startAgent();
    const reasonOf = async (id: string) =>
      ((await world.hub().call("GET", `/v1/remote/${id}`)) as { state: string; reason: string }).reason;
    const reasons = () => Promise.all([three, killed].map(reasonOf));
    await until(
      async () => (await reasons()).every((reason) => reason.startsWith("its command")),
      "its box has told the ends",
      30_000,
    );
    expect(await reasons()).toEqual(["its command has ended with exit status 3", "its command was ended by SIGKILL"]);
  },
  LIMIT_MS,
);

test(
  "deaths by signal, outputs that are held on, programs that are not there",
  async () => {
    const script = (text: string) =>
      world.start(["exec", world.boxId, "-v", "--no-stdin", "--", "/bin/sh", "-c", text]);
    const [killed, held, absent, apart] = await Promise.all([
      script("kill -9 $$").ended,
      script("sleep 8 & echo hi; exit 4").ended,
      exec("/no/such/program").ended,
      script("echo out; echo err >&2").ended,
    ]);
    expect(killed.code).toBe(137);
    expect(killed.err).toContain("the command was ended by SIGKILL");
    expect({ code: held.code, out: held.out.toString() }).toEqual({ code: 4, out: "hi\n" });
    expect(held.err).toContain("still holds its output");
    expect({ code: absent.code, out: absent.out.toString() }).toEqual({ code: 254, out: "" });
    expect({ code: apart.code, out: apart.out.toString() }).toEqual({ code: 0, out: "out\n" });
    expect(apart.err).toContain("err\n");
  },
  LIMIT_MS,
);

const PROGRAMS = [["/bin/true"], ["/bin/false"], ["/bin/sh", "-c", "exit 42"]];
// An operator may have 16 sessions at a time.
const ROUNDS_AT_ONCE = 4;
/** Runs all three, `rounds` times, some at once; answers what did not end as it should. */
async function wrongEnds(rounds: number, run: (argv: readonly string[]) => Promise<{ code: unknown; why: string }>) {
  const wrong: string[] = [];
  let left = rounds;
  const work = async () => {
    while (left-- > 0) {
      const ends = await Promise.all(PROGRAMS.map(run));
      const codes = ends.map(({ code }) => code).join();
      if (codes !== "0,1,42") wrong.push(`${codes} ${ends.map(({ why }) => why).join("; ")}`);
    }
  };
  await Promise.all(Array.from({ length: ROUNDS_AT_ONCE }, work));
  return wrong;
}

test(
  `true, false and exit 42 are told apart in ${COMMAND_RUNS} runs each of sluice exec, which starts for each`,
  async () => {
    const run = (argv: readonly string[]) => exec(...argv).ended.then(({ code, err }) => ({ code, why: err }));
    expect(await wrongEnds(COMMAND_RUNS, run)).toEqual([]);
  },
  COMMAND_RUNS * 10_000 + LIMIT_MS,
);

test(
  `true, false and exit 42 are told apart in ${WARM_RUNS} runs each by one program that has its connections, each in a session of its own`,
  async () => {
    const { origin, adminToken } = world.hub();
    const stop = new AbortController();
    using operator = createWarmOperator({ box: world.boxId, origin, adminToken }, stop.signal);
    const run = (argv: readonly string[]) =>
      operator
        .run(argv)
        .then(({ outcome }) => outcome)
        .then(
          ({ status, message = "" }) => ({ code: status.verified ? status.code : status.kind, why: message }),
          (thrown: unknown) => ({ code: "none", why: messageOf(thrown) }),
        );
    expect(await wrongEnds(WARM_RUNS, run)).toEqual([]);
  },
  WARM_RUNS * 1000 + LIMIT_MS,
);

test(
  "a killed agent costs a running command nothing: the same process goes on, and every byte arrives",
  async () => {
    const counter = join(world.directory, "count");
    const run = exec(
      "/bin/sh",
      "-c",
      `echo $$ >> ${counter}; for i in $(seq 1 40); do echo line $i; sleep 0.1; done; exit 7`,
    );
    await until(async () => (await readFile(counter, "utf8").catch(() => "")) !== "", "the command runs");
    await world.box.killAgent("SIGKILL");
    await world.box.startAgent();
    const { code, out } = await run.ended;
    expect(code).toBe(7);
    expect(out.toString()).toBe(Array.from({ length: 40 }, (_none, index) => `line ${index + 1}\n`).join(""));
    expect((await readFile(counter, "utf8")).trim().split("\n")).toHaveLength(1);
  },
  LIMIT_MS,
);
