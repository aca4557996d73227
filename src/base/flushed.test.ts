import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { flushed } from "./flushed.ts";

function slowStream() {
  const taken: (() => void)[] = [];
  const stream = new Writable({ write: (_bytes, _encoding, done) => void taken.push(done) });
  return { stream, take: () => taken.shift()?.() };
}

test("what was written is waited for, to its last piece", async () => {
  const { stream, take } = slowStream();
  stream.write("one");
  stream.write("two");
  let isOver = false;
  const over = flushed(stream).then(() => {
    isOver = true;
  });
  take();
  await new Promise(setImmediate);
  expect(isOver).toBe(false);
  take();
  await new Promise(setImmediate);
  take();
  await over;
});

test("nothing is waited for where nothing was written, or nobody reads any more", async () => {
  await flushed(slowStream().stream);
  const { stream } = slowStream();
  stream.write("lost");
  const over = flushed(stream);
  stream.destroy(new Error("EPIPE"));
  await over;
  await flushed(stream);
});
