import { expect, test } from "vitest";
import { relatives } from "./session-processes.ts";

const process = (pid: number, parentPid: number, session: number) => ({ pid, parentPid, session });

test("a session's own are its first process, what is in its session, and what descends from any of these", () => {
  const stats = [
    process(1, 0, 1),
    process(100, 1, 100),
    process(101, 100, 100),
    // In a session of its own, and still a descendant.
    process(102, 101, 102),
    // Its parent has ended.
    process(103, 1, 100),
    process(104, 103, 104),
    process(200, 1, 200),
  ];
  expect([...relatives(stats, 100)].sort()).toEqual([100, 101, 102, 103, 104]);
  expect([...relatives(stats, 999)]).toEqual([]);
});

test("numbers that go round in a circle end", () => {
  expect([...relatives([process(5, 6, 5), process(6, 5, 6)], 5)].sort()).toEqual([5, 6]);
});
