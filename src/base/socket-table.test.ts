import { expect, test } from "vitest";
import { createFakeClock } from "./clock.fake.ts";
import { createSocketTable } from "./socket-table.ts";
import type { LocalSocket } from "./tcp-table.ts";

const socket = (inode: number): LocalSocket => ({
  inode,
  address: "127.0.0.1",
  port: 5100,
  isListening: true,
  isEstablished: false,
});

test("many who ask at about the same time cost one reading, and nobody gets an older one than he takes", async () => {
  const clock = createFakeClock();
  const readings: string[] = [];
  const table = createSocketTable({ clock }, (_, { families = [] } = {}) => {
    readings.push(families.join());
    return [socket(readings.length)];
  });
  const inodes = (maxAgeMs: number, needsV6 = false) => table.read({ maxAgeMs, needsV6 }).map(({ inode }) => inode);
  expect([inodes(0), inodes(20), inodes(20)]).toEqual([[1], [1], [1]]);
  await clock.advance(15);
  expect([inodes(20), inodes(10)]).toEqual([[1], [2]]);
  expect(inodes(20, true)).toEqual([2, 3]);
  expect(inodes(20)).toEqual([2]);
  expect(readings).toEqual(["tcp", "tcp", "tcp6"]);
});
