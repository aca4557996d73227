import { expect, test } from "vitest";
import type { DataLink, Frame } from "./data-link.ts";
import { FRAME } from "./frames.ts";
import { createLinkTurn } from "./link-turns.ts";

function openLink() {
  const frames: Frame[] = [];
  const waiting: ((frame: Frame | undefined) => void)[] = [];
  const closed: (Error | undefined)[] = [];
  const link: DataLink = {
    next: () => {
      const frame = frames.shift();
      return frame === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(frame);
    },
    send: async () => undefined,
    room: async () => undefined,
    took: () => undefined,
    linger: () => undefined,
    moved: () => 0,
    rest: () => undefined,
    wake: () => undefined,
    close: (reason) => void closed.push(reason),
    isOpen: () => closed.length === 0,
  };
  const come = (type: number, text = "") => {
    const frame = { type, body: Buffer.from(text), release: () => undefined };
    const waiter = waiting.shift();
    if (waiter === undefined) frames.push(frame);
    else waiter(frame);
  };
  return { link, come, closed };
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
const read = async (link: DataLink) => {
  const frame = await link.next();
  return frame?.type === FRAME.end ? "end" : frame?.body.toString();
};

test("who follows hears nothing of what comes for who was before, and all behind its end", async () => {
  const { link, come } = openLink();
  const first = createLinkTurn(link);
  const second = first.follow();
  const third = second.follow();
  const heard: (string | undefined)[] = [];
  const all = Promise.all([
    (async () => {
      for (let at = 0; at < 2; at++) heard.push(`third: ${await read(third.link)}`);
    })(),
    (async () => {
      for (let at = 0; at < 2; at++) heard.push(`second: ${await read(second.link)}`);
    })(),
  ]);
  for (const text of ["one", "two"]) come(FRAME.data, text);
  await settle();
  expect(heard).toEqual([]);
  expect(second.hasBegun()).toBe(false);
  expect([await read(first.link), await read(first.link)]).toEqual(["one", "two"]);
  for (const text of ["of second", "of third"]) {
    come(FRAME.end);
    come(FRAME.data, text);
  }
  come(FRAME.end);
  expect(await read(first.link)).toBe("end");
  await all;
  expect(heard).toEqual(["second: of second", "second: end", "third: of third", "third: end"]);
  expect(third.hasBegun()).toBe(true);
});

test("a lease that fails ends the connection for who follows it, who can tell that by the connection itself nothing was wrong", async () => {
  const { link, closed } = openLink();
  const first = createLinkTurn(link);
  const second = first.follow();
  const waiting = second.link.next();
  first.link.close(new Error("no room"));
  await expect(waiting).rejects.toMatchObject({ code: "unreachable" });
  expect(closed.map((reason) => reason?.message)).toEqual(["no room"]);
  expect(second.hasBegun()).toBe(false);
});

test("a lease that fails once all of it has come leaves the connection to who follows", async () => {
  const { link, come, closed } = openLink();
  const first = createLinkTurn(link);
  come(FRAME.end);
  await first.link.next();
  const second = first.follow();
  first.link.close(new Error("its name could not be given"));
  come(FRAME.data, "mine");
  expect(await read(second.link)).toBe("mine");
  expect(closed).toEqual([]);
  second.link.close();
  expect(closed).toHaveLength(1);
});

test("who gives up before its turn leaves the one before what it asked for, and nobody uses the connection after that", async () => {
  const { link, come, closed } = openLink();
  const first = createLinkTurn(link);
  const second = first.follow();
  second.link.close(new Error("fenced"));
  expect(second.isWanted()).toBe(false);
  expect(first.isWanted()).toBe(true);
  await settle();
  expect(closed).toEqual([]);
  come(FRAME.data, "still mine");
  come(FRAME.end);
  expect([await read(first.link), await read(first.link)]).toEqual(["still mine", "end"]);
  await settle();
  expect(closed.map((reason) => reason?.message)).toEqual(["fenced"]);
});
