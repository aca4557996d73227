import { expect, test } from "vitest";
import { createFlightGovernor, FLIGHT_LIMITS, type FlightGovernor } from "./flight-governor.ts";

interface LinkFacts {
  readonly bytesPerMs: number;
  readonly rttMs: number;
  /** Acknowledgements come in bursts this far apart, as a busy machine sends them. */
  readonly burstMs?: number;
  /** Of acknowledgements, which later ones make up for. */
  readonly lostAcks?: number;
  /** The sender, or who acknowledges, does nothing for so long now and then. */
  readonly stallMs?: number;
  /** As much waits in the queue at least: somebody else's. */
  readonly foreignMs?: number;
}

interface Sender {
  readonly governor: FlightGovernor;
  readonly acks: { readonly atMs: number; readonly bytes: number }[];
  unacked: number;
  unheard: number;
  delivered: number;
  /** Of the frames sent in the second half: how long each waited in the link's queue. */
  readonly waitsMs: number[];
}

/** The same numbers in each run. */
function createChance(seed = 1): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** A link with one queue, in time that only this loop moves; senders that always have more. What comes of it counts from the middle of the time on. */
function runLink(
  given: LinkFacts | ((nowMs: number) => LinkFacts),
  forMs: number,
  governors = [createFlightGovernor()],
  fromMs = 0,
) {
  const factsAt = typeof given === "function" ? given : () => given;
  const linkAt = (nowMs: number) => ({
    burstMs: 5,
    lostAcks: 0,
    stallMs: 0,
    foreignMs: 0,
    ...factsAt(nowMs),
  });
  const chance = createChance();
  const senders = governors.map(
    (governor): Sender => ({ governor, acks: [], unacked: 0, unheard: 0, delivered: 0, waitsMs: [] }),
  );
  let freeMs = fromMs;
  let stalledUntilMs = 0;
  const toMs = fromMs + forMs;
  const halfMs = fromMs + forMs / 2;
  const take = (sender: Sender, nowMs: number) => {
    const { bytesPerMs, rttMs, foreignMs } = linkAt(nowMs);
    const bytes = sender.governor.frameBytes;
    sender.governor.sent(bytes, nowMs);
    sender.unacked += bytes;
    const waitMs = Math.max(freeMs - nowMs, foreignMs);
    if (nowMs >= halfMs) sender.waitsMs.push(waitMs);
    freeMs = Math.max(freeMs, nowMs + foreignMs) + bytes / bytesPerMs;
    sender.acks.push({ atMs: freeMs + rttMs, bytes });
  };
  const hear = (sender: Sender, nowMs: number) => {
    const { burstMs, lostAcks } = linkAt(nowMs);
    while (sender.acks[0] !== undefined && sender.acks[0].atMs <= nowMs) {
      const { bytes } = sender.acks.shift() ?? { bytes: 0 };
      if (nowMs >= halfMs) sender.delivered += bytes;
      sender.unheard += bytes;
    }
    if (sender.unheard === 0 || nowMs % burstMs !== 0 || chance() < lostAcks) return;
    sender.unacked -= sender.unheard;
    sender.governor.acknowledged(sender.unheard, nowMs);
    sender.unheard = 0;
  };
  for (let nowMs = fromMs; nowMs < toMs; nowMs++) {
    const { stallMs } = linkAt(nowMs);
    if (stallMs > 0 && chance() < 1 / 200) stalledUntilMs = nowMs + stallMs * chance();
    if (nowMs < stalledUntilMs) continue;
    for (const sender of senders) hear(sender, nowMs);
    for (let isIdle = false; !isIdle; ) {
      isIdle = true;
      for (const sender of senders) {
        if (sender.unacked >= sender.governor.capBytes) continue;
        take(sender, nowMs);
        isIdle = false;
      }
    }
  }
  const all = senders.flatMap(({ waitsMs }) => waitsMs).toSorted((one, other) => one - other);
  const carried = (bytes: number) => bytes / (linkAt(toMs).bytesPerMs * (forMs / 2));
  return {
    use: carried(senders.reduce((sum, { delivered }) => sum + delivered, 0)),
    shares: senders.map(({ delivered }) => carried(delivered)),
    queueMs: { p50: all[Math.floor(all.length * 0.5)] ?? 0, p95: all[Math.floor(all.length * 0.95)] ?? 0 },
  };
}

const NARROW = { bytesPerMs: 2500, rttMs: 20 } as const;
/** An echo has its round trip, what waits before it, and what the ends take for it. */
const ECHO_WAIT_MS = 30;

test.each([
  { name: "steady", burstMs: 1 },
  { name: "whose acknowledgements come every 5 ms", burstMs: 5 },
  { name: "whose ends stall for up to 20 ms", burstMs: 5, stallMs: 20 },
  { name: "that loses a third of the acknowledgements", burstMs: 5, lostAcks: 0.3 },
])("a narrow link $name is filled, and what is typed beside does not wait long", ({ name: _name, ...facts }) => {
  const { use, queueMs } = runLink({ ...NARROW, ...facts }, 20_000);
  expect(use).toBeGreaterThan(0.95);
  expect(queueMs.p95).toBeLessThan(ECHO_WAIT_MS);
});

