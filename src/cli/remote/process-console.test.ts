import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { toSink } from "./process-console.ts";

function slowStream() {
  const taken: (() => void)[] = [];
  const stream = new Writable({
    highWaterMark: 1024 * 1024,
    write: (_bytes, _encoding, done) => void taken.push(done),
  });
  return { stream, take: () => taken.shift()?.() };
}
const isSettled = (promise: Promise<unknown>) =>
  Promise.race([promise.then(() => true), new Promise<boolean>((resolve) => setImmediate(resolve, false))]);

test("a piece counts as written once the system has it, although the stream would take more", async () => {
  const { stream, take } = slowStream();
  const writing = toSink(stream).write(Buffer.from("last"));
  expect(await isSettled(writing)).toBe(false);
  take();
  expect(await writing).toBe(true);
});

test("a reader that leaves in the middle is told of, then and later", async () => {
  const { stream } = slowStream();
  const sink = toSink(stream);
  const writing = sink.write(Buffer.from("lost"));
  stream.destroy(new Error("EPIPE"));
  expect(await writing).toBe(false);
  expect(await sink.write(Buffer.from("more"))).toBe(false);
});
