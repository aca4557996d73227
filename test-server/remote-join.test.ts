import { createHash } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import type { Carrier } from "../src/remote/carrier.ts";
import type { Channel } from "../src/remote/channel.ts";
import { createWindowLedger } from "../src/remote/receive-window.ts";
import { createRemoteSession, type RemoteSession } from "../src/remote/remote-session.ts";
import { createRouterDialler, type RouterDialler } from "../src/remote/router-dialler.ts";
import { ROUTER_ID, type RouterUnderTest, startRouter, ticketFor } from "../src/router/router.fake.ts";

const never = new AbortController().signal;
let router: RouterUnderTest;
let diallers: RouterDialler[];
let ends: RemoteSession[];

beforeEach(async () => {
  router = await startRouter({ rendezvousMs: 400 });
  diallers = [];
  ends = [];
});
afterEach(async () => {
  for (const end of ends) end.close();
  for (const dialler of diallers) dialler.close();
  await router.close();
});

function newDialler(): RouterDialler {
  const dialler = createRouterDialler({ client: "test/1" }, { clock: systemClock, authorities: () => [] });
  diallers.push(dialler);
  return dialler;
}

function newEnd(side: "operator" | "box"): RemoteSession {
  const deps = { clock: systemClock, newId: () => `${side}-${ends.length}`, ledger: createWindowLedger() };
  const end = createRemoteSession({ side, program: "test/1" }, deps);
  ends.push(end);
  return end;
}

function join(
  side: "operator" | "box",
  claims: Parameters<typeof ticketFor>[0] = {},
  dialler = newDialler(),
): Promise<Carrier> {
  const ticket = ticketFor({ side, sub: "ada", ...claims });
  const address = { id: ROUTER_ID, url: router.url };
  return dialler.join({ router: address, ticket, traffic: "interactive", isSealed: false }, {}, never);
}

async function meet(operator: RemoteSession, box: RemoteSession, claims: Parameters<typeof ticketFor>[0] = {}) {
  const [one, other] = await Promise.all([join("operator", claims), join("box", claims)]);
  return { operator: operator.carry(one), box: box.carry(other) };
}

const echo = (channel: Channel) => {
  channel.accept();
  channel.readable("in").pipe(channel.writable("out"));
};

describe("two ends through a real router", () => {
  test("meet, carry what is written byte for byte, and part in order", async () => {
    const operator = newEnd("operator");
    const box = newEnd("box");
    box.onChannel(echo);
    const carried = await meet(operator, box);
    const sent = Buffer.alloc(20_000_000, "0123456789abcdef\n");
    const channel = operator.open({ kind: "dial", host: "127.0.0.1", port: 1 });
    const back = buffer(channel.readable("out"));
    channel.writable("in").end(sent);
    const got = await back;
    expect(createHash("sha256").update(got).digest("hex")).toBe(createHash("sha256").update(sent).digest("hex"));
    await expect(channel.closed).resolves.toEqual({});
    operator.close();
    await expect(box.closed).resolves.toMatchObject({ code: undefined });
    await expect(carried.operator).resolves.toMatchObject({ reason: "peer-done" });
    await expect(carried.box).resolves.toMatchObject({ reason: "peer-done" });
  });

  test("go on at the next meeting after one has lost its connection, with nothing lost", async () => {
    const operator = newEnd("operator");
    const box = newEnd("box");
    box.onChannel(echo);
    const carried = await meet(operator, box, { sid: "s-2" });
    const sent = Buffer.alloc(30_000_000, "0123456789abcdef\n");
    const channel = operator.open({ kind: "dial", host: "127.0.0.1", port: 1 });
    const out = channel.readable("out");
    const back = buffer(out);
    channel.writable("in").end(sent);
    await expect.poll(() => operator.stats().receivedBytes).toBeGreaterThan(1_000_000);
    diallers[0]?.close();
    await expect(carried.operator).resolves.toMatchObject({ reason: "broken" });
    await expect(carried.box).resolves.toMatchObject({ reason: "peer-lost" });
    await meet(operator, box, { sid: "s-2" });
    const got = await back;
    expect(got.equals(sent)).toBe(true);
  });

  test("say why they did not meet", async () => {
    await expect(join("operator", { sid: "s-3" })).rejects.toMatchObject({ code: "timeout" });
    await expect(join("operator", { aud: "router-9" })).rejects.toMatchObject({ code: "refused" });
    await expect(join("operator", { exp: 1000, iat: 900 })).rejects.toMatchObject({
      code: "unauthorized",
      message: expect.stringContaining("the ticket ended"),
    });
    const dialler = newDialler();
    const nobody = { id: ROUTER_ID, url: "http://127.0.0.1:1" };
    await expect(
      dialler.join({ router: nobody, ticket: "x", traffic: "bulk", isSealed: false }, {}, never),
    ).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("127.0.0.1:1 cannot be reached"),
    });
  });

  test("can be called off while the other is awaited", async () => {
    const stop = new AbortController();
    const waiting: string[] = [];
    const target = {
      router: { id: ROUTER_ID, url: router.url },
      ticket: ticketFor({ sid: "s-4" }),
      traffic: "bulk",
      isSealed: false,
    } as const;
    const joining = newDialler().join(target, { onWaiting: (message) => waiting.push(message) }, stop.signal);
    setImmediate(() => stop.abort(new Error("called off")));
    await expect(joining).rejects.toThrow("called off");
  });
});
