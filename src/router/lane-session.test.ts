import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock } from "../base/clock.ts";
import type { Carrier, CarrierEnd } from "../remote/carrier.ts";
import { newKeyPair } from "../remote/proof-hub.fake.ts";
import { awaitProof, proveToBox } from "../remote/proven-carrier.ts";
import { createRouterDialler, type RouterDialler } from "../remote/router-dialler.ts";
import { ROUTER_ID, type RouterUnderTest, startRouter, ticketFor } from "./router.fake.ts";

const FACTS = { session: "s-1", box: "edge-001", attempt: 1, isSealed: false };
const boxKeys = newKeyPair();
const operatorKeys = newKeyPair();
const never = new AbortController().signal;
const DATA = Buffer.from([0x08, 0x01, 0x10, 0x01, 0x1a, 0x05, 0x08, 0x01, 0x12, 0x01, 0x61]);

let world: RouterUnderTest;
const diallers: RouterDialler[] = [];
beforeEach(async () => {
  world = await startRouter({ hasLanes: true });
});
afterEach(async () => {
  for (const dialler of diallers.splice(0)) dialler.close();
  await world.close();
});

function newDialler(): RouterDialler {
  const dialler = createRouterDialler({ client: "test/1" }, { clock: systemClock, authorities: () => [] });
  diallers.push(dialler);
  return dialler;
}

function join(side: "operator" | "box", url = world.url, dialler = newDialler()): Promise<Carrier> {
  return dialler.join({ router: { id: ROUTER_ID, url }, ticket: ticketFor({ side }), lane: "forward" }, {}, never);
}

function listen(carrier: Carrier) {
  const frames: Buffer[] = [];
  const end = Promise.withResolvers<CarrierEnd>();
  carrier.listen({
    onFrame: (pieces) => frames.push(Buffer.concat(pieces)),
    onDrain: () => undefined,
    onEnd: end.resolve,
  });
  return { carrier, frames, end: end.promise };
}

/** Both ends, past their proof; the operator's has said `first`. */
async function meet(joins = [join("operator"), join("box")], isSealed = false) {
  const [operator, box] = await Promise.all(joins);
  if (operator === undefined || box === undefined) throw new Error("two ends are wanted");
  const facts = { ...FACTS, isSealed };
  const waiting = awaitProof(box, { ...facts, boxKey: boxKeys.privateKey }, () => operatorKeys.key, deps, never);
  const task = { ...facts, ticket: "ticket", privateKey: operatorKeys.privateKey, boxKey: boxKeys.key };
  const here = listen(await proveToBox(operator, task, deps));
  here.carrier.send([DATA]);
  return { here, there: listen(await waiting), calls: { operator, box } };
}
const deps = { clock: systemClock };

it("carries frames both ways between two ends that have proved themselves, and their end in order", async () => {
  const { here, there } = await meet();
  expect(world.router.metrics()).toContain("router_grpc_lanes_active 1");
  const sent = [3, 2048, 65_600, 1_000_000].map((length) => Buffer.alloc(length, 8));
  for (const frame of sent) there.carrier.send([frame.subarray(0, 1), frame.subarray(1)]);
  await expect.poll(() => here.frames.length).toBe(sent.length);
  expect(here.frames.map((frame, index) => frame.equals(sent[index] ?? DATA))).toEqual(sent.map(() => true));
  expect(there.frames).toEqual([DATA]);
  const big = Buffer.alloc(3_000_000, 9);
  here.carrier.send([big]);
  here.carrier.finish();
  expect((await there.end).reason).toBe("peer-done");
  expect(there.frames.at(-1)?.equals(big)).toBe(true);
  there.carrier.finish();
  expect((await here.end).reason).toBe("peer-done");
  await expect.poll(() => world.router.list()).toEqual([]);
  await expect.poll(() => world.router.metrics()).toContain("router_grpc_connections 0");
});
