import { expect, it } from "vitest";
import { createFakeClock, type FakeClock } from "../base/clock.fake.ts";
import { createRequestPaces, type RequestPaces } from "./request-paces.ts";

const MIB = 1024 * 1024;
const MBIT = 125_000;
const never = new AbortController().signal;

/** Units of a request by so many streams at a time, with a hub that shares by what it knows at each heartbeat, once a second. */
async function bring(
  { clock, paces }: { readonly clock: FakeClock; readonly paces: RequestPaces },
  wish: { readonly units: number; readonly bytes: number; readonly streams: number; readonly mbps: number },
): Promise<number> {
  const begunMs = clock.monotonicMs();
  const out = new Set<string>();
  const share = () => (wish.mbps * MBIT) / Math.max(1, out.size);
  let next = 0;
  let endMs = Number.NaN;
  const stream = async () => {
    while (next < wish.units) {
      const id = `lease-${next++}`;
      out.add(id);
      const pace = paces.granted({ id, request: "r", rate: share() });
      for (let done = 0; done < wish.bytes; done += MIB) await pace.take(MIB, never);
      out.delete(id);
      paces.over(id);
    }
  };
  let isOver = false;
  void Promise.all(Array.from({ length: wish.streams }, stream)).then(() => {
    isOver = true;
    endMs = clock.monotonicMs();
  });
  while (!isOver) {
    for (let part = 0; part < 20 && !isOver; part++) await clock.advance(50);
    paces.told([...out].map((id) => ({ lease_id: id, rate_bytes_s: share() })));
  }
  return (endMs - begunMs) / 1000;
}

it.each([
  ["as many streams as units", 4, 4],
  ["twice as many units", 8, 4],
  ["a unit left over", 5, 4],
  ["one stream", 3, 1],
])("a request of 800 Mbit/s gets that, with %s", async (_, units, streams) => {
  const clock = createFakeClock();
  const took = await bring({ clock, paces: createRequestPaces(clock) }, { units, streams, bytes: 64 * MIB, mbps: 800 });
  const asked = (units * 64 * MIB) / 100e6;
  expect(took / asked).toBeGreaterThan(0.85);
  expect(took / asked).toBeLessThan(1.05);
});

it.each([
  ["one after the other", 1],
  ["four at a time", 4],
])("leases of one piece each, %s, are held to the rate together: none begins with nothing owed", async (_, streams) => {
  const clock = createFakeClock();
  const took = await bring({ clock, paces: createRequestPaces(clock) }, { units: 40, streams, bytes: MIB, mbps: 16 });
  expect(took / ((40 * MIB) / 2e6)).toBeGreaterThan(0.85);
  expect(took / ((40 * MIB) / 2e6)).toBeLessThan(1.05);
});

it("what one lease does not use the others do, and a share that the hub takes back is taken back", async () => {
  const clock = createFakeClock();
  const paces = createRequestPaces(clock);
  const lease = (id: string) => paces.granted({ id, request: "r", rate: 10 * MIB });
  lease("waits for its peer");
  const pace = lease("moves");
  let taken = 0;
  const stop = new AbortController();
  const moving = (async () => {
    for (;;) {
      await pace.take(MIB, stop.signal);
      taken += MIB;
    }
  })().catch(() => undefined);
  const inSeconds = async (seconds: number) => {
    await clock.advance(1000);
    const before = taken;
    for (let second = 0; second < seconds; second++) await clock.advance(1000);
    return (taken - before) / MIB / seconds;
  };
  expect(await inSeconds(5)).toBeCloseTo(20, 0);
  paces.told([
    { lease_id: "waits for its peer", rate_bytes_s: 2 * MIB },
    { lease_id: "moves", rate_bytes_s: 2 * MIB },
  ]);
  expect(await inSeconds(5)).toBeCloseTo(4, 0);
  stop.abort(new Error("enough"));
  await moving;
});

it("requests do not share, and one without a limit has none", async () => {
  const clock = createFakeClock();
  const paces = createRequestPaces(clock);
  const slow = paces.granted({ id: "a", request: "slow", rate: 1 });
  const free = paces.granted({ id: "b", request: "free", rate: undefined });
  await slow.take(10 * MIB, never);
  let isThrough = false;
  const waiting = slow.take(1, AbortSignal.any([never])).then(() => {
    isThrough = true;
  });
  for (let times = 0; times < 100; times++) await free.take(MIB, never);
  await clock.advance(10_000);
  expect(isThrough).toBe(false);
  paces.told([{ lease_id: "a", rate_bytes_s: 1000 * MIB }]);
  await clock.advance(1000);
  await waiting;
});
