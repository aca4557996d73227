import { expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { createSpawner } from "../../base/spawn.ts";
import { parseNames, probeMediaTool } from "./probe-media-tool.ts";

const { runProgram } = createSpawner({ ambient: process.env }, { clock: systemClock });
const { signal } = new AbortController();

test("the FFmpeg of this machine is known by its version and lacks nothing", async () => {
  const { version, lacks } = await probeMediaTool("ffmpeg", runProgram, signal);
  expect(version).toMatch(/^ffmpeg \S+/);
  expect(lacks).toEqual([]);
  expect((await probeMediaTool("ffprobe", runProgram, signal)).version).toMatch(/^ffprobe \S+/);
});

test("a program that is not there, or is not FFmpeg, is said to be so", async () => {
  await expect(probeMediaTool("/nowhere/ffmpeg", runProgram, signal)).rejects.toMatchObject({ code: "not-found" });
  await expect(probeMediaTool("false", runProgram, signal)).rejects.toMatchObject({ code: "unavailable" });
});

test("names are read from every form of list", () => {
  const text =
    "Encoders:\n V..... = Video\n ------\n V....D libx264   H.264\n D  mov,mp4,m4a   QuickTime\n DE flv  FLV\nInput:\n  rtmp\n";
  expect([...parseNames(text)]).toEqual(expect.arrayContaining(["libx264", "mov", "mp4", "m4a", "flv", "rtmp"]));
});
