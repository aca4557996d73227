import { expect, test } from "vitest";
import { emptyFrame, FRAME, FRAME_HEAD_BYTES, jsonFrame, writeFrameHead } from "./frames.ts";
import { createLinkPair } from "./link-pair.ts";

const dataFrame = (text: string) => {
  const frame = Buffer.alloc(FRAME_HEAD_BYTES + text.length);
  writeFrameHead(frame, 0, FRAME.data, text.length);
  frame.write(text, FRAME_HEAD_BYTES);
  return frame;
};
const isSettled = async (promise: Promise<unknown>) => {
  let settled = false;
  promise.then(
    () => {
      settled = true;
    },
    () => undefined,
  );
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
};

test("what one end sends the other is given frame by frame, in its order and not as a copy", async () => {
  const [near, far] = createLinkPair();
  const early = far.next();
  const bytes = Buffer.concat([dataFrame("one"), jsonFrame(FRAME.want, { a: 1 }), emptyFrame(FRAME.end)]);
  void near.send(bytes);
  const frames = [await early, await far.next(), await far.next()];
  expect(frames.map((frame) => [frame?.type, frame?.body.toString()])).toEqual([
    [FRAME.data, "one"],
    [FRAME.want, '{"a":1}'],
    [FRAME.end, ""],
  ]);
  expect(frames[0]?.body.buffer).toBe(bytes.buffer);
});

test("bytes of files count as sent when the other end has released them, and everything else at once", async () => {
  const [near, far] = createLinkPair();
  const both = near.send(Buffer.concat([dataFrame("one"), dataFrame("two")]));
  await near.send(jsonFrame(FRAME.want, {}));
  (await far.next())?.release();
  expect(await isSettled(both)).toBe(false);
  const second = await far.next();
  second?.release();
  second?.release();
  expect(await isSettled(both)).toBe(true);
});

test("its end is heard at both ends, with the reason, by who waits, who sends and who comes later", async () => {
  const [near, far] = createLinkPair();
  const sent = far.send(dataFrame("never taken"));
  const waiting = far.next();
  const reason = new TypeError("enough");
  near.close(reason);
  near.close(new TypeError("again"));
  for (const late of [sent, waiting, near.next(), far.next(), near.send(emptyFrame(FRAME.end)), far.room(1)]) {
    await expect(late).rejects.toBe(reason);
  }
  expect([near.isOpen(), far.isOpen()]).toEqual([false, false]);
});
