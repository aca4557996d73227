import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import { isLive } from "../base/proc-stat.ts";
import { createProcessTable } from "../base/process-table.ts";
import type { CommandGrant } from "../contract/remote/remote-grant.ts";
import { membersOf } from "./kill-ladder.ts";
import { BOX_ID, createRemoteWorld, execOf, grantOf, outcomeOf, type RemoteWorld, sh } from "./remote-world.fake.ts";

let world: RemoteWorld;
beforeEach(() => {
  world = createRemoteWorld();
});
afterEach(() => world.close());

const table = createProcessTable();
const open = (grant: CommandGrant, extra = {}) => world.begin(grant).session.open(execOf(grant, extra));
const run = (script: string, extra = {}) => outcomeOf(open(grantOf(sh(script)), extra));
const gone = async (pid: number) => {
  await expect.poll(() => membersOf(pid, table), { timeout: 12_000, interval: 50 }).toEqual([]);
};

describe("the end of a command", () => {
  test("is told exactly: codes, signals, and what could not be started", async () => {
    const codes = await Promise.all([0, 1, 2, 42, 126, 127, 255].map((code) => run(`exit ${code}`)));
    expect(codes.map(({ how }) => how)).toEqual([0, 1, 2, 42, 126, 127, 255].map((code) => ({ kind: "code", code })));
    const signals = await Promise.all(["KILL", "SEGV", "TERM"].map((name) => run(`kill -${name} $$`)));
    expect(signals.map(({ how }) => how)).toEqual(
      ["KILL", "SEGV", "TERM"].map((signal) => ({ kind: "signal", signal })),
    );
    for (const { killedBy, outputOpenAfterExit } of [...codes, ...signals]) {
      expect([killedBy, outputOpenAfterExit]).toEqual([undefined, false]);
    }
    await expect(open(grantOf(["/nowhere/program"])).opened).rejects.toMatchObject({ code: "not-found" });
    await expect(open(grantOf(["/etc/passwd"])).opened).rejects.toMatchObject({ code: "refused" });
    await expect(open(grantOf(["program-that-is-nowhere"])).opened).rejects.toMatchObject({ code: "not-found" });
  });

  test("waits for everything that was written, also after a failure, however slow the reader", async () => {
    const channel = open(grantOf(sh("head -c 3000000 /dev/zero; echo oops >&2; exit 3")));
    const { how, out, err, isWhole } = await outcomeOf(channel, { isSlow: true });
    expect({ how, out: out.length, err: err.toString(), isWhole }).toEqual({
      how: { kind: "code", code: 3 },
      out: 3_000_000,
      err: "oops\n",
      isWhole: true,
    });
  });

  test("is not held up by what the command leaves behind with its output", async () => {
    const startedMs = performance.now();
    const { text, outputOpenAfterExit, how } = await run("sleep 8 & echo hi");
    expect({ text, outputOpenAfterExit, how }).toEqual({
      text: "hi\n",
      outputOpenAfterExit: true,
      how: { kind: "code", code: 0 },
    });
    expect(performance.now() - startedMs).toBeLessThan(5000);
  });
});

