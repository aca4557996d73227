import { describe, expect, test } from "vitest";
import type { TcpSocket } from "../../base/tcp-table.ts";
import { diagnose, type HealthLimits, type Witnesses } from "./diagnose.ts";
import { type MediaHealth, NEW_HEALTH } from "./media-health.ts";
import { NEW_PROCESS, observeProcess } from "./process-health.ts";
import { NO_SOCKETS, observeSockets, type SocketHealth } from "./socket-health.ts";

const LIMITS: HealthLimits = {
  startDeadlineMs: 20_000,
  stallMs: 7000,
  sourceStallMs: 7000,
  periodMs: 1000,
  hasFollowers: false,
  writesFilesOnly: false,
};
const SOCKET: TcpSocket = {
  inode: 1,
  remote: "10.0.0.5:1935",
  isEstablished: true,
  isConnecting: false,
  unackedBytes: 0,
  unreadBytes: 0,
  timer: "none",
  retransmits: 0,
  unansweredProbes: 0,
};
const FLOWING: MediaHealth = { ...NEW_HEALTH, hasMoved: true, healthyMs: 30_000 };
const IDLE: MediaHealth = { ...FLOWING, idleMs: 9000, healthyMs: 0 };

const over = (...seconds: readonly (readonly Partial<TcpSocket>[])[]): SocketHealth =>
  seconds.reduce<SocketHealth>(
    (health, sockets) =>
      observeSockets(
        health,
        sockets.map((socket) => ({ ...SOCKET, ...socket })),
        1000,
      ),
    NO_SOCKETS,
  );
const seconds = (count: number, at: (second: number) => Partial<TcpSocket>) =>
  over(...Array.from({ length: count }, (_, second) => [at(second)]));
const judge = (witnesses: Partial<Witnesses>, limits: Partial<HealthLimits> = {}) =>
  diagnose({ media: FLOWING, sockets: NO_SOCKETS, process: NEW_PROCESS, ...witnesses }, { ...LIMITS, ...limits });

const shutWindow = (second: number) => ({ timer: "probe" as const, unackedBytes: 50_000 * (second + 1) });
const blackHole = (second: number) => ({
  timer: "retransmit" as const,
  unackedBytes: 50_000 * (second + 1),
  retransmits: 1 + Math.floor(second / 2),
});

describe("while the counters look perfect", () => {
  test("a shut window is named after three seconds and given up after six, and not before", () => {
    expect(judge({ sockets: seconds(3, shutWindow) })).toBeUndefined();
    for (const count of [4, 6]) {
      expect(judge({ sockets: seconds(count, shutWindow) })).toMatchObject({
        cause: "peer-stalled",
        needsRestart: false,
      });
    }
    expect(judge({ sockets: seconds(7, shutWindow) })).toEqual({
      cause: "peer-stalled",
      message: "350 kB unacknowledged by 10.0.0.5:1935 for 6 s; it keeps its window shut",
      needsRestart: true,
    });
  });

  test("a black hole is named after three seconds and given up after six, with its evidence", () => {
    expect(judge({ sockets: seconds(3, blackHole) })).toBeUndefined();
    expect(judge({ sockets: seconds(4, blackHole) })).toMatchObject({ cause: "network-lost", needsRestart: false });
    expect(judge({ sockets: seconds(7, blackHole) })).toEqual({
      cause: "network-lost",
      message: "350 kB unacknowledged by 10.0.0.5:1935 for 6 s, 4 retransmits",
      needsRestart: true,
    });
  });

  test("a peer that was frozen and whose machine then vanished is a lost network", () => {
    const sockets = seconds(9, (second) => ({ ...shutWindow(second), unansweredProbes: second }));
    expect(judge({ sockets })).toMatchObject({ cause: "network-lost" });
  });

  test("a peer that takes anything at all is not stuck, however full the queue", () => {
    const sockets = seconds(30, (second) => ({ ...shutWindow(second), unackedBytes: 4_000_000 - (second % 3) }));
    expect(judge({ sockets })).toBeUndefined();
  });

  test("losses that are made good are no black hole", () => {
    expect(judge({ sockets: seconds(30, (second) => (second % 4 === 0 ? {} : blackHole(second))) })).toBeUndefined();
  });

  test("a connection that takes another's place starts anew", () => {
    const first = Array.from({ length: 3 }, (_, second) => [shutWindow(second)]);
    const other = Array.from({ length: 3 }, (_, second) => [{ ...shutWindow(second), inode: 2 }]);
    expect(judge({ sockets: over(...first, ...other) })).toBeUndefined();
  });

  test("a follower's trouble is told, and the leader left alone until it stands still too", () => {
    const sockets = seconds(9, shutWindow);
    expect(judge({ sockets }, { hasFollowers: true })).toMatchObject({ cause: "peer-stalled", needsRestart: false });
    expect(judge({ sockets, media: IDLE }, { hasFollowers: true })).toMatchObject({ needsRestart: true });
  });

  test("time that was not counted is held against nobody", () => {
    const asleep = observeSockets(over([shutWindow(0)]), [{ ...SOCKET, ...shutWindow(15) }], 2000);
    expect(judge({ sockets: asleep })).toBeUndefined();
  });
});

