import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { AppError } from "../base/errors.ts";
import { createMemoryLog } from "../base/log.ts";
import type { RouterBeat } from "../contract/fleet/router.ts";
import { createHubBeat } from "./hub-beat.ts";
import type { Router, RouterSession } from "./router.ts";

const { x = "" } = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" });
const KEY = { kty: "OKP", crv: "Ed25519", x, kid: "key-1", use: "sig", alg: "EdDSA" } as const;

function start() {
  const clock = createFakeClock();
  const beats: RouterBeat[] = [];
  const terminated: string[] = [];
  const hub = {
    isAway: false,
    ended: [] as { id: string; message: string }[],
    keys: [KEY],
    peers: [{ id: "router-2", url: "https://r:2" }],
    asked: 0,
  };
  const router = {
    isDraining: false,
    list: () => [],
    terminate: (id: string, message: string) => terminated.push(`${id}: ${message}`) > 0,
  };
  const log = createMemoryLog();
  const beat = createHubBeat(
    { id: "router-1", url: "https://r:1", peerUrl: undefined, ca: undefined, version: "sluice/0" },
    {
      clock,
      log,
      random: () => 0.9,
      router: () => router as unknown as Router,
      hub: {
        ask: async (call, schema) => {
          hub.asked += 1;
          if (hub.isAway) throw new AppError("unavailable", "nothing answers");
          if (call.method === "POST") beats.push(call.body as RouterBeat);
          const parsed = schema.safeParse({ beatSeconds: 2, keys: hub.keys, ended: hub.ended, peers: hub.peers });
          if (!parsed.success) throw new AppError("version", "not understood");
          return parsed.data;
        },
      },
    },
  );
  const stop = new AbortController();
  const done = beat.run(stop.signal);
  const session = (id: string) => ({ id, ageMs: 3, bytesToBox: 1, bytesFromBox: 2 }) as RouterSession;
  return { clock, beats, terminated, hub, beat, log, session, stop, done };
}

test("a beat every two seconds brings keys, and ends what the hub has ended, also if it is joined later", async () => {
  const { clock, beats, terminated, hub, beat, session, stop, done } = start();
  await clock.advance(0);
  expect(beats).toMatchObject([{ id: "router-1", url: "https://r:1", draining: false, changes: [], sessions: [] }]);
  expect(beat.ticketKeys.get("key-1")?.asymmetricKeyType).toBe("ed25519");
  hub.ended = [{ id: "s-1", message: "by bob" }];
  await clock.advance(1999);
  expect(beats).toHaveLength(1);
  await clock.advance(1);
  expect(terminated).toEqual(["s-1: by bob"]);
  beat.onEvent({ kind: "waiting", session: session("s-1") });
  await clock.advance(0);
  expect(terminated).toEqual(["s-1: by bob", "s-1: by bob"]);
  hub.keys = [];
  await clock.advance(2000);
  expect(beat.ticketKeys.get("key-1")).toBeUndefined();
  stop.abort();
  await done;
});

test("a change is told with what follows it at once, and again until the hub has taken it, once", async () => {
  const { clock, beats, hub, beat, log, session, stop, done } = start();
  await clock.advance(0);
  beat.onEvent({ kind: "open", session: session("s-1") });
  await clock.advance(24);
  expect(beats).toHaveLength(1);
  beat.onEvent({ kind: "open", session: session("s-2") });
  await clock.advance(1);
  expect(beats[1]?.changes).toEqual(["s-1", "s-2"].map((id) => ({ id, what: "open", rendezvousMs: 3 })));
  hub.isAway = true;
  const end = { reason: "peer-lost", message: "gone", by: "box" } as const;
  beat.onEvent({ kind: "ended", session: session("s-1"), end });
  await clock.advance(20_000);
  expect(beats).toHaveLength(2);
  expect(hub.asked).toBeLessThan(12);
  hub.isAway = false;
  await clock.advance(15_000);
  const told = beats.slice(2).flatMap(({ changes }) => changes);
  expect(told).toEqual([{ id: "s-1", what: "parted", ...end, bytesToBox: 1, bytesFromBox: 2 }]);
  expect(log.lines.filter((line) => line.includes("does not take this router"))).toHaveLength(1);
  stop.abort();
  await done;
});

test("the other routers are those of the last answer, and are asked for at once where one is not known", async () => {
  const { clock, hub, beat, stop, done } = start();
  await clock.advance(0);
  expect(beat.peers.get("router-2")).toEqual({ id: "router-2", url: "https://r:2" });
  hub.peers = [{ id: "router-3", url: "https://r:3" }];
  const before = hub.asked;
  await Promise.all([beat.peers.refresh(), beat.peers.refresh()]);
  expect([beat.peers.get("router-2"), beat.peers.get("router-3")?.url, hub.asked - before]).toEqual([
    undefined,
    "https://r:3",
    1,
  ]);
  hub.isAway = true;
  await beat.peers.refresh();
  expect(beat.peers.get("router-3")).toBeDefined();
  stop.abort();
  await done;
});

test("tickets with unknown keys make it ask for keys, but not all the time", async () => {
  const { clock, hub, beat, stop, done } = start();
  await clock.advance(0);
  const before = hub.asked;
  for (let turn = 0; turn < 50; turn++) await beat.ticketKeys.refresh?.();
  expect(hub.asked - before).toBe(1);
  stop.abort();
  await done;
});
