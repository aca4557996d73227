import { describe, expect, test } from "vitest";
import { createRedactor } from "../base/redact.ts";
import { maskUrl, streamSecrets } from "./stream-secrets.ts";
import { streamSpecSchema } from "./stream-spec.ts";

describe("maskUrl", () => {
  test.each([
    ["rtmp://example.com/live/abcd-1234", "output", "rtmp://example.com/live/***"],
    ["rtmps://example.com:443/live/inst/key?token=x", "output", "rtmps://example.com:443/live/***?token=***"],
    ["rtmp://example.com/live/abcd-1234", "input", "rtmp://example.com/live/abcd-1234"],
    ["rtmp://example.com/live", "output", "rtmp://example.com/live"],
    ["rtsp://admin:p%40ss@cam:554/1?channel=2", "input", "rtsp://admin:***@cam:554/1?channel=2"],
    ["rtsp://admin:p@ss@cam/1", "input", "rtsp://admin:***@cam/1"],
    ["srt://h:9?mode=caller&passphrase=hush&streamid=s", "output", "srt://h:9?mode=caller&passphrase=***&streamid=***"],
    ["https://h/a.m3u8?X-Amz-Signature=1&x=2", "output", "https://h/a.m3u8?X-Amz-Signature=***&x=2"],
    ["udp://[ff02::1]:5000", "output", "udp://[ff02::1]:5000"],
    ["/srv/rec/%H.mkv", "output", "/srv/rec/%H.mkv"],
    ["rtmp://bad host/live/key", "output", "rtmp://***"],
    ["nonsense", "input", "***"],
  ] as const)("%s as %s is shown as %s", (url, role, masked) => {
    expect(maskUrl(url, role)).toBe(masked);
  });
});

describe("streamSecrets", () => {
  const secretsOf = (input: string, outputs: string[], id = "cam-1") =>
    streamSecrets(streamSpecSchema.parse({ input, outputs }), id);

  function redacted(text: string, input: string, outputs: string[]): string {
    const redactor = createRedactor();
    const { values, urls } = secretsOf(input, outputs);
    for (const value of values) redactor.addSecret(value);
    for (const { url, masked } of urls) redactor.addUrl(url, masked);
    return redactor.redact(text);
  }

  test("a camera's password is found plain, decoded and inside basic authentication", () => {
    const input = "rtsp://admin:p%40ssw0rd-canary@cam/1";
    const basic = Buffer.from("admin:p@ssw0rd-canary").toString("base64");
    const text = `${input} p@ssw0rd-canary Authorization: Basic ${basic}`;
    const shown = redacted(text, input, ["srt://h:9"]);
    expect(shown).not.toContain("canary");
    expect(shown).not.toContain(basic);
    expect(shown).toContain("rtsp://admin:***@cam/1");
  });

  test("a short password is found in other URLs of the same login", () => {
    const shown = redacted("opening http://u:abc@h/seg1.ts", "http://u:abc@h/live.m3u8", ["srt://h:9"]);
    expect(shown).toBe("opening http://u:***@h/seg1.ts");
  });

  test("a stream key is a secret of its own", () => {
    expect(secretsOf("test://bars", ["rtmp://h/live/x7f3-canary"]).values).toEqual(["x7f3-canary"]);
  });

  test("a key that is the workload's id, or an ordinary word, is hidden in its URL only", () => {
    for (const key of ["cam-1", "stream"]) {
      const { values, urls } = secretsOf("test://bars", [`rtmp://h/live/${key}`]);
      expect(values).toEqual([]);
      expect(urls).toEqual([{ url: `rtmp://h/live/${key}`, masked: "rtmp://h/live/***" }]);
    }
  });
});
