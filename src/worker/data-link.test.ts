import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { createDataLink } from "./data-link.ts";
import { emptyFrame, FRAME, jsonFrame } from "./frames.ts";

const begin = () => {
  const clock = createFakeClock();
  const socket = new PassThrough();
  const link = createDataLink(socket, clock);
  const ended = link.next().then(
    () => "a frame",
    (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
  );
  return { clock, socket, link, ended };
};
const turns = () => new Promise<void>((resolve) => setImmediate(resolve));

it("a peer that has gone without a word is given up after 30 s, and not before", async () => {
  const { clock, link, ended } = begin();
  await clock.advance(29_900);
  expect(link.isOpen()).toBe(true);
  await clock.advance(200);
  expect(link.isOpen()).toBe(false);
  expect(await ended).toBe("unreachable: the peer did not get on for 30 s");
});

it("a peer that sends a byte a second is cut: its frame takes too long", async () => {
  const { clock, socket, link, ended } = begin();
  const frame = jsonFrame(FRAME.same, { index: 0, sha256: "0".repeat(400) });
  let seconds = 0;
  for (; link.isOpen() && seconds < 300; seconds++) {
    socket.write(frame.subarray(seconds, seconds + 1));
    await turns();
    await clock.advance(1000);
  }
  expect(seconds).toBeGreaterThan(119);
  expect(seconds).toBeLessThan(152);
  expect(await ended).toMatch(/^unreachable/);
});

it("a peer that says something now and then is kept, and one that nobody expects to say anything is too", async () => {
  const { clock, socket, link } = begin();
  for (let minute = 0; minute < 10; minute++) {
    socket.write(emptyFrame(FRAME.end));
    await turns();
    await clock.advance(25_000);
    expect(link.isOpen()).toBe(true);
  }
  link.rest();
  await clock.advance(600_000);
  expect(link.isOpen()).toBe(true);
  link.wake();
  await clock.advance(61_000);
  expect(link.isOpen()).toBe(false);
});
