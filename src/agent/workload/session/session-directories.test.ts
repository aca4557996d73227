import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeSessionDirectories, settleVolumes } from "./session-directories.ts";

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "sluice-volumes-"));
});
afterEach(() => rm(stateDir, { recursive: true, force: true }));

const places = () => ({ directory: join(stateDir, "workloads/app"), stateDir });
const data = { name: "data", path: "/var/data" };

test("a volume is found at its path, below the session's own root, again and again", async () => {
  const { root, volumes } = await makeSessionDirectories("app", [data], places());
  await writeFile(join(root, "var/data/note"), "kept");
  expect(volumes).toEqual({ data: join(stateDir, "volumes/app/data") });
  await makeSessionDirectories("app", [data], places());
  expect(await readFile(join(stateDir, "volumes/app/data/note"), "utf8")).toBe("kept");
});

test("a volume that is to go with its session moves to where that goes, and back, with its files", async () => {
  const { root } = await makeSessionDirectories("app", [data], places());
  await writeFile(join(root, "var/data/note"), "moved");
  const { volumes } = await makeSessionDirectories("app", [{ ...data, onStop: "delete" }], places());
  expect(volumes["data"]).toBe(join(stateDir, "workloads/app/volumes/data"));
  expect(await readFile(join(root, "var/data/note"), "utf8")).toBe("moved");
  await makeSessionDirectories("app", [data], places());
  expect(await readFile(join(stateDir, "volumes/app/data/note"), "utf8")).toBe("moved");
});

test("what was said last of a volume counts when its session goes, wherever it lies", async () => {
  const spared = { name: "spared", path: "spared", onStop: "delete" } as const;
  const { volumes } = await makeSessionDirectories("app", [data, spared], places());
  for (const [name, path] of Object.entries(volumes)) await writeFile(join(path, "note"), name);
  const rules = new Map([["data", "delete"] as const, ["spared", "keep"] as const, ["never-made", "keep"] as const]);
  for (let times = 0; times < 2; times++) settleVolumes("app", rules, places());
  expect(existsSync(join(stateDir, "volumes/app/data"))).toBe(false);
  await rm(places().directory, { recursive: true });
  settleVolumes("app", rules, places());
  expect(await readFile(join(stateDir, "volumes/app/spared/note"), "utf8")).toBe("spared");
});

test("a directory of the box is linked, and files that are in the way are not taken away", async () => {
  const hostPath = join(stateDir, "host");
  await mkdir(hostPath);
  const { root } = await makeSessionDirectories("app", [{ ...data, hostPath }], places());
  await writeFile(join(root, "var/data/x"), "on the box");
  expect(await readFile(join(hostPath, "x"), "utf8")).toBe("on the box");
  await writeFile(join(root, "own"), "");
  await expect(makeSessionDirectories("app", [{ name: "own", path: "own" }], places())).rejects.toMatchObject({
    code: "conflict",
  });
});
