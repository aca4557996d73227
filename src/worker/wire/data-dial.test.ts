import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { openWorkerWorld, type WorkerWorld } from "../worker-world.fake.ts";
import { FRAME, jsonFrame } from "./frames.ts";
import { itemKeyOf } from "./item-hash.ts";
import { itemsMessage } from "./link-messages.ts";

let open: WorkerWorld | undefined;
afterEach(() => {
  open?.close();
  open = undefined;
});

it("a dialler that closes ends what it keeps, and leaves what is in use to who uses it, but keeps that no more", async () => {
  const world = await openWorkerWorld();
  open = world;
  mkdirSync(join(world.directory, "source/tree"));
  writeFileSync(join(world.directory, "source/tree/file"), "what is asked for");
  const items = (await world.list())
    .filter(({ type }) => type === "file")
    .map((entry) => ({ entry, offset: 0, length: entry.size }));
  const { dialler } = world.destination.context;
  const dial = () => dialler.dial(world.peer(items), "pull", new AbortController().signal);
  const [kept, lent, held] = [await dial(), await dial(), await dial()];
  kept.keep();
  lent.lend();
  expect([kept, lent, held].map(({ link }) => link.isOpen())).toEqual([true, true, true]);

  dialler.close();
  expect([kept, lent, held].map(({ link }) => link.isOpen())).toEqual([false, true, true]);
  for (const { link, keep } of [lent, held]) {
    const want = { wants: [[0, 0]], sparse: false, key: itemKeyOf("uid:1") };
    await link.send(jsonFrame(FRAME.items, itemsMessage(items)));
    await link.send(jsonFrame(FRAME.want, want));
    const answers = [await link.next(), await link.next()].map((frame) => frame?.type);
    expect(answers).toEqual([FRAME.pack, FRAME.end]);
    keep();
    expect(link.isOpen()).toBe(false);
  }
});
