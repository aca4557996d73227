import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { readBody } from "./read-body.ts";

const LIMITS = { maxBytes: 100, timeoutMs: 15_000 };

test("a body that drips in is given up at its deadline, however lively it drips", async () => {
  const clock = createFakeClock();
  const source = new PassThrough();
  const body = readBody(source, LIMITS, clock);
  const failed = expect(body).rejects.toMatchObject({
    code: "timeout",
    message: "body: not complete after 15 s; send it faster",
  });
  for (let second = 0; second < 15; second++) {
    source.write("x");
    await clock.advance(1000);
  }
  await failed;
});

test("a body larger than allowed is not read on", async () => {
  const source = new PassThrough();
  const body = readBody(source, LIMITS, createFakeClock());
  source.write("x".repeat(60));
  source.write("x".repeat(60));
  await expect(body).rejects.toMatchObject({ code: "too-large", field: "body" });
  expect(source.isPaused()).toBe(true);
});

test("a connection that ends in the middle ends the wait", async () => {
  const source = new PassThrough();
  const body = readBody(source, LIMITS, createFakeClock());
  source.write("{");
  source.destroy();
  await expect(body).rejects.toMatchObject({ code: "cancelled" });
});

test("a whole body is what was sent", async () => {
  const source = new PassThrough();
  const body = readBody(source, LIMITS, createFakeClock());
  source.write("one ");
  source.end("two");
  expect((await body).toString()).toBe("one two");
});
