import { describe, expect, test } from "vitest";
import type { StreamSpec } from "../../../contract/stream-spec.ts";
import { streamClaims } from "./stream-claims.ts";

const NOBODY = { exclusiveInputs: [] };
const spec = (input: string, ...outputs: string[]): StreamSpec => ({
  input: { url: input },
  outputs: outputs.map((url) => ({ url })),
});
const outputKeys = (url: string) => streamClaims(spec("test://bars", url), NOBODY).map(({ key }) => key);
const inputKeys = (url: string) => streamClaims(spec(url, "rtmp://host/live/k"), NOBODY).map(({ key }) => key)[0];

describe("streamClaims", () => {
  test.each([
    ["the default port", "rtmp://host/live/key", "rtmp://HOST:1935/live/key"],
    ["what a token adds", "rtmp://host/live/key", "rtmp://host/live/key?token=1"],
    ["who publishes", "rtmp://host/live/key", "rtmp://me:secret@host/live/key"],
    ["a trailing slash", "rtmp://host/live/key/", "rtmp://host/live/key"],
    ["a latency", "srt://host:9000?streamid=a&latency=1", "srt://host:9000?latency=2&streamid=a"],
    ["a datagram's life time", "udp://239.0.0.1:5000?ttl=2", "udp://239.0.0.1:5000"],
    ["a spelling of a file", "/srv/hls/a.m3u8", "file:///srv/hls/a.m3u8"],
  ])("takes one publishing point for one, whatever %s", (_what, one, other) => {
    expect(outputKeys(one)).toHaveLength(1);
    expect(outputKeys(one)).toEqual(outputKeys(other));
  });

  test.each([
    ["key", "rtmp://host/live/a", "rtmp://host/live/b"],
    ["application", "rtmp://host/live/a", "rtmp://host/vod/a"],
    ["port", "rtmp://host:1935/live/a", "rtmp://host:1936/live/a"],
    ["stream id", "srt://host:9000?streamid=a", "srt://host:9000?streamid=b"],
    ["recording", "/srv/rec/a-%s.mkv", "/srv/rec/b-%s.mkv"],
  ])("tells two publishing points apart by their %s", (_what, one, other) => {
    expect(outputKeys(one)).not.toEqual(outputKeys(other));
  });

  test("takes a camera for one that serves several, unless the spec or the box says otherwise", () => {
    const camera = spec("rtsp://admin:secret@10.0.0.7/1?channel=2", "rtmp://host/live/k");
    const exclusive = (claims: ReturnType<typeof streamClaims>) => claims[0]?.isExclusive;
    expect(exclusive(streamClaims(camera, NOBODY))).toBe(false);
    expect(exclusive(streamClaims(camera, { exclusiveInputs: ["10.0.0.7"] }))).toBe(true);
    expect(exclusive(streamClaims({ ...camera, input: { ...camera.input, exclusive: true } }, NOBODY))).toBe(true);
    expect(inputKeys("rtsp://10.0.0.7:554/1?channel=2")).toBe(inputKeys("rtsp://other:pw@10.0.0.7/1?channel=2"));
    expect(inputKeys("rtsp://10.0.0.7/1?channel=1")).not.toBe(inputKeys("rtsp://10.0.0.7/1?channel=2"));
  });

  test("knows devices and ports that this box has once", () => {
    expect(inputKeys("/dev/video0")).toMatch(/^device:/);
    expect(inputKeys("udp://:5000")).toMatch(/^port:/);
    expect(inputKeys("udp://239.0.0.1:5000")).toMatch(/^publishing point:/);
    expect(inputKeys("srt://:9000?mode=listener")).toMatch(/^port:/);
    const raw = { ...spec("test://bars", "rtmp://host/live/k"), rawArguments: { input: ["-f", "alsa", "-i", "hw:0"] } };
    expect(streamClaims(raw, NOBODY)[0]).toMatchObject({ kind: "device", label: "hw:0" });
  });

  test("holds no secret", () => {
    const text = JSON.stringify(
      streamClaims(
        spec("rtsp://admin:pa55word@cam/1", "rtmp://host/live/s3cr3t-key", "srt://h:1?streamid=hush"),
        NOBODY,
      ),
    );
    expect(text).not.toMatch(/pa55word|s3cr3t-key|hush/);
    expect(text).toContain("rtmp://host/live/***");
  });
});
