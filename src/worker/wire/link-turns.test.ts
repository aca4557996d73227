import { expect, test } from "vitest";
import type { DataLink } from "./data-link.ts";
import { FRAME } from "./frames.ts";
import { createLinkTurn } from "./link-turns.ts";
import { createScriptedLink } from "./scripted-link.fake.ts";

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
const read = async (link: DataLink) => {
  const frame = await link.next();
  return frame?.type === FRAME.end ? "end" : frame?.body.toString();
};

test("who follows hears nothing of what comes for who was before, and all behind its end", async () => {
  const { link, come } = createScriptedLink();
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
  for (const text of ["one", "two"]) come(FRAME.data, Buffer.from(text));
  await settle();
  expect(heard).toEqual([]);
  expect(second.hasBegun()).toBe(false);
  expect([await read(first.link), await read(first.link)]).toEqual(["one", "two"]);
  for (const text of ["of second", "of third"]) {
    come(FRAME.end);
    come(FRAME.data, Buffer.from(text));
  }
  come(FRAME.end);
  expect(await read(first.link)).toBe("end");
  await all;
  expect(heard).toEqual(["second: of second", "second: end", "third: of third", "third: end"]);
  expect(third.hasBegun()).toBe(true);
});

test("a lease that fails ends the connection for who follows it, who can tell that by the connection itself nothing was wrong", async () => {
  const { link, closed } = createScriptedLink();
  const first = createLinkTurn(link);
  const second = first.follow();
  const waiting = second.link.next();
  first.link.close(new Error("no room"));
  await expect(waiting).rejects.toMatchObject({ code: "unreachable" });
  expect(closed.map((reason) => reason?.message)).toEqual(["no room"]);
  expect(second.hasBegun()).toBe(false);
});

test("a lease that fails once all of it has come leaves the connection to who follows", async () => {
  const { link, come, closed } = createScriptedLink();
  const first = createLinkTurn(link);
  come(FRAME.end);
  await first.link.next();
  const second = first.follow();
  first.link.close(new Error("its name could not be given"));
  come(FRAME.data, Buffer.from("mine"));
  expect(await read(second.link)).toBe("mine");
  expect(closed).toEqual([]);
  second.link.close();
  expect(closed).toHaveLength(1);
});

test("who gives up before its turn leaves the one before what it asked for, and nobody uses the connection after that", async () => {
  const { link, come, closed } = createScriptedLink();
  const first = createLinkTurn(link);
  const second = first.follow();
  second.link.close(new Error("fenced"));
  expect(second.isWanted()).toBe(false);
  expect(first.isWanted()).toBe(true);
  await settle();
  expect(closed).toEqual([]);
  come(FRAME.data, Buffer.from("still mine"));
  come(FRAME.end);
  expect([await read(first.link), await read(first.link)]).toEqual(["still mine", "end"]);
  await settle();
  expect(closed.map((reason) => reason?.message)).toEqual(["fenced"]);
});
