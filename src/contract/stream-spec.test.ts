import { describe, expect, test } from "vitest";
import { streamSpecSchema } from "./stream-spec.ts";

const OK = { input: "rtsp://cam/1", outputs: ["rtmp://h/live/k"] };

test("a URL may stand for an object of its own", () => {
  expect(streamSpecSchema.parse(OK)).toEqual({ input: { url: "rtsp://cam/1" }, outputs: [{ url: "rtmp://h/live/k" }] });
});

test("no default is filled in and unknown fields are dropped", () => {
  const parsed = streamSpecSchema.parse({ ...OK, colour: "blue", preview: {} });
  expect(parsed).toEqual({ ...streamSpecSchema.parse(OK), preview: {} });
});

describe("nonsense is refused", () => {
  test.each([
    ["no output", { ...OK, outputs: [] }],
    ["too many outputs", { ...OK, outputs: Array(17).fill("srt://h:9") }],
    ["an empty URL", { ...OK, input: "" }],
    ["an endless URL", { ...OK, input: `rtsp://${"x".repeat(5000)}` }],
    ["an encoder that is an option", { ...OK, video: { encoder: "-vn" } }],
    ["an odd size", { ...OK, video: { encoder: "libx264", size: "641x360" } }],
    ["a preset that is an option", { ...OK, video: { encoder: "libx264", preset: "-y" } }],
    ["a profile that is an option", { ...OK, video: { encoder: "libx264", profile: "-y" } }],
    ["a rate of nothing", { ...OK, video: { encoder: "libx264", fps: 0 } }],
    ["a fraction of a segment count", { ...OK, outputs: [{ url: "/a.mkv", keepSegments: 1.5 }] }],
    ["a preview faster than a second", { ...OK, preview: { everySeconds: 0.5 } }],
  ])("%s", (_name, spec) => expect(streamSpecSchema.safeParse(spec).success).toBe(false));
});
