import { expect, test } from "vitest";
import { openNotifySocket } from "./notify-socket.ts";
import type { RunProgram } from "./spawn.ts";

const calls: { file: string; args: readonly string[]; env: unknown }[] = [];
const answer = (code: number, stderr = ""): RunProgram => {
  return async (file, args, { env }) => {
    calls.push({ file, args, env });
    return { code, signal: null, stdout: "", stderr, timedOut: false };
  };
};

test("without a service manager there is no socket, and nothing is ever started", () => {
  expect(openNotifySocket({}, { runProgram: answer(0), pid: 7 })).toBeUndefined();
  expect(openNotifySocket({ NOTIFY_SOCKET: "" }, { runProgram: answer(0), pid: 7 })).toBeUndefined();
  expect(calls).toEqual([]);
});

test("assignments go out as single lines through systemd-notify, which alone gets the socket's name", async () => {
  const socket = openNotifySocket({ NOTIFY_SOCKET: "/run/notify" }, { runProgram: answer(0), pid: 7 });
  await socket?.send({ READY: "1", STATUS: "two\nlines" });
  expect(calls).toEqual([
    { file: "systemd-notify", args: ["READY=1", "STATUS=two lines"], env: { NOTIFY_SOCKET: "/run/notify" } },
  ]);
});

test("a message that is not delivered is an error with what systemd-notify said", async () => {
  const socket = openNotifySocket({ NOTIFY_SOCKET: "@x" }, { runProgram: answer(1, "No socket\n"), pid: 7 });
  await expect(socket?.send({ READY: "1" })).rejects.toThrow("could not deliver READY: No socket");
});

test.each([
  { usec: "60000000", pid: undefined, watchdogMs: 60_000 },
  { usec: "60000000", pid: "7", watchdogMs: 60_000 },
  { usec: "60000000", pid: "8", watchdogMs: undefined },
  { usec: undefined, pid: undefined, watchdogMs: undefined },
  { usec: "0", pid: undefined, watchdogMs: undefined },
  { usec: "soon", pid: undefined, watchdogMs: undefined },
])("a watch of $usec µs over process $pid gives process 7 $watchdogMs ms", ({ usec, pid, watchdogMs }) => {
  const env = { NOTIFY_SOCKET: "@x", WATCHDOG_USEC: usec, WATCHDOG_PID: pid };
  expect(openNotifySocket(env, { runProgram: answer(0), pid: 7 })?.watchdogMs).toBe(watchdogMs);
});
