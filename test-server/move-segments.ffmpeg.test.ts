import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { fleetWorkloadViewSchema } from "../src/contract/fleet/expected-view.ts";
import { createTransferWorld } from "./transfer-world.ts";

const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const SEGMENTS = isLong ? 20 : 2;

it("finished recordings move to another box, whatever is killed meanwhile, and the one that is written never does", {
  timeout: 300_000,
}, async () => {
  await using world = await createTransferWorld();
  const [here, there] = [join(world.from, "cam"), join(world.to, "archive")];
  mkdirSync(here);
  const { boxId } = world.box("from");
  const stream = (move: object) => ({
    kind: "stream",
    id: "cam-1",
    spec: {
      input: "test://bars?size=160x90&fps=10",
      video: { encoder: "libx264", preset: "ultrafast", gopFrames: 10 },
      audio: "none",
      outputs: [{ url: `${here}/`, segmentSeconds: 1, move }],
    },
  });
  const put = (move: object) =>
    world.hub().call("PUT", `/v1/boxes/${boxId}/workloads/cam-1`, { workload: stream(move) });
  const to = `${world.box("to").boxId}:${there}`;
  // First they stay for long after they have arrived.
  await put({ to, keepHere: "1d" });
  const namesIn = (directory: string) => {
    try {
      return readdirSync(directory)
        .filter((name) => name.endsWith(".mkv"))
        .sort();
    } catch {
      return [];
    }
  };
  await world.until(() => namesIn(there).length >= 2, "two recordings at the other box");
  const kept = namesIn(there);
  expect(namesIn(here)).toEqual(expect.arrayContaining(kept));
  await Promise.all([world.killWorker("from"), world.killHub()]);
  await world.box("from").killAgent("SIGKILL");
  await world.box("from").startAgent();
  const pid = await world.until(async () => (await world.box("from").workload("cam-1"))?.pid, "the stream's process");
  // Now they go at once; the stream is not begun anew for that.
  await put({ to });
  await world.until(
    () => namesIn(there).length >= kept.length + SEGMENTS && !namesIn(here).includes(kept[0] ?? ""),
    "more of them",
  );
  await world.until(
    () => !namesIn(here).some((name) => kept.includes(name)),
    "those that have arrived are gone from here",
  );
  expect((await world.box("from").workload("cam-1"))?.pid).toBe(pid);
  const newest = namesIn(here).at(-1) ?? "";
  const moved = namesIn(there);
  expect(newest > (moved.at(-1) ?? "")).toBe(true);
  // Whole files alone have their length in them: FFmpeg writes it at their end.
  for (const name of moved) {
    const answer = execFileSync("ffprobe", [
      "-v",
      "error",
      "-show_entries",
      "format=duration",
      "-of",
      "csv=p=0",
      join(there, name),
    ]);
    expect(`${name} ${Number(answer) > 0}`).toBe(`${name} true`);
  }
  // The hub tells of it what the box does, also of what its earlier agent had moved.
  const shown = await world.until(async () => {
    const told = fleetWorkloadViewSchema
      .pick({ status: true })
      .parse(await world.hub().call("GET", `/v1/boxes/${boxId}/workloads/cam-1`)).status?.segments;
    return (told?.moved ?? 0) > kept.length ? told : undefined;
  }, "the count of moved recordings at the hub");
  expect(shown.failed).toBe(0);
  // A name is there a little before its transfer is over; what has gone from here was shown a receipt.
  const listed = await world.hub().call("GET", "/sync?state=COMPLETED");
  expect(listed).toEqual(expect.arrayContaining([expect.objectContaining({ source_path: join(here, kept[0] ?? "") })]));
});
