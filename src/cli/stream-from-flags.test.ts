import { expect, test } from "vitest";
import { streamFromFlags } from "./stream-from-flags.ts";

const ENDS = { input: "rtsp://cam/1", output: ["rtmp://host/live/key"] };

test("input and outputs are all that a stream needs", () => {
  expect(streamFromFlags("cam-1", ENDS)).toEqual({
    kind: "stream",
    id: "cam-1",
    spec: { input: { url: "rtsp://cam/1" }, outputs: [{ url: "rtmp://host/live/key" }] },
  });
});

test("an encoder takes size, rate and bit rate; copy is a word of its own", () => {
  const flags = {
    ...ENDS,
    name: "Gate",
    video: "libx264",
    size: "1280x720",
    fps: "25",
    bitrate: "1800",
    audio: "copy",
    preview: true,
  };
  expect(streamFromFlags("cam-1", flags)).toMatchObject({
    name: "Gate",
    spec: { video: { encoder: "libx264", size: "1280x720", fps: 25, bitrateKbit: 1800 }, audio: "copy", preview: {} },
  });
});

test.each([
  [{ output: ["x"] }, /^--input: given nothing/],
  [{ input: "x" }, /^--output: given nothing/],
  [{ ...ENDS, video: "copy", bitrate: "900" }, /^--video: .*--bitrate need one/],
  [{ ...ENDS, video: "libx264", bitrate: "fast" }, /^--bitrate: given "fast"/],
  [{ ...ENDS, video: "no such!" }, /^--video: spec\.video/],
  [{ ...ENDS, video: "libx264", size: "1281x720" }, /^--video: spec\.video\.size.*must be even|even/],
  [{ ...ENDS, input: "" }, /^--input: spec\.input/],
])("what is wrong is named by its flag: %j", (flags, message) => {
  expect(() => streamFromFlags("cam-1", flags)).toThrow(message);
});

test("an id that names no file is refused", () => {
  expect(() => streamFromFlags("../etc", ENDS)).toThrow(/^id: /);
});
