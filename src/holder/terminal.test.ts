import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import { createProcessTable } from "../base/process-table.ts";
import type { Channel } from "../remote/channel.ts";
import { membersOf } from "./kill-ladder.ts";
import { createRemoteWorld, execOf, grantOf, outcomeOf, type RemoteWorld, sh } from "./remote-world.fake.ts";
import { loadPty } from "./terminal.ts";

const IS_LONG = process.env["SLUICE_TEST_LONG"] === "1";
const hasPty = loadPty({ info: () => undefined }) !== undefined;
const table = createProcessTable();

let world: RemoteWorld;
beforeEach(() => {
  world = createRemoteWorld();
});
afterEach(() => world.close());

const open = (script: string, size = { cols: 80, rows: 24 }): Channel => {
  const grant = grantOf(sh(script), { pty: true });
  return world.begin(grant).session.open(execOf(grant, { pty: { term: "xterm", ...size }, stdin: true }));
};

describe.skipIf(!hasPty)("a command on a terminal (needs @lydell/node-pty)", () => {
  test("has its size before it runs, follows it, and knows what terminal it is", async () => {
    const channel = open(
      "stty size; trap 'set -- $(stty size); [ $1 = 100 ] && echo last $1 $2 && exit 0' WINCH; echo $TERM; tty >&2; while :; do sleep 0.05; done",
      {
        cols: 131,
        rows: 47,
      },
    );
    const outcome = outcomeOf(channel);
    await channel.opened;
    await systemClock.delay(300);
    for (let side = 20; side <= 100; side++) channel.resize({ cols: side, rows: side });
    expect((await outcome).text).toMatch(/^47 131\r\nxterm\r\n\/dev\/pts\/\d+\r\nlast 100 100\r\n$/);
  });

  test("ends exactly, by code and by signal, and by what is typed", async () => {
    const ends = await Promise.all(["exit 42", "kill -9 $$", "kill -TERM $$"].map((script) => outcomeOf(open(script))));
    expect(ends.map(({ how }) => how)).toEqual([
      { kind: "code", code: 42 },
      { kind: "signal", signal: "KILL" },
      { kind: "signal", signal: "TERM" },
    ]);
    const typed = open("read line; echo got:$line; sleep 30");
    const outcome = outcomeOf(typed);
    typed.writable("in").write("hello\n");
    await typed.opened;
    await systemClock.delay(300);
    // Ctrl-C: the terminal itself makes a signal of it.
    typed.writable("in").write("\u0003");
    const { text, how } = await outcome;
    expect(text).toContain("got:hello\r\n");
    expect(how).toEqual({ kind: "signal", signal: "INT" });
    const ended = open("cat");
    ended.writable("in").end("last line\n");
    expect(await outcomeOf(ended)).toMatchObject({
      how: { kind: "code", code: 0 },
      text: "last line\r\nlast line\r\n",
    });
  });

  test("loses no byte at its exit, however slow the reader", async () => {
    const count = IS_LONG ? 2_000_000 : 100_000;
    const bytes = Array.from({ length: count }, (_, line) => String(line + 1).length + 2).reduce(
      (sum, one) => sum + one,
      0,
    );
    const { out, how, isWhole } = await outcomeOf(open(`seq 1 ${count}`), { isSlow: true });
    expect({ bytes: out.length, how, isWhole }).toEqual({ bytes, how: { kind: "code", code: 0 }, isWhole: true });
    const short = await Promise.all(Array.from({ length: IS_LONG ? 200 : 30 }, () => outcomeOf(open("seq 1 3000"))));
    expect(new Set(short.map(({ out: all }) => all.length))).toEqual(new Set([short[0]?.out.length]));
    expect(short[0]?.text.endsWith("\r\n3000\r\n")).toBe(true);
  }, 60_000);

  test("a program that does not read what is typed costs no processor time", async () => {
    const channel = open("stty raw -echo; echo ready; sleep 1; head -c 100000 | wc -c");
    const outcome = outcomeOf(channel);
    await channel.opened;
    await systemClock.delay(300);
    const cpu = process.cpuUsage();
    channel.writable("in").write(Buffer.alloc(100_000, 97));
    await systemClock.delay(500);
    const { user, system } = process.cpuUsage(cpu);
    expect((user + system) / 1000).toBeLessThan(300);
    expect((await outcome).text).toContain("100000");
  });

  test("jobs of a shell in groups of their own are ended with it", async () => {
    const grant = grantOf(["/bin/bash", "-mc", "sleep 71 & sleep 72 & wait"], { pty: true });
    const { session, id } = world.begin(grant);
    const channel = session.open(execOf(grant));
    const { pid = 0 } = await channel.opened;
    await expect.poll(() => membersOf(pid, table).length).toBe(3);
    world.holder.end(id, "enough");
    await expect.poll(() => membersOf(pid, table), { timeout: 12_000 }).toEqual([]);
  }, 20_000);
});

test("without terminals one that is asked for is refused in clear words", async () => {
  const bare = createRemoteWorld({ pty: undefined });
  try {
    const grant = grantOf(["/bin/true"], { pty: true });
    await expect(bare.begin(grant).session.open(execOf(grant)).opened).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("no terminals"),
    });
  } finally {
    await bare.close();
  }
});

describe("a detached command", () => {
  const attach = (session: string) => ({ kind: "attach", session }) as const;

  test("goes on without its operator, and its output and its end are there for whoever of them comes back", async () => {
    const grant = grantOf(sh("echo one; sleep 0.7; echo two; echo oops >&2; exit 4"), { detach: true });
    const { id, session } = world.begin(grant, { resumeSeconds: 1 });
    const channel = session.open(execOf(grant));
    await channel.opened;
    await systemClock.delay(100);
    session.close();
    await expect.poll(() => world.holder.status().sessions.map(({ state }) => state)).toEqual(["detached"]);
    await systemClock.delay(800);

    const stranger = world.begin(attach(id), { operator: "eve" }).session.open({ kind: "attach" });
    await expect(stranger.opened).rejects.toMatchObject({ code: "not-found" });
    const again = world.begin(attach(id)).session.open({ kind: "attach" });
    const { how, text, err, isWhole } = await outcomeOf(again);
    // What the first channel had taken is not told again.
    expect(text).toMatch(/^(?:one\n)?two\n$/);
    expect({ how, err: err.toString(), isWhole }).toEqual({
      how: { kind: "code", code: 4 },
      err: "oops\n",
      isWhole: true,
    });
    await expect.poll(() => world.holder.status().sessions.some(({ session: one }) => one === id)).toBe(false);
    expect(world.holder.status().ended).toEqual([{ session: id, code: 4 }]);
  });

  test("keeps what it wrote last, and counts what it had to drop", async () => {
    const grant = grantOf(sh("sleep 0.5; head -c 9000000 /dev/zero; echo end; sleep 0.3"), { detach: true });
    const { id, session } = world.begin(grant);
    const channel = session.open(execOf(grant));
    await channel.opened;
    session.close();
    await systemClock.delay(2000);
    const again = world.begin(attach(id)).session.open({ kind: "attach" });
    const { droppedBytes } = await again.opened;
    const { out } = await outcomeOf(again);
    expect(droppedBytes).toBe(9_000_004 - 8 * 1024 * 1024);
    expect(out.length).toBe(8 * 1024 * 1024);
    expect(out.subarray(-4).toString()).toBe("end\n");
  });
});
