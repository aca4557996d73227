import { expect, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { Carrier, CarrierEnd } from "./carrier.ts";
import { createCarrierPair } from "./carrier-pair.fake.ts";
import { encodeControl } from "./frame.ts";
import { pingBody } from "./frame-bodies.ts";
import { newKeyPair } from "./proof-hub.fake.ts";
import { awaitProof, proveEarly, proveToBox } from "./proven-carrier.ts";

const never = new AbortController().signal;
const box = newKeyPair();
const operator = newKeyPair();
const FACTS = { session: "s-1", box: "edge-001", attempt: 1 };
const PING = encodeControl({ seq: 0, channel: 0, body: pingBody(7) });
const DATA = Buffer.from([0x08, 0x01, 0x10, 0x01, 0x1a, 0x05, 0x08, 0x01, 0x12, 0x01, 0x61]);

interface End {
  readonly carrier: Carrier;
  readonly frames: Buffer[];
  readonly ended: Promise<CarrierEnd>;
}

function listen(carrier: Carrier): End {
  const frames: Buffer[] = [];
  const ended = Promise.withResolvers<CarrierEnd>();
  carrier.listen({
    onFrame: (pieces) => frames.push(Buffer.concat(pieces)),
    onDrain: () => undefined,
    onEnd: ended.resolve,
  });
  return { carrier, frames, ended: ended.promise };
}

/** What lies between: it sees every frame, and may give others in its place. */
type Tamper = (frame: Buffer, index: number) => readonly Buffer[];
function through(inner: Carrier, seen: Buffer[], tamper: Tamper = (frame) => [frame]): Carrier {
  return {
    ...inner,
    listen: inner.listen,
    finish: inner.finish,
    cut: inner.cut,
    send: (pieces) => {
      const frame = Buffer.concat(pieces);
      seen.push(frame);
      let hasRoom = true;
      for (const one of tamper(frame, seen.length - 1)) hasRoom = inner.send([one]);
      return hasRoom;
    },
  };
}

interface Meeting {
  readonly isSealed?: boolean;
  readonly toBox?: Tamper;
  readonly toOperator?: Tamper;
  readonly operatorTask?: Partial<Parameters<typeof proveToBox>[1]>;
  readonly judge?: (ticket: string) => string;
}

async function meet({ isSealed = false, toBox, toOperator, operatorTask, judge = () => operator.key }: Meeting = {}) {
  const pair = createCarrierPair();
  const seen = { toBox: [] as Buffer[], toOperator: [] as Buffer[] };
  const theirs = { ...FACTS, isSealed, boxKey: box.privateKey };
  const waiting = awaitProof(
    through(pair.box, seen.toOperator, toOperator),
    theirs,
    judge,
    { clock: systemClock },
    never,
  );
  const mine = {
    ...{ ...FACTS, isSealed, ticket: "ticket", privateKey: operator.privateKey, boxKey: box.key },
    ...operatorTask,
  };
  const proving = proveToBox(through(pair.operator, seen.toBox, toBox), mine, { clock: systemClock });
  return { box: listen(await waiting), operator: listen(await proving), seen };
}

test.each([false, true])("two ends meet, and hand on frames in their order (sealed: %s)", async (isSealed) => {
  const { box: there, operator: here, seen } = await meet({ isSealed });
  here.carrier.send([PING]);
  here.carrier.send([DATA.subarray(0, 3), DATA.subarray(3)]);
  there.carrier.send([DATA]);
  await expect.poll(() => there.frames).toEqual([Buffer.from(PING), DATA]);
  await expect.poll(() => here.frames).toEqual([DATA]);
  const [, ping, data] = seen.toBox;
  // A router tells by the first byte whether something moves; that much it learns, and the length.
  expect([(ping?.[0] ?? 0) & 0x80, (data?.[0] ?? 0) & 0x80]).toEqual([0x80, 0]);
  expect(data?.equals(DATA)).toBe(!isSealed);
  here.carrier.finish();
  await expect(there.ended).resolves.toMatchObject({ reason: "peer-done" });
});

test("the same frame is never the same bytes twice, on one carrier or on the next", async () => {
  const all: string[] = [];
  for (let attempt = 0; attempt < 2; attempt++) {
    const { operator: here, box: there, seen } = await meet({ isSealed: true });
    for (let index = 0; index < 3; index++) {
      here.carrier.send([DATA]);
      there.carrier.send([DATA]);
    }
    await expect.poll(() => [there.frames.length, here.frames.length]).toEqual([3, 3]);
    all.push(
      ...[...seen.toBox, ...seen.toOperator].filter((frame) => frame[0] === 0x08).map((frame) => frame.toString("hex")),
    );
  }
  expect(all).toHaveLength(12);
  expect(new Set(all).size).toBe(12);
});

const swapped: Tamper = (() => {
  let held: Buffer | undefined;
  return (frame, index) => {
    if (index === 1) held = frame;
    return index === 1 ? [] : index === 2 && held !== undefined ? [frame, held] : [frame];
  };
})();
test.each<[string, Tamper]>([
  ["repeats", (frame, index) => (index === 1 ? [frame, frame] : [frame])],
  ["leaves out", (frame, index) => (index === 1 ? [] : [frame])],
  ["moves", swapped],
  ["puts in the clear", (frame, index) => (index === 1 ? [DATA] : [frame])],
  ["cuts short", (frame, index) => (index === 1 ? [frame.subarray(0, 10)] : [frame])],
])("a router that %s a sealed frame ends it for both, and hands on nothing that is false", async (_what, toBox) => {
  const { operator: here, box: there } = await meet({ isSealed: true, toBox });
  for (let index = 0; index < 3; index++) here.carrier.send([PING]);
  await expect(there.ended).resolves.toMatchObject({ reason: "tampered", message: expect.stringContaining("changed") });
  await expect(here.ended).resolves.toMatchObject({ reason: "tampered" });
  for (const frame of there.frames) expect(frame.equals(PING)).toBe(true);
});

test("a router that changes any bit of a sealed frame ends the session", async () => {
  const { seen } = await meet({ isSealed: true }).then(async (met) => {
    met.operator.carrier.send([DATA]);
    await expect.poll(() => met.box.frames.length).toBe(1);
    return met;
  });
  const bits = (seen.toBox[1]?.length ?? 0) * 8;
  expect(bits).toBeGreaterThan(200);
  for (let bit = 0; bit < bits; bit++) {
    const flip: Tamper = (frame, index) => {
      if (index !== 1) return [frame];
      const changed = Buffer.from(frame);
      changed.writeUInt8((changed[bit >> 3] ?? 0) ^ (1 << (bit & 7)), bit >> 3);
      return [changed];
    };
    const { operator: here, box: there } = await meet({ isSealed: true, toBox: flip });
    here.carrier.send([DATA]);
    await expect(there.ended, `bit ${bit}`).resolves.toMatchObject({ reason: "tampered" });
    expect(there.frames).toEqual([]);
  }
});

test.each<[string, Meeting, string, string]>([
  [
    "a ticket that the box does not take",
    {
      judge: () => {
        throw new AppError("refused", "the ticket is for another box than the hub offered");
      },
    },
    "refused",
    "another box",
  ],
  ["a ticket whose key is another's", { judge: () => newKeyPair().key }, "refused", "does not have its key"],
  ["another session", { operatorTask: { session: "s-2" } }, "refused", "does not have its key"],
  ["another attempt", { operatorTask: { attempt: 2 } }, "refused", "does not have its key"],
  ["a wish to seal that the other has not", { operatorTask: { isSealed: true } }, "refused", "does not have its key"],
  [
    "a key of the box that it does not have",
    { operatorTask: { boxKey: newKeyPair().key } },
    "refused",
    "does not have its key",
  ],
  ["a frame in the place of the proof", { toBox: () => [DATA] }, "refused", "no ticket was shown"],
  ["bytes that are no frame", { toBox: () => [Buffer.alloc(100, 0xff)] }, "refused", "no ticket was shown"],
  [
    "a proof without end",
    { toBox: (frame) => [Buffer.concat([frame, Buffer.alloc(20_000)])] },
    "refused",
    "no ticket was shown",
  ],
])("%s is refused, and both ends hear it", async (_what, meeting, reason, text) => {
  const { operator: here, box: there } = await meet(meeting);
  await expect(there.ended).resolves.toMatchObject({ reason, message: expect.stringContaining(text) });
  await expect(here.ended).resolves.toMatchObject({ reason, message: expect.stringContaining(text) });
  expect(there.frames).toEqual([]);
});

test("a challenge that leads to no secret, or is none, is no box's", async () => {
  // A point of small order: whatever key is multiplied with it, the result is nothing.
  for (const bad of [Buffer.alloc(32), Buffer.alloc(5)]) {
    const toOperator: Tamper = (frame, index) =>
      index === 0 ? [Buffer.concat([Buffer.from([0xaa, 0x01, bad.length + 2, 0x0a, bad.length]), bad])] : [frame];
    const pair = createCarrierPair();
    const waiting = awaitProof(
      through(pair.box, [], toOperator),
      { ...FACTS, isSealed: true, boxKey: box.privateKey },
      () => operator.key,
      { clock: systemClock },
      never,
    );
    const task = { ...FACTS, isSealed: true, ticket: "t", privateKey: operator.privateKey, boxKey: box.key };
    const here = listen(await proveToBox(pair.operator, task, { clock: systemClock }));
    await expect(here.ended).resolves.toMatchObject({ reason: "broken", message: expect.stringContaining("no box") });
    await waiting;
  }
});

test("who stands in for the box, without its key, is found out before a byte of it is believed", async () => {
  const pair = createCarrierPair();
  const impostor = newKeyPair();
  const task = { ...FACTS, isSealed: false, ticket: "t", privateKey: operator.privateKey, boxKey: box.key };
  const proving = proveToBox(pair.operator, task, { clock: systemClock });
  // It lets in whoever comes, and confirms what it cannot know.
  const theirs = { ...FACTS, isSealed: false, boxKey: impostor.privateKey };
  void awaitProof(pair.box, theirs, () => operator.key, { clock: systemClock }, never);
  const here = listen(await proving);
  await expect(here.ended).resolves.toMatchObject({ reason: "refused" });
  expect(here.frames).toEqual([]);
});

test("a proof that was recorded opens nothing on another carrier", async () => {
  const { seen } = await meet({ isSealed: true });
  const recorded = seen.toBox[0] ?? Buffer.alloc(0);
  const pair = createCarrierPair();
  const waiting = awaitProof(
    pair.box,
    { ...FACTS, isSealed: true, boxKey: box.privateKey },
    () => operator.key,
    { clock: systemClock },
    never,
  );
  const router = listen(pair.operator);
  router.carrier.send([recorded]);
  const there = listen(await waiting);
  await expect(there.ended).resolves.toMatchObject({ reason: "refused" });
  // The box's challenge, and its refusal: nothing else was said.
  await expect(router.ended).resolves.toMatchObject({ reason: "peer-done" });
  expect(router.frames).toHaveLength(2);
});

/** The operator's proof is there before the box has asked for it. */
async function meetEarly({
  isSealed = false,
  takesEarly = true,
  operatorTask,
  judge = () => operator.key,
  boxKey = box.privateKey,
}: Meeting & { readonly takesEarly?: boolean; readonly boxKey?: typeof box.privateKey } = {}) {
  const pair = createCarrierPair();
  const mine = {
    ...{ ...FACTS, isSealed: false, ticket: "ticket", privateKey: operator.privateKey, boxKey: box.key },
    ...operatorTask,
  };
  const early = proveEarly(mine);
  pair.operator.send([early.frame]);
  const proving = proveToBox(pair.operator, mine, { clock: systemClock }, early);
  const theirs = { ...FACTS, isSealed, boxKey, takesEarly };
  const waiting = awaitProof(pair.box, theirs, judge, { clock: systemClock }, never);
  // Whoever is early does not wait for the box's word.
  const here = listen(await proving);
  return { box: listen(await waiting), operator: here, frame: early.frame };
}

test("an operator whose proof came before it was asked for is let in, and hands on frames in their order", async () => {
  const { box: there, operator: here } = await meetEarly();
  here.carrier.send([PING]);
  here.carrier.send([DATA]);
  there.carrier.send([DATA]);
  await expect.poll(() => there.frames).toEqual([Buffer.from(PING), DATA]);
  await expect.poll(() => here.frames).toEqual([DATA]);
});

test.each<[string, Parameters<typeof meetEarly>[0], string]>([
  ["a box that does not take it", { takesEarly: false }, "which it does not take here"],
  ["a box that wants all sealed", { isSealed: true }, "which it does not take here"],
  ["another session", { operatorTask: { session: "s-2" } }, "does not have its key"],
  ["another attempt", { operatorTask: { attempt: 2 } }, "does not have its key"],
  ["another box", { operatorTask: { box: "edge-002" } }, "does not have its key"],
  ["a key of the box that it does not have", { operatorTask: { boxKey: newKeyPair().key } }, "does not have its key"],
  ["a ticket whose key is another's", { judge: () => newKeyPair().key }, "does not have its key"],
  ["whoever has no key of the box's", { boxKey: newKeyPair().privateKey }, "does not have its key"],
])("an early proof for %s is refused, and both ends hear it", async (_what, meeting, text) => {
  const { operator: here, box: there } = await meetEarly(meeting);
  await expect(there.ended).resolves.toMatchObject({ reason: "refused", message: expect.stringContaining(text) });
  await expect(here.ended).resolves.toMatchObject({ reason: "refused" });
  expect([there.frames, here.frames]).toEqual([[], []]);
});

test("an early proof is no answer to a challenge, nor the other way round", async () => {
  const mine = { ...FACTS, isSealed: false, ticket: "ticket", privateKey: operator.privateKey, boxKey: box.key };
  const { frame } = proveEarly(mine);
  const asked = await meet();
  const answer = asked.seen.toBox[0] ?? Buffer.alloc(0);
  // `early` is field 3 of the proof, and stands last; two lengths before it grow by as much.
  const early = Buffer.from(frame);
  const claimed = Buffer.concat([answer, Buffer.from([0x18, 0x01])]);
  const lengths = [...early.subarray(2, 4)];
  claimed.set(lengths, 2);
  const stripped = Buffer.from(early.subarray(0, -2));
  stripped.set(answer.subarray(2, 4), 2);
  for (const [sent, text] of [
    [claimed, "does not have its key"],
    [stripped, "does not have its key"],
  ] as const) {
    const pair = createCarrierPair();
    const theirs = { ...FACTS, isSealed: false, boxKey: box.privateKey, takesEarly: true };
    const waiting = awaitProof(pair.box, theirs, () => operator.key, { clock: systemClock }, never);
    pair.operator.send([sent]);
    await expect(listen(await waiting).ended).resolves.toMatchObject({
      reason: "refused",
      message: expect.stringContaining(text),
    });
  }
});

test("who stands in for the box is found out by what it cannot confirm, before a byte of it is believed", async () => {
  const pair = createCarrierPair();
  const mine = { ...FACTS, isSealed: false, ticket: "ticket", privateKey: operator.privateKey, boxKey: box.key };
  const here = listen(await proveToBox(pair.operator, mine, { clock: systemClock }, proveEarly(mine)));
  const impostor = createCarrierPair();
  const facts = { ...FACTS, isSealed: false };
  const own = newKeyPair();
  // What a box says to another operator, handed on to this one.
  const other = { ...facts, ticket: "ticket", privateKey: operator.privateKey, boxKey: own.key };
  const said: Buffer[] = [];
  impostor.operator.listen({
    onFrame: (pieces) => said.push(Buffer.concat(pieces)),
    onDrain: () => undefined,
    onEnd: () => undefined,
  });
  impostor.operator.send([proveEarly(other).frame]);
  void awaitProof(
    impostor.box,
    { ...facts, boxKey: own.privateKey, takesEarly: true },
    () => operator.key,
    { clock: systemClock },
    never,
  );
  await expect.poll(() => said.length).toBe(2);
  for (const frame of [...said, DATA]) pair.box.send([frame]);
  await expect(here.ended).resolves.toMatchObject({ reason: "tampered" });
  expect(here.frames).toEqual([]);
});

test("a key of a box that leads to no secret is found out before anything is sent", () => {
  const boxKey = Buffer.alloc(32).toString("base64url");
  const mine = { ...FACTS, isSealed: false, ticket: "ticket", privateKey: operator.privateKey, boxKey };
  expect(() => proveEarly(mine)).toThrow("the key by which the hub knows the box is none");
});

test("a box that waits no more leaves, and an operator whose box says nothing comes back later", async () => {
  const pair = createCarrierPair();
  const stop = new AbortController();
  const waiting = awaitProof(
    pair.box,
    { ...FACTS, isSealed: true, boxKey: box.privateKey },
    () => operator.key,
    { clock: systemClock },
    stop.signal,
  );
  stop.abort();
  await expect(listen(await waiting).ended).resolves.toMatchObject({ reason: "broken" });
});
