import { describe, expect, it } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import type { TicketClaims } from "../contract/remote/ticket.ts";
import { createPairing, type PairingOptions, type SidePort } from "./pairing.ts";
import type { RouterEvent } from "./router.ts";
import { createRouterCounters } from "./router-counters.ts";

interface FakePort extends SidePort<FakePort> {
  readonly heard: string[];
}

function port(): FakePort {
  const heard: string[] = [];
  return {
    heard,
    waiting: (_, waitedMs) => heard.push(`waiting ${waitedMs}`),
    joined: ({ peerClient }) => heard.push(`joined ${peerClient}`),
    relayTo: () => heard.push("relays"),
    peerDone: ({ reason }) => heard.push(`half ${reason}`),
    end: ({ reason }) => heard.push(`end ${reason}`),
    stalledMs: () => 0,
  };
}

function start(options: Partial<PairingOptions> = {}) {
  const clock = createFakeClock();
  const counters = createRouterCounters();
  const events: RouterEvent[] = [];
  const pairing = createPairing<FakePort>(
    { limits: { sessions: 4, sessionsPerOperator: 2 }, rendezvousMs: 60_000, ...options },
    { clock, counters, onEvent: (event) => events.push(event) },
  );
  const join = (claims: Partial<TicketClaims>) => {
    const own = port();
    const whole = {
      sid: "s-1",
      side: "operator",
      box: "edge-001",
      sub: "ada",
      op: "exec",
      aud: "r",
      jti: "",
      ...claims,
    };
    const member = pairing.join(
      { iat: 0, exp: 0, idle: 1800, max: 28_800, ...whole } as TicketClaims,
      `${whole.side}/1`,
      own,
    );
    return { ...own, member };
  };
  const pass = async (ms: number) => {
    await clock.advance(ms);
    pairing.lap();
  };
  const metric = (name: string) =>
    counters
      .render({ open: 0, waiting: 0, handedOn: 0, lanes: 0, stalled: 0, connections: 0, isDraining: false })
      .split("\n")
      .find((line) => line.startsWith(`router_grpc_${name} `))
      ?.split(" ")
      .at(-1);
  return { clock, pairing, join, pass, events, metric };
}

