import fc from "fast-check";
import { expect, test } from "vitest";
import { reversedFields } from "../../base/reversed-fields.fake.ts";
import { streamSpecSchema } from "../../contract/stream-spec.ts";
import { specHash } from "./spec-hash.ts";

const SPEC = {
  input: { url: "rtsp://cam/1", rtspTransport: "tcp" },
  outputs: [{ url: "rtmp://h/a/k", needsAudio: true }, { url: "srt://h:9" }],
  video: { encoder: "libx264", fps: 25 },
};
const hashOf = (spec: unknown) => specHash(streamSpecSchema.parse(spec));

test("the order of keys does not count", () => {
  expect(hashOf(reversedFields(SPEC))).toBe(hashOf(SPEC));
  fc.assert(fc.property(fc.jsonValue(), (value) => specHash(reversedFields(value)) === specHash(value)));
});

test("unknown fields and undefined do not count", () => {
  expect(hashOf({ ...SPEC, comment: "new", audio: undefined })).toBe(hashOf(SPEC));
});

test("a URL alone and a URL in an object are the same", () => {
  const spec = { input: "rtsp://cam/1", outputs: ["srt://h:9"] };
  expect(hashOf({ input: { url: "rtsp://cam/1" }, outputs: [{ url: "srt://h:9" }] })).toBe(hashOf(spec));
});

test("values and the order of outputs count", () => {
  expect(hashOf({ ...SPEC, audio: "none" })).not.toBe(hashOf(SPEC));
  expect(hashOf({ ...SPEC, outputs: [...SPEC.outputs].reverse() })).not.toBe(hashOf(SPEC));
});

test("the hash is stable across releases", () => {
  expect(hashOf({ input: "rtsp://cam/1", outputs: ["srt://h:9"] })).toBe("250c775a3b756008");
});