describe("when nothing moves", () => {
  test.each<[string, Partial<Witnesses>, Partial<HealthLimits>, object | undefined]>([
    ["no unread byte: the source", { sockets: over([{}]) }, {}, { cause: "source-stalled", needsRestart: true }],
    ["no socket at all: the source", {}, {}, { cause: "source-stalled" }],
    ["a playlist between two segments: nothing", {}, { sourceStallMs: 30_000 }, undefined],
    ["an early shut window: the peer", { sockets: seconds(3, shutWindow) }, {}, { cause: "peer-stalled" }],
    ["an early black hole: the network", { sockets: seconds(3, blackHole) }, {}, { cause: "network-lost" }],
    ["unread input: the output", { sockets: over([{ unreadBytes: 9000 }]) }, {}, { cause: "peer-stalled" }],
    [
      "unread input before a file: the disk",
      { sockets: over([{ unreadBytes: 9000 }]) },
      { writesFilesOnly: true },
      { cause: "disk-blocked", needsRestart: false },
    ],
    [
      "uninterruptible sleep: the disk",
      { process: { ...NEW_PROCESS, blockedMs: 7000, waitsIn: "folio_wait_bit" } },
      {},
      { cause: "disk-blocked", message: "no media for 9 s; the kernel has held it for 7 s in folio_wait_bit" },
    ],
    [
      "a busy process: the encoder",
      { process: { ...NEW_PROCESS, cpuShare: 1.4 } },
      {},
      { cause: "encoder-slow", needsRestart: false },
    ],
    [
      "a process busy with nothing for a minute: a restart",
      { process: { ...NEW_PROCESS, cpuShare: 1.4 }, media: { ...IDLE, idleMs: 61_000 } },
      {},
      { cause: "encoder-slow", needsRestart: true },
    ],
    [
      "stopped by a signal, whatever else",
      { process: { ...NEW_PROCESS, stoppedMs: 6000 }, sockets: seconds(9, shutWindow) },
      {},
      { cause: "stopped" },
    ],
  ])("%s", (_name, witnesses, limits, expected) => {
    const finding = judge({ media: IDLE, ...witnesses }, limits);
    if (expected === undefined) expect(finding).toBeUndefined();
    else expect(finding).toMatchObject(expected);
  });
});

test("a start that comes to nothing says who did not answer", () => {
  const media = { ...NEW_HEALTH, idleMs: 20_000 };
  const opening = over([{ isConnecting: true, isEstablished: false }]);
  expect(judge({ media, sockets: opening })?.message).toContain("10.0.0.5:1935 does not answer the connection");
  expect(judge({ media, sockets: over([{}]) })?.message).toContain("connected to 10.0.0.5:1935");
  expect(judge({ media: { ...media, idleMs: 19_000 } })).toBeUndefined();
});

test("slow with a full queue is the network's fault, not the encoder's", () => {
  const sample = (second: number) => ({
    atMs: second * 1000,
    sample: {
      frames: second * 10,
      outTimeUs: second * 500_000,
      totalBytes: second * 1000,
      droppedFrames: 0,
      isEnded: false,
    },
  });
  const media = { ...FLOWING, slowMs: 8000, window: [sample(0), sample(5)] };
  const sockets = seconds(9, (second) => ({ timer: "retransmit", unackedBytes: 900_000 - second }));
  expect(judge({ media, sockets })).toMatchObject({ cause: "network-slow", needsRestart: false });
  expect(judge({ media })).toMatchObject({ cause: "encoder-slow", needsRestart: false });
});

test("a process's states are counted only while they last", () => {
  const tick = { countedMs: 1000, elapsedMs: 1000 };
  const states = ["D", "D", "D", "S", "T", "T"];
  const seen = states.reduce((health, state) => observeProcess(health, { state, cpuTicks: 5 }, tick), NEW_PROCESS);
  expect(seen).toMatchObject({ blockedMs: 0, stoppedMs: 2000, cpuShare: 0 });
});
