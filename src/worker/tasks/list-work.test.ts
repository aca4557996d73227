import { linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openWorkerWorld } from "../worker-world.fake.ts";

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

it("a walk that is begun again behind any entry tells all that comes after it as the first one did, and nothing before", async () => {
  const world = await openWorkerWorld();
  try {
    const tree = join(world.directory, "source/tree");
    // In the order of a walk "a/x" is before "a!", in that of its text behind it.
    for (const name of ["a/deep", "b", "a!dir"]) mkdirSync(join(tree, name), { recursive: true });
    for (const name of ["a/deep/x", "a/x", "a!", "a.", "a0", "b/one", "c"]) writeFileSync(join(tree, name), name);
    for (const [name, of] of [
      ["b/two", "a/x"],
      ["z", "c"],
    ] as const) {
      linkSync(join(tree, of), join(tree, name));
    }
    symlinkSync("nowhere", join(tree, "b/link"));
    for (let index = 0; index < 400; index++) writeFileSync(join(tree, "b", `f${index}`), "");
    const whole = await world.list();
    expect(whole.filter(({ type }) => type === "hardlink").map(({ path }) => path)).toEqual(["b/two", "z"]);
    for (let at = 0; at < whole.length; at += at < 20 ? 1 : 37) {
      const rest = await world.list({ resume_after: whole[at]?.path ?? "", next_page: 3 });
      expect(rest.map(({ path }) => path)).toEqual(whole.slice(at + 1).map(({ path }) => path));
      expect(rest).toEqual(whole.slice(at + 1));
      expect(world.pages[0]).toBe(undefined);
    }
  } finally {
    world.close();
  }
});