describe("pairing", () => {
  it("tells who waits how long it has waited, and gives up after the rendezvous limit", async () => {
    const { join, pass, pairing, events, metric } = start();
    const box = join({ side: "box" });
    await pass(4999);
    await pass(1);
    await pass(54_000);
    expect(box.heard).toEqual(["waiting 0", "waiting 5000", "waiting 59000"]);
    await pass(1000);
    expect(box.heard.at(-1)).toBe("end rendezvous-timeout");
    expect(pairing.list()).toEqual([]);
    expect(events.at(-1)).toMatchObject({ kind: "ended", end: { reason: "rendezvous-timeout" } });
    expect(metric('errors_total{code="RENDEZVOUS_TIMEOUT"}')).toBe("1");
    // The session may be joined again.
    join({ side: "box" });
    join({});
    expect(pairing.list()).toMatchObject([{ state: "open" }]);
  });

  it("measures how long a rendezvous took", async () => {
    const { join, pass, metric } = start();
    join({});
    await pass(300);
    join({ side: "box" });
    expect(metric("rendezvous_duration_seconds_sum")).toBe("0.3");
    expect(metric('rendezvous_duration_seconds_bucket{le="0.25"}')).toBe("0");
    expect(metric('rendezvous_duration_seconds_bucket{le="0.5"}')).toBe("1");
  });

  it("ends a session that is idle, and counts frames of the link as nothing", async () => {
    const { join, pass, metric } = start();
    const operator = join({ idle: 60 });
    const box = join({ side: "box", idle: 100 });
    await pass(50_000);
    operator.member.relayed(10, true);
    await pass(50_000);
    box.member.relayed(10, false);
    await pass(9999);
    expect(operator.heard.at(-1)).toBe("relays");
    await pass(1);
    expect([operator.heard.at(-1), box.heard.at(-1)]).toEqual(["end idle", "end idle"]);
    expect(metric("sessions_expired_total")).toBe("1");
    expect(metric('bytes_total{direction="to_box"}')).toBe("10");
  });

  it("ends a session that has lasted as long as it may, however busy", async () => {
    const { join, pass } = start();
    const operator = join({ max: 100 });
    const box = join({ side: "box", max: 200 });
    await pass(99_999);
    box.member.relayed(1, true);
    expect(operator.heard.at(-1)).toBe("relays");
    await pass(1);
    expect(operator.heard.at(-1)).toBe("end max-age");
  });

  it("lets only sides of the same attempt meet, and a later attempt end an earlier one", () => {
    const { join, pairing } = start();
    const oldBox = join({ side: "box", att: 1 });
    const operator = join({ att: 2 });
    expect(oldBox.heard).toEqual(["waiting 0", "end peer-lost"]);
    expect(operator.heard).toEqual(["waiting 0"]);
    expect(join({ side: "box", att: 1 }).heard).toEqual(["end replaced"]);
    const box = join({ side: "box", att: 2 });
    expect(box.heard).toEqual(["joined operator/1", "relays"]);
    expect(pairing.list()).toHaveLength(1);
    // What the old one still does counts for nothing.
    oldBox.member.lost("gone");
    expect(pairing.list()).toMatchObject([{ state: "open" }]);
  });

  it("keeps a waiting session when its side joins again, with a new time to wait", async () => {
    const { join, pass, events } = start();
    const first = join({});
    await pass(50_000);
    const second = join({});
    expect(first.heard.at(-1)).toBe("end replaced");
    await pass(50_000);
    expect(second.heard.at(-1)).toBe("waiting 50000");
    expect(events.filter(({ kind }) => kind === "ended")).toEqual([]);
  });

  it("holds its limits, of each operator and in total, and frees them again", () => {
    const { join } = start();
    const one = join({ sid: "1" });
    join({ sid: "2" });
    expect(() => join({ sid: "3" })).toThrow("ada has 2 sessions at this router; allowed: 2");
    // The other side of one that is here.
    join({ sid: "2", side: "box" });
    join({ sid: "3", sub: "bob" });
    join({ sid: "4", sub: "bob" });
    expect(() => join({ sid: "5", sub: "eve" })).toThrow("as many as it may");
    one.member.lost("gone");
    join({ sid: "5", sub: "ada" });
  });

  it("tells of what its owner terminates, and drains", () => {
    const { join, pairing, events } = start();
    const operator = join({});
    const box = join({ side: "box" });
    const alone = join({ sid: "s-2" });
    pairing.drain();
    expect(alone.heard.at(-1)).toBe("end draining");
    expect(operator.heard.at(-1)).toBe("relays");
    expect(() => join({ sid: "s-3" })).toThrow("try another");
    expect(pairing.end("s-1", { reason: "terminated", message: "by bob" })).toBe(true);
    expect(box.heard.at(-1)).toBe("end terminated");
    expect(events.at(-1)).toMatchObject({ kind: "ended", end: { reason: "terminated", message: "by bob" } });
  });

  it.each([
    { first: "box", next: "operator", reason: "peer-done", by: "box" },
    { first: "operator", next: "box", reason: "peer-lost", by: "box" },
  ] as const)("the $first closes in order and the $next is lost: $reason", ({ first, next, reason, by }) => {
    const { join, events } = start();
    const sides = { operator: join({}), box: join({ side: "box" }) };
    sides[first].member.done();
    sides[next].member.lost("gone");
    expect(events.at(-1)).toMatchObject({ kind: "ended", end: { reason, by } });
    expect(sides[first].heard.at(-1)).toBe("end peer-lost");
  });
});
