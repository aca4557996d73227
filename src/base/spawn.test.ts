import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "./clock.ts";
import { createSpawner, minimalEnvironment } from "./spawn.ts";

const spawner = createSpawner({ ambient: process.env }, { clock: systemClock });
const limits = { timeoutMs: 10_000, maxOutputBytes: 65_536 };

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-spawn-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function runDetached(file: string, args: string[], env: Record<string, string> = {}) {
  const path = join(directory, "output");
  const fd = openSync(path, "a", 0o600);
  try {
    const child = await spawner.spawnDetached({ file, args, env, stdoutFd: fd, stderrFd: fd });
    const exit = await child.exited;
    return { pid: child.pid, exit, output: readFileSync(path, "utf8") };
  } finally {
    closeSync(fd);
  }
}

function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

async function untilGone(pid: number): Promise<boolean> {
  for (let round = 0; round < 100 && isRunning(pid); round++) await systemClock.delay(20);
  return !isRunning(pid);
}

describe("spawnDetached", () => {
  test("gives the child its own session, no input, and only a minimal environment", async () => {
    const { pid, exit, output } = await runDetached(
      "sh",
      ["-c", "cat; cut -d' ' -f1,5,6 /proc/$$/stat; tr '\\0' '\\n' < /proc/$$/environ"],
      {
        SLUICE_TEST: "1",
      },
    );
    expect(exit).toEqual({ code: 0, signal: null });
    const [ids, ...environment] = output.trim().split("\n");
    expect(ids).toBe(`${pid} ${pid} ${pid}`);
    expect(environment[0]).toBe("SLUICE_TEST=1");
    expect(environment.map((line) => line.split("=")[0]).filter((name) => name !== "HOME" && name !== "TZ")).toEqual([
      "SLUICE_TEST",
      "PATH",
      "LANG",
      "LC_ALL",
    ]);
  });

  test("tells code and signal of the end apart", async () => {
    expect((await runDetached("sh", ["-c", "exit 7"])).exit).toEqual({ code: 7, signal: null });
    expect((await runDetached("sh", ["-c", "kill -9 $$"])).exit).toEqual({ code: null, signal: "SIGKILL" });
  });

  test("passes arguments as they are, whatever a shell would make of them", async () => {
    const { output } = await runDetached("printf", ["%s|", "$(id)", "`id`", "a b", "; rm x", "*"]);
    expect(output).toBe("$(id)|`id`|a b|; rm x|*|");
  });

  test("an absent or forbidden program is not-found", async () => {
    await expect(runDetached("/nonexistent/program", [])).rejects.toMatchObject({ code: "not-found" });
    await expect(runDetached("/etc/passwd", [])).rejects.toMatchObject({ code: "not-found" });
  });

  test("a box without free descriptors is exhausted, and says so", async () => {
    const script = join(directory, "exhaust.ts");
    writeFileSync(
      script,
      `import { closeSync, openSync } from "node:fs";
       import { createSpawner } from ${JSON.stringify(join(import.meta.dirname, "spawn.ts"))};
       import { systemClock } from ${JSON.stringify(join(import.meta.dirname, "clock.ts"))};
       const spawner = createSpawner({ ambient: process.env }, { clock: systemClock });
       const fds = [];
       try { for (;;) fds.push(openSync("/dev/null", "r")); } catch {}
       const error = await spawner.spawnDetached({ file: "true", args: [], env: {}, stdoutFd: 2, stderrFd: 2 }).catch((thrown) => thrown);
       for (const fd of fds) closeSync(fd);
       console.log(error.code);`,
    );
    const command = `ulimit -n 64; exec "$0" --disable-warning=MODULE_TYPELESS_PACKAGE_JSON "$1"`;
    const result = await spawner.runProgram("sh", ["-c", command, process.execPath, script], limits);
    expect(result.stdout.trim(), result.stderr).toBe("exhausted");
  });
});

describe("runProgram", () => {
  test("gives code, both outputs and no more of them than was asked for", async () => {
    const result = await spawner.runProgram("sh", ["-c", "echo out; echo err >&2; exit 3"], limits);
    expect(result).toEqual({ code: 3, signal: null, stdout: "out\n", stderr: "err\n", timedOut: false });
    const long = await spawner.runProgram("sh", ["-c", "head -c 5000000 /dev/zero"], {
      ...limits,
      maxOutputBytes: 100,
    });
    expect(long).toMatchObject({ code: 0, timedOut: false });
    expect(long.stdout).toHaveLength(100);
  });

  test("kills the whole group at the deadline, even one that ignores SIGTERM", async () => {
    const result = await spawner.runProgram("sh", ["-c", "trap '' TERM; sleep 300 & echo $!; wait; sleep 300"], {
      ...limits,
      timeoutMs: 200,
    });
    expect(result).toMatchObject({ timedOut: true, signal: "SIGKILL" });
    expect(await untilGone(Number(result.stdout))).toBe(true);
  });

  test("does not wait for a grandchild that keeps the pipes, and leaves none behind", async () => {
    const startMs = systemClock.monotonicMs();
    const result = await spawner.runProgram("sh", ["-c", "sleep 300 & echo $!"], limits);
    expect(systemClock.monotonicMs() - startMs).toBeLessThan(3000);
    expect(result.code).toBe(0);
    expect(await untilGone(Number(result.stdout))).toBe(true);
  });

  test("ends the program and rejects with the reason when its signal aborts", async () => {
    const stop = new AbortController();
    const running = spawner.runProgram("sleep", ["300"], { ...limits, signal: stop.signal });
    stop.abort(new RangeError("no longer wanted"));
    await expect(running).rejects.toThrow("no longer wanted");
    await expect(spawner.runProgram("true", [], { ...limits, signal: stop.signal })).rejects.toThrow(RangeError);
  });

  test("an absent program is not-found", async () => {
    await expect(spawner.runProgram("no-such-program", [], limits)).rejects.toMatchObject({ code: "not-found" });
  });
});

test("the minimal environment passes on the time zone and home only where they are set", () => {
  expect(minimalEnvironment({ TOKEN: "secret" })).toEqual({
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    LANG: "C.UTF-8",
    LC_ALL: "C.UTF-8",
  });
  expect(minimalEnvironment({ PATH: "/bin", TZ: "UTC", HOME: "/root", LANG: "de_DE" })).toEqual({
    PATH: "/bin",
    LANG: "C.UTF-8",
    LC_ALL: "C.UTF-8",
    TZ: "UTC",
    HOME: "/root",
  });
});
