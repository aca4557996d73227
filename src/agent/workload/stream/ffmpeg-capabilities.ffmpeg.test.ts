import { expect, test } from "vitest";
import { systemClock } from "../../../base/clock.ts";
import { createSpawner } from "../../../base/spawn.ts";
import { parseFlaggedNames, parseProtocols, parseVersion, readFfmpegCapabilities } from "./ffmpeg-capabilities.ts";

const { runProgram } = createSpawner({ ambient: process.env }, { clock: systemClock });
const read = (path: string) => readFfmpegCapabilities(path, runProgram, AbortSignal.timeout(20_000));

test("the real FFmpeg tells its version and abilities", async () => {
  const found = await read("ffmpeg");
  expect(found.version).toMatch(/^n?\d|^N-/);
  expect(found.encoders).toEqual(expect.arrayContaining(["libx264", "aac", "mjpeg"]));
  expect(found.muxers).toEqual(expect.arrayContaining(["flv", "hls", "mpegts", "tee", "fifo", "segment", "rtsp"]));
  expect(found.protocols.output).toEqual(expect.arrayContaining(["rtmp", "srt", "udp", "http"]));
  expect(found.protocols.input).toEqual(expect.arrayContaining(["https", "file"]));
});

test("a program that is not there is named", async () => {
  await expect(read("/nowhere/ffmpeg")).rejects.toMatchObject({ code: "not-found" });
  await expect(read("/nowhere/ffmpeg")).rejects.toThrow("/nowhere/ffmpeg");
});

test("a program that is not FFmpeg is not taken for it", async () => {
  await expect(read("/bin/true")).rejects.toMatchObject({ code: "unavailable" });
  await expect(read("/bin/false")).rejects.toMatchObject({ code: "unavailable" });
});

test("versions of releases, distributions and repositories are read", () => {
  expect(parseVersion("ffmpeg version 4.3.6-0+deb11u1 Copyright (c) 2000-2023")).toBe("4.3.6-0+deb11u1");
  expect(parseVersion("ffmpeg version n7.1 Copyright")).toBe("n7.1");
  expect(parseVersion("something else")).toBeUndefined();
});

test("lists are read below their rule of dashes", () => {
  const encoders =
    "Encoders:\n V..... = Video\n ------\n V....D libx264              H.264 (codec h264)\n A..... aac  AAC\n";
  expect(parseFlaggedNames(encoders)).toEqual(["libx264", "aac"]);
  expect(parseFlaggedNames("File formats:\n E = Muxing supported\n --\n  E flv             FLV\n")).toEqual(["flv"]);
  expect(parseFlaggedNames("nothing of the kind")).toEqual([]);
  expect(parseProtocols("Supported file protocols:\nInput:\n  file\n  rtmp\nOutput:\n  srt\n")).toEqual({
    input: ["file", "rtmp"],
    output: ["srt"],
  });
});
