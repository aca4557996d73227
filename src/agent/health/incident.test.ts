import { describe, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog } from "../../base/log.ts";
import type { IncidentFacts } from "./incident.ts";
import { createIncidentBook } from "./incident-book.ts";
import { askGate, EMPTY_GATE, staggerMs } from "./start-gate.ts";

const LOST: IncidentFacts["link"] = { isOff: false, isLive: false, silentMs: 30_000, reason: "ETIMEDOUT" };
const HEARD: IncidentFacts["link"] = { isOff: false, isLive: true, silentMs: 1000, reason: undefined };

const UNRESOLVED = "Failed to resolve hostname x: Temporary failure in name resolution";

function createWorld() {
  const clock = createFakeClock();
  const log = createMemoryLog();
  const occurrences: string[] = [];
  const released: string[][] = [];
  const book = createIncidentBook({
    clock,
    log,
    onOccurrence: ({ text }) => void occurrences.push(text),
    onRelease: (kinds) => void released.push([...kinds]),
  });
  const facts: Omit<IncidentFacts, "nowMs" | "wallMs"> = {
    healthy: [],
    link: LOST,
    hasDefaultRoute: true,
    disk: { durable: true },
  };
  return {
    clock,
    log,
    occurrences,
    released,
    book,
    fail: (id: string, kind = "network", evidence = "Connection timed out") =>
      book.failed({ id, class: kind, evidence }),
    observe: (given: Partial<typeof facts> = {}) => book.observe({ ...facts, ...given }),
    kinds: () => book.open().map(({ kind }) => kind),
  };
}

