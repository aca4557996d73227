import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { expect, it } from "vitest";
import type { Carrier } from "./carrier.ts";
import { createCarrierDuplex } from "./carrier-duplex.ts";
import { createCarrierPair } from "./carrier-pair.fake.ts";
import { decodeFrame, encodeControl, encodeData } from "./frame.ts";
import { creditBody } from "./frame-bodies.ts";

const WINDOW_BYTES = 256 * 1024;

function openPair(bend: (frame: Buffer) => readonly Buffer[] = (frame) => [frame]) {
  const pair = createCarrierPair({ room: 8 });
  const bent: Carrier = {
    ...pair.operator,
    send: (pieces) => {
      let mayGoOn = true;
      for (const frame of bend(Buffer.concat(pieces))) mayGoOn = pair.operator.send([frame]);
      return mayGoOn;
    },
  };
  const operator = createCarrierDuplex(bent, { side: "operator", windowBytes: WINDOW_BYTES });
  const box = createCarrierDuplex(pair.box, { side: "box", windowBytes: WINDOW_BYTES });
  return { pair, operator, box };
}

/** All of it; the other direction is left as it is. */
const buffer = (stream: Duplex) =>
  new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("end", () => resolve(Buffer.concat(chunks)));
    stream.once("error", reject);
  });

const errorOf = (stream: Duplex) =>
  new Promise<{ readonly code: string; readonly message: string }>((resolve) =>
    stream.once("error", (error: Error & { readonly code: string }) => resolve(error)),
  );

it("carries the bytes of both ends at once, whole and in order, and each end's end", async () => {
  const { operator, box } = openPair();
  const data = { toBox: randomBytes(3_000_001), toOperator: randomBytes(2_000_003) };
  for (let at = 0; at < data.toBox.length; at += 70_001) operator.write(data.toBox.subarray(at, at + 70_001));
  operator.end();
  for (let at = 0; at < data.toOperator.length; at += 999) box.write(data.toOperator.subarray(at, at + 999));
  box.end();
  const [atBox, atOperator] = await Promise.all([buffer(box), buffer(operator)]);
  expect(atBox.equals(data.toBox)).toBe(true);
  expect(atOperator.equals(data.toOperator)).toBe(true);
});

it("sends no more than the reader lets come, and goes on when it reads", async () => {
  let sent = 0;
  const { operator, box } = openPair((frame) => {
    const decoded = decodeFrame([frame]);
    if ("pieces" in decoded) sent += decoded.length;
    return [frame];
  });
  const data = randomBytes(WINDOW_BYTES * 6);
  operator.end(data);
  // All that may come has come once nothing has for a number of turns.
  for (let quiet = 0, before = 0; quiet < 50; before = sent) {
    await new Promise((resolve) => setImmediate(resolve));
    quiet = sent === before && sent > 0 ? quiet + 1 : 0;
  }
  expect(sent).toBe(WINDOW_BYTES);
  expect((await buffer(box)).equals(data)).toBe(true);
});

it("ends in error where the carrier breaks, and in order where the other end has left", async () => {
  const broken = openPair();
  const failing = errorOf(broken.box);
  broken.operator.on("error", () => undefined);
  broken.box.resume();
  broken.pair.break();
  expect(await failing).toMatchObject({ code: "unavailable" });

  const left = openPair();
  left.operator.write("the last word", () => left.operator.destroy());
  expect((await buffer(left.box)).toString()).toBe("the last word");
});

it.each<[string, (frame: Buffer) => readonly Buffer[]]>([
  ["repeated", (frame) => [frame, frame]],
  ["left out", (frame) => (isData(frame, 2) ? [] : [frame])],
  ["no frame", (frame) => (isData(frame, 2) ? [Buffer.from([0xff, 0xff])] : [frame])],
  [
    "more than was asked for",
    (frame) => (isData(frame, 1) ? Array.from({ length: 6 }, (_, at) => data(at + 1, Buffer.alloc(65_536))) : [frame]),
  ],
  ["of another kind", () => [Buffer.from(encodeControl({ seq: 0, channel: 2, body: creditBody("in", 1) }))]],
])("ends where what comes is %s", async (_, bend) => {
  const { operator, box } = openPair(bend);
  operator.on("error", () => undefined);
  const failing = errorOf(box);
  for (let count = 0; count < 4; count++) operator.write(Buffer.alloc(65_536, count));
  expect(await failing).toMatchObject({ code: "conflict", message: expect.stringMatching(/changed on its way/) });
});

function isData(frame: Buffer, seq: number): boolean {
  const decoded = decodeFrame([frame]);
  return "pieces" in decoded && decoded.seq === seq;
}

function data(seq: number, bytes: Buffer): Buffer {
  return Buffer.concat(encodeData({ seq, channel: 1, pipe: "in", bytes }));
}
