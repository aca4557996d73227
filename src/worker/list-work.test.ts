import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openWorkerWorld } from "./worker-world.fake.ts";

it("the first page is short, so that copying begins while most is still to be listed", async () => {
  const world = await openWorkerWorld();
  try {
    const tree = join(world.directory, "source/tree");
    mkdirSync(tree, { recursive: true });
    for (let index = 0; index < 1500; index++) writeFileSync(join(tree, `f${index}`), "");
    await world.list();
    // With the directory itself.
    expect(world.pages.map(({ length }) => length)).toEqual([64, 1000, 437]);
  } finally {
    world.close();
  }
});