describe("an incident", () => {
  test("opens when several streams lose the network at once and the server is silent", () => {
    const world = createWorld();
    world.fail("a");
    world.observe();
    expect(world.kinds()).toEqual([]);
    world.fail("b", "network-lost");
    world.observe();
    world.observe();
    expect(world.kinds()).toEqual(["uplink-lost"]);
    expect(world.occurrences).toHaveLength(1);
  });

  test.each<[string, Partial<IncidentFacts>]>([
    ["the server is heard", { link: HEARD }],
    ["another stream works", { healthy: ["c"] }],
  ])("does not open while %s", (_name, given) => {
    const world = createWorld();
    for (const id of ["a", "b"]) world.fail(id);
    world.observe(given);
    expect(world.kinds()).toEqual([]);
  });

  test("opens when the default route goes together with the server, and never where none was", () => {
    const world = createWorld();
    world.observe({ hasDefaultRoute: false });
    expect(world.kinds()).toEqual([]);
    world.observe({ hasDefaultRoute: true });
    world.observe({ hasDefaultRoute: false });
    expect(world.kinds()).toEqual(["uplink-lost"]);
    world.observe({ hasDefaultRoute: false });
    expect(world.kinds()).toEqual(["uplink-lost"]);
    world.observe({ hasDefaultRoute: true });
    expect(world.kinds()).toEqual([]);
  });

  test("is the resolver's when names alone fail", () => {
    const world = createWorld();
    for (const id of ["a", "b"]) world.fail(id, "network", UNRESOLVED);
    world.observe();
    expect(world.kinds()).toEqual(["dns-lost"]);
    world.observe({ healthy: ["b"] });
    expect(world.kinds()).toEqual([]);
  });

  test("of names opens and stays open beside connections that stand, and ends when one that failed works", async () => {
    const world = createWorld();
    const standing = { link: HEARD, healthy: ["c"] };
    world.fail("a", "network", UNRESOLVED);
    world.observe(standing);
    expect(world.kinds()).toEqual([]);
    for (const id of ["b", "d"]) world.fail(id, "network", UNRESOLVED);
    world.observe(standing);
    await world.clock.advance(60_000);
    world.fail("a", "network", UNRESOLVED);
    world.observe(standing);
    expect(world.kinds()).toEqual(["dns-lost"]);
    world.observe({ link: HEARD, healthy: ["a", "c"] });
    expect(world.kinds()).toEqual([]);
    world.observe(standing);
    expect(world.occurrences).toHaveLength(2);
  });

  test("of names counts the server's too, whose connection afterwards may be an old one", () => {
    const world = createWorld();
    world.fail("a", "network", UNRESOLVED);
    world.observe({ link: { ...LOST, reason: "getaddrinfo EAI_AGAIN hub.example" } });
    world.observe({ link: HEARD });
    expect(world.kinds()).toEqual(["dns-lost"]);
    world.observe({ link: HEARD, healthy: ["a"] });
    expect(world.kinds()).toEqual([]);
  });

  test("of names is not taken for the uplink's because connections were ended before names were asked for again", () => {
    const world = createWorld();
    const link = { ...LOST, reason: "getaddrinfo EAI_AGAIN hub.example" };
    for (const id of ["a", "b", "c"]) world.fail(id, "network", "av_interleaved_write_frame(): Broken pipe");
    world.observe({ link });
    expect(world.kinds()).toEqual([]);
    world.fail("a", "network", UNRESOLVED);
    world.observe({ link });
    expect(world.kinds()).toEqual(["dns-lost"]);
  });

  test.each(["Broken pipe", "Connection reset by peer", "End of file"])(
    "does not open when a server hangs up on all (%s), and opens when nothing answers their next attempts",
    (evidence) => {
      const world = createWorld();
      for (const id of ["a", "b"]) world.fail(id, "network", `[out#0/flv] Error writing trailer: ${evidence}`);
      world.observe();
      expect(world.kinds()).toEqual([]);
      world.fail("a", "connecting-timeout");
      world.observe();
      expect(world.kinds()).toEqual([]);
      world.fail("b", "network", "Connection timed out");
      world.observe();
      expect(world.kinds()).toEqual(["uplink-lost"]);
    },
  );

  test("is the uplink's when names and addresses fail alike", () => {
    const world = createWorld();
    world.fail("a", "network", UNRESOLVED);
    world.fail("b");
    world.observe();
    expect(world.kinds()).toEqual(["uplink-lost"]);
  });

  test("tells a full disk by the registry or by a recording, and ends with it", async () => {
    const world = createWorld();
    world.observe({ link: HEARD, disk: { durable: false, reason: "ENOSPC" } });
    expect(world.kinds()).toEqual(["disk-full"]);
    expect(world.fail("rec", "disk-full")).toBe(true);
    expect(world.fail("cam", "network")).toBe(false);
    world.observe({ link: HEARD });
    expect(world.kinds()).toEqual(["disk-full"]);
    await world.clock.advance(91_000);
    world.observe({ link: HEARD });
    expect(world.kinds()).toEqual([]);
  });

  test("tells a clock that was never set, and ends when it is", () => {
    const world = createWorld();
    world.clock.stepWall(-30 * 365 * 86_400_000);
    world.observe({ link: HEARD });
    expect(world.kinds()).toEqual(["clock-not-set"]);
    expect(world.book.turnInMs("a")).toBe(0);
    world.clock.stepWall(30 * 365 * 86_400_000);
    world.observe({ link: HEARD });
    expect(world.kinds()).toEqual([]);
  });

  test("explains failures while it is open and a while longer, then ends and says how long it was", async () => {
    const world = createWorld();
    for (const id of ["a", "b"]) expect(world.fail(id)).toBe(false);
    world.observe();
    expect(world.fail("a")).toBe(true);
    expect(world.fail("a", "bad-arguments")).toBe(false);
    await world.clock.advance(3_600_000);
    world.fail("a");
    world.observe({ healthy: ["b"] });
    expect(world.released).toEqual([["uplink-lost"]]);
    expect(world.occurrences.at(-1)).toContain("ended after 3600 s");
    expect(world.book.status()).toMatchObject([{ kind: "uplink-lost", end: "2026-01-15T11:30:45.000Z" }]);
    expect(world.fail("b")).toBe(true);
    await world.clock.advance(31_000);
    expect(world.fail("b")).toBe(false);
  });
});

describe("starts", () => {
  test("take turns while an incident is open, are spread after it, and are free otherwise", async () => {
    const world = createWorld();
    expect(world.book.turnInMs("a")).toBe(0);
    for (const id of ["a", "b"]) world.fail(id);
    world.observe();
    expect(["a", "b", "c"].map((id) => world.book.turnInMs(id))).toEqual([0, 1000, 2000]);
    world.observe({ healthy: ["a"] });
    expect(["a", "b", "c"].map((id) => world.book.turnInMs(id))).toEqual([0, 100, 200]);
    await world.clock.advance(30_001);
    expect(world.book.turnInMs("d")).toBe(0);
  });

  test("keep their place, so that nobody is overtaken", () => {
    const first = askGate(EMPTY_GATE, "a", { nowMs: 0, intervalMs: 1000 });
    const second = askGate(first.gate, "b", { nowMs: 0, intervalMs: 1000 });
    const again = askGate(second.gate, "a", { nowMs: 500, intervalMs: 1000 });
    expect([first.waitMs, second.waitMs, again.waitMs]).toEqual([0, 1000, 1500]);
    expect(askGate(again.gate, "b", { nowMs: 1000, intervalMs: 1000 }).waitMs).toBe(0);
  });

  test("are spread by their ids", () => {
    const delays = Array.from({ length: 100 }, (_, index) => staggerMs(`cam-${index}`, 1000));
    expect(new Set(delays).size).toBeGreaterThan(80);
    expect(Math.max(...delays)).toBeLessThan(1000);
  });
});
