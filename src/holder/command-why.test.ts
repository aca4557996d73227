import { expect, test } from "vitest";
import { type CommandLook, type CommandProcess, commandWhy, isRead } from "./command-why.ts";

const facts = (given: Partial<Parameters<typeof isRead>[1]> = {}): Parameters<typeof isRead>[1] => ({
  arch: "x64",
  input: "socket:[5]",
  linkOfFd: (fd) => (fd === 0 ? "socket:[5]" : "pipe:[9]"),
  ...given,
});

test("a read of the command's own input is told from every other call", () => {
  expect(isRead("0 0x0 0x7f 0x20000 0x0 0x0 0x0 0x7ff 0x7f2\n", facts())).toBe(true);
  // A descriptor that leads elsewhere: the second program of a pipeline.
  expect(isRead("0 0x3 0x7f 0x20000 0x0 0x0 0x0 0x7ff 0x7f2\n", facts())).toBe(false);
  expect(isRead("7 0x7f 0x1 0x0 0x0 0x0 0x0 0x7ff 0x7f2\n", facts())).toBe(false);
  expect(isRead("running\n", facts())).toBe(false);
  expect(isRead("63 0x0 0x7f\n", facts({ arch: "arm64" }))).toBe(true);
  expect(isRead("-1 0x7ff 0x7f2\n", facts())).toBe(false);
});

test("where the kernel does not tell, nobody claims to know", () => {
  expect(isRead(undefined, facts())).toBeUndefined();
  expect(isRead("0 0x0\n", facts({ input: undefined }))).toBeUndefined();
  expect(isRead("0 0x0\n", facts({ arch: "riscv64" }))).toBeUndefined();
  expect(isRead("", facts())).toBeUndefined();
});

const process = (given: Partial<CommandProcess>): CommandProcess => ({
  ...{ pid: 7, state: "S", ticks: 0, sleepsIn: "do_wait", readsInput: false },
  ...given,
});
const look = (processes: CommandProcess[]): CommandLook => ({
  processes,
  ticks: processes.reduce((sum, { ticks }) => sum + ticks, 0),
});
const KNOWN = { pid: 7, hasExited: false, isInputOpen: true, inputBytes: 0, tookMs: 500 };

test("of several processes the one that tells most is shown, with the processor time of all", () => {
  const before = look([process({}), process({ pid: 8, ticks: 10 })]);
  const after = look([process({}), process({ pid: 8, state: "R", ticks: 60, sleepsIn: undefined })]);
  expect(commandWhy(before, after, KNOWN)).toMatchObject({ processes: 2, state: "runs", cpus: 1, readsInput: false });
  expect(commandWhy(after, look([]), { ...KNOWN, hasExited: true })).toMatchObject({ state: "gone", cpus: 0 });
});

test("it waits for its input where one of them does, and not where only some are known", () => {
  const one = (readsInput: boolean | undefined) => process({ readsInput });
  const read = (...all: (boolean | undefined)[]) => commandWhy(look([]), look(all.map(one)), KNOWN).readsInput;
  expect([read(false, true), read(undefined, true), read(false, false)]).toEqual([true, true, false]);
  expect([read(false, undefined), read()]).toEqual([undefined, undefined]);
});