test("a narrow link is filled from the third second on, and holds little", () => {
  const { use, queueMs } = runLink(NARROW, 6000);
  expect(use).toBeGreaterThan(0.95);
  expect(queueMs.p95).toBeLessThan(ECHO_WAIT_MS);
});

test.each([
  { bytesPerMs: 80_000, rttMs: 50 },
  { bytesPerMs: 50_000, rttMs: 100 },
  { bytesPerMs: 12_500, rttMs: 50 },
  { bytesPerMs: 2500, rttMs: 200 },
])("a long link ($bytesPerMs bytes a ms, $rttMs ms) is filled within two seconds and stays so", (link) => {
  expect(runLink(link, 4000).use).toBeGreaterThan(0.95);
  // From time to time it is let run dry, to see how long it is.
  expect(runLink(link, 30_000).use).toBeGreaterThan(0.93);
});

test("a long link is used well by ends that stall", () => {
  expect(runLink({ bytesPerMs: 80_000, rttMs: 50, stallMs: 60 }, 20_000).use).toBeGreaterThan(0.85);
});

test("a link for voice is not buried", () => {
  const { use, queueMs } = runLink({ bytesPerMs: 60, rttMs: 100 }, 20_000);
  expect(use).toBeGreaterThan(0.95);
  // Four packets of the link are 100 ms.
  expect(queueMs.p95).toBeLessThan(300);
});

function change(from: LinkFacts, to: LinkFacts, forMs: number) {
  return runLink((nowMs) => (nowMs < forMs / 2 ? from : to), forMs);
}

test("a link that has become slower is not flooded for long", () => {
  const { queueMs } = change({ bytesPerMs: 50_000, rttMs: 20 }, { bytesPerMs: 500, rttMs: 20 }, 40_000);
  expect(queueMs.p50).toBeLessThan(ECHO_WAIT_MS);
});

test.each([
  { to: { bytesPerMs: 50_000, rttMs: 20 }, forMs: 10_000 },
  { to: { bytesPerMs: 50_000, rttMs: 100 }, forMs: 20_000 },
])("a link that has become faster ($to.rttMs ms) is filled again", ({ to, forMs }) => {
  expect(change({ ...to, bytesPerMs: 500 }, to, forMs).use).toBeGreaterThan(0.75);
});

test("a way that has become longer is filled again", () => {
  const { use, queueMs } = change({ bytesPerMs: 5000, rttMs: 20 }, { bytesPerMs: 5000, rttMs: 200 }, 40_000);
  expect(use).toBeGreaterThan(0.9);
  expect(queueMs.p95).toBeLessThan(60);
});

test.each([
  { senders: 2, waitMs: ECHO_WAIT_MS },
  { senders: 4, waitMs: ECHO_WAIT_MS },
  // Each has a frame or two under way.
  { senders: 8, waitMs: 1.5 * ECHO_WAIT_MS },
])(
  "$senders senders that know nothing of each other share a link, and what another session types waits no longer",
  ({ senders, waitMs }) => {
    const governors = Array.from({ length: senders }, () => createFlightGovernor());
    const { use, shares, queueMs } = runLink(NARROW, 40_000, governors);
    expect(use).toBeGreaterThan(0.95);
    for (const share of shares) expect(share).toBeGreaterThan(0.5 / senders);
    expect(queueMs.p95).toBeLessThan(waitMs);
  },
);

test("who keeps the link's queue full does not drive us off it", () => {
  const { use } = runLink({ ...NARROW, foreignMs: 100 }, 40_000);
  expect(use).toBeGreaterThan(0.25);
});

test("a machine that answers late and in bursts is not taken for a slow link", () => {
  expect(runLink({ bytesPerMs: 20_000, rttMs: 2, burstMs: 90 }, 10_000).use).toBeGreaterThan(0.7);
});

test("who sends little for a while does not lose what was learnt; who has not filled the link for long does", () => {
  const governor = createFlightGovernor();
  let nowMs = 0;
  const echo = (count: number) => {
    for (let turn = 0; turn < count; turn++) {
      governor.sent(100, nowMs);
      nowMs += 100;
      governor.acknowledged(100, nowMs);
    }
  };
  for (let round = 0; round < 50; round++) {
    const bytes = governor.capBytes;
    governor.sent(bytes, nowMs);
    nowMs += 100;
    governor.acknowledged(bytes, nowMs);
  }
  const learnt = governor.capBytes;
  expect(learnt).toBeGreaterThan(FLIGHT_LIMITS.firstBytes);
  echo(200);
  expect(governor.capBytes).toBeGreaterThan(learnt / 2);
  echo(600);
  expect(governor.capBytes).toBe(FLIGHT_LIMITS.firstBytes);
});

test("before anything is known little goes, and a new carrier is unknown again", () => {
  const governor = createFlightGovernor();
  expect(governor.capBytes).toBe(FLIGHT_LIMITS.firstBytes);
  runLink({ bytesPerMs: 50_000, rttMs: 20 }, 2000, [governor]);
  expect(governor.capBytes).toBeGreaterThan(FLIGHT_LIMITS.firstBytes);
  governor.restart();
  expect(governor.capBytes).toBe(FLIGHT_LIMITS.firstBytes);
});