test("a script whose interpreter is not there is refused, and the next command starts", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-script-"));
  try {
    const file = join(directory, "script");
    writeFileSync(file, "#!/nowhere/sh\n", { mode: 0o755 });
    await expect(open(grantOf([file])).opened).rejects.toMatchObject({ code: "not-found" });
    expect((await run("exit 3")).how).toEqual({ kind: "code", code: 3 });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("what a command has left running when it exits by itself goes on", async () => {
  const grant = grantOf(sh("sleep 63 >/dev/null 2>&1 & echo $!"));
  const { session } = world.begin(grant);
  const { text, how } = await outcomeOf(session.open(execOf(grant)));
  session.close();
  await expect.poll(() => world.holder.size, { timeout: 10_000 }).toBe(0);
  const left = Number(text);
  expect({ how, isLive: isLive(table.stat(left)) }).toEqual({ how: { kind: "code", code: 0 }, isLive: true });
  process.kill(left, "SIGKILL");
});

test("outputs can be opened by their names, as programs do", async () => {
  const { text, err, how } = await run("echo out >/dev/stdout; echo err >/dev/stderr; echo more | tee /dev/stderr");
  expect({ text, err: err.toString(), how }).toEqual({
    text: "out\nmore\n",
    err: "err\nmore\n",
    how: { kind: "code", code: 0 },
  });
});

describe("input", () => {
  test("is bytes, with an end of its own", async () => {
    const bytes = Buffer.concat([
      Buffer.from(Array.from({ length: 256 }, (_, value) => value)),
      Buffer.from("\u0000RESIZE:{}\r\n\u001b]0;x\u0007🎥"),
      randomBytes(2_000_000),
    ]);
    const channel = open(grantOf(["/usr/bin/sha256sum"]), { stdin: true });
    channel.writable("in").end(bytes);
    expect((await outcomeOf(channel)).text).toBe(`${createHash("sha256").update(bytes).digest("hex")}  -\n`);
  });

  test("that a command does not want stops its sender, and is no failure", async () => {
    const channel = open(grantOf(["/usr/bin/head", "-c", "1"]), { stdin: true });
    const writer = channel.writable("in");
    const stopped = new Promise((resolve) => writer.once("stopped", resolve));
    for (let part = 0; part < 40; part++) writer.write(Buffer.alloc(65_536, 97));
    const { how, text } = await outcomeOf(channel);
    await stopped;
    expect({ how, text }).toEqual({ how: { kind: "code", code: 0 }, text: "a" });
  });

  test("that a command never reads waits at its sender", async () => {
    const channel = open(grantOf(["/bin/sleep", "30"]), { stdin: true });
    const { pid = 0 } = await channel.opened;
    const writer = channel.writable("in");
    let taken = 0;
    for (let part = 0; part < 200; part++) writer.write(Buffer.alloc(65_536), () => (taken += 65_536));
    const cpu = process.cpuUsage();
    await systemClock.delay(500);
    expect(taken).toBeLessThan(4_000_000);
    const { user, system } = process.cpuUsage(cpu);
    expect((user + system) / 1000).toBeLessThan(400);
    channel.signal("KILL");
    expect(await outcomeOf(channel)).toMatchObject({ how: { kind: "signal", signal: "KILL" }, killedBy: "operator" });
    await gone(pid);
  });

  test("is at its end at once where none was asked for", async () => {
    expect((await run("wc -c; cat /proc/self/environ | tr '\\0' '\\n' | sort | cut -d= -f1")).text.split("\n")).toEqual(
      ["0", "HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "SLUICE_REMOTE_SESSION", "USER", ""],
    );
  });
});

describe("as another user", () => {
  test("it has that user's groups, home and nothing of ours", async ({ skip }) => {
    skip(process.getuid?.() !== 0, "only root can become somebody else");
    const asNobody = spawnSync("/bin/sh", ["-c", ":"], { uid: 65_534, gid: 65_534 });
    skip(asNobody.status !== 0, "nobody but root may run programs on this machine");
    const user = { name: "nobody", uid: 65_534, gid: 65_534, home: "/nonexistent", shell: "/bin/sh", isOther: true };
    const grant = grantOf(
      sh(
        "id -u; id -g; id -G; echo $HOME $USER; echo x >/dev/stderr; grep -E '^Cap(Eff|Prm):' /proc/self/status; exit 127",
      ),
      { user },
    );
    const { text, how, err } = await outcomeOf(open(grant));
    expect(err.toString()).toBe("x\n");
    const [uid, gid, groups, home, ...capabilities] = text.trim().split("\n");
    expect([uid, gid, groups, home]).toEqual(["65534", "65534", "65534", "/nonexistent nobody"]);
    expect(capabilities.map((line) => line.split("\t")[1])).toEqual(["0000000000000000", "0000000000000000"]);
    expect(how).toEqual({ kind: "code", code: 127 });
  });
});

describe("what was offered", () => {
  test("alone is opened, once, and everything else is refused and recorded", async () => {
    const grant = grantOf(["/bin/echo", "a b", "$(id)", "", "l\ni", "'\""]);
    const { session } = world.begin(grant);
    const cases = [
      { argv: ["/bin/echo", "other"] },
      { argv: [] },
      { user: "root2" },
      { cwd: "/tmp" },
      { pty: { term: "xterm", cols: 80, rows: 24 } },
      { env: { LD_PRELOAD: "/tmp/evil.so" } },
    ];
    for (const extra of cases) {
      const isEnv = "env" in extra;
      const it = isEnv ? world.begin(grant).session : session;
      await expect(it.open(execOf(grant, extra)).opened).rejects.toMatchObject({ code: "refused" });
    }
    await expect(session.open({ kind: "dial", host: "127.0.0.1", port: 22 }).opened).rejects.toMatchObject({
      code: "refused",
    });
    const done = await outcomeOf(session.open(execOf(grant)));
    expect(done.text).toBe("a b $(id)  l\ni '\"\n");
    await expect(session.open(execOf(grant)).opened).rejects.toMatchObject({ code: "conflict" });
    const refused = world.audit().filter(({ event }) => event === "refuse");
    expect(refused).toHaveLength(cases.length + 2);
  });

  test("is written down with its operator and its end, and without secrets", async () => {
    const grant = grantOf([...sh("exit 7"), "--token=hunter2", "--password", "hunter3"], {
      environment: ["APP_*"],
    });
    const { session, id } = world.begin(grant);
    await outcomeOf(session.open(execOf(grant, { env: { APP_SECRET: "hunter4" } })));
    session.close();
    await expect.poll(() => world.audit().map(({ event }) => event)).toEqual(["begin", "open", "close", "end"]);
    const [begin, opened, closed] = world.audit();
    expect(begin).toMatchObject({ session: id, operator: "ann", operation: expect.stringContaining("--token=***") });
    expect(opened).toMatchObject({ pid: expect.any(Number), what: "command" });
    expect(closed).toMatchObject({ exit: "code 7" });
    expect(JSON.stringify(world.audit())).not.toMatch(/hunter|secret-ticket/);
  });
});

describe("without its operator", () => {
  test("a command is resumed where it was, and nothing is lost or twice", async () => {
    const grant = grantOf(
      sh("i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); [ $((i % 30)) = 0 ] && sleep 0.1; done"),
    );
    const { session, offered, connect } = world.begin(grant);
    const outcome = outcomeOf(session.open(execOf(grant)));
    for (const wait of [150, 300]) {
      await systemClock.delay(wait);
      (wait === 150 ? offered.pair : offered.pair).break();
      connect();
    }
    const { text, isWhole, how } = await outcome;
    expect(text).toBe(Array.from({ length: 300 }, (_, line) => `${line}\n`).join(""));
    expect({ isWhole, how }).toEqual({ isWhole: true, how: { kind: "code", code: 0 } });
  });

  test("it is ended with all that it started, politely first, when its operator does not come back", async () => {
    const grant = grantOf(
      sh("trap 'echo hup >/dev/null; exit 5' HUP; setsid sh -c 'exit 0'; sleep 61 & (trap '' HUP; sleep 62) & wait"),
    );
    const { session, offered } = world.begin(grant, { resumeSeconds: 1 });
    const channel = session.open(execOf(grant));
    const { pid = 0 } = await channel.opened;
    await expect.poll(() => membersOf(pid, table).length).toBeGreaterThan(2);
    offered.pair.break();
    await gone(pid);
    await expect.poll(() => world.holder.size, { timeout: 10_000 }).toBe(0);
    expect(world.audit().at(-1)).toMatchObject({ event: "end", reason: expect.stringContaining("did not come back") });
  }, 20_000);

  test("the limits of the session end it, and say which", async () => {
    const grant = grantOf(["/bin/sleep", "60"]);
    const { session } = world.begin(grant, { maxSeconds: 1 });
    const { how, killedBy } = await outcomeOf(session.open(execOf(grant)));
    expect({ how, killedBy }).toEqual({ how: { kind: "signal", signal: "HUP" }, killedBy: "max-age" });
    expect(await session.closed).toMatchObject({ code: "timeout" });
  });
});

test("a session that was begun elsewhere is lost, and never begun twice", async () => {
  const grant = grantOf(["/bin/true"]);
  const { id, connect } = world.begin(grant);
  await expect(connect(true).text).resolves.toBe("joined again");
  const other = createRemoteWorld();
  try {
    const offer = {
      session: id,
      ticket: "t",
      router: { id: "r", url: "http://127.0.0.1:1" },
      attempt: 2,
      operator: "ann",
      operation: { kind: "shell", pty: true } as const,
      limits: { idleSeconds: 9, maxSeconds: 9, resumeSeconds: 9 },
      proof: other.hub.proof(),
    };
    await expect(other.holder.offer({ box: BOX_ID, offer, grant, isKnown: true })).rejects.toThrow(/^lost:/);
  } finally {
    await other.close();
  }
});
