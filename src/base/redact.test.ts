import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRedactor, MIN_SECRET_LENGTH, ROTATED_KEPT } from "./redact.ts";

const KEY = "k3y/with space+&=%ü";

describe("the redactor", () => {
  const redactor = createRedactor();
  redactor.addSecret(KEY);

  test.each([
    ["as it is", `key=${KEY}.`],
    ["percent-encoded", `rtmp://host/live/${encodeURIComponent(KEY)}`],
    ["encoded as a URL", `rtmp://host/live/${encodeURI(KEY)}`],
    ["as JSON writes it", JSON.stringify({ key: KEY })],
    ["in base64", `Basic ${Buffer.from(KEY).toString("base64")}`],
    ["in base64 after a user name", `Basic ${Buffer.from(`user:${KEY}`).toString("base64")}`],
    ["in base64 after another user name", `Basic ${Buffer.from(`admin1:${KEY}`).toString("base64")}`],
  ])("takes a secret out %s", (_form, text) => {
    const redacted = redactor.redact(text);
    expect(redacted).toContain("***");
    for (const form of [KEY, encodeURIComponent(KEY), Buffer.from(KEY).toString("base64").slice(2, -4)]) {
      expect(redacted).not.toContain(form);
    }
  });

  test("masks a whole URL, however short its key", () => {
    const other = createRedactor();
    other.addUrl("rtmp://host/live/abc", "rtmp://host/live/***");
    expect(other.redact("to rtmp://host/live/abc now; abc is a word")).toBe(
      "to rtmp://host/live/*** now; abc is a word",
    );
  });

  test("replaces the longer of two secrets that overlap", () => {
    const other = createRedactor();
    other.addSecret("secret");
    other.addSecret("secret-long-one");
    expect(other.redact("secret-long-one and secret")).toBe("*** and ***");
  });

  test("leaves ordinary words alone", () => {
    const other = createRedactor();
    other.addSecret("live");
    expect(other.redact("live stream")).toBe("live stream");
  });

  test("never leaves a secret of any text behind", () => {
    fc.assert(
      fc.property(fc.string({ minLength: MIN_SECRET_LENGTH }), fc.string(), fc.string(), (secret, before, after) => {
        const other = createRedactor();
        other.addSecret(secret);
        const redacted = other.redact(`${before}${secret}${after}`);
        expect(redacted.includes(secret) && !"***".includes(secret) && !(before + after).includes("*")).toBe(false);
      }),
    );
  });

  test("forgets what was learnt when nobody knows it any more, and nothing else", () => {
    const other = createRedactor();
    other.addSecret("for-good");
    const before = other.size();
    const secrets = { values: ["key-of-one", "shared-key"], urls: [{ url: "rtmp://h/l/k", masked: "rtmp://h/l/***" }] };
    const forgetOne = other.learn(secrets);
    const forgetTwo = other.learn({ values: ["shared-key", "for-good"], urls: [] });
    forgetOne();
    forgetOne();
    expect(other.redact("key-of-one shared-key rtmp://h/l/k for-good")).toBe("key-of-one *** rtmp://h/l/k ***");
    forgetTwo();
    expect(other.redact("shared-key for-good")).toBe("shared-key ***");
    expect(other.size()).toBe(before);
  });

  test("knows the last values of what rotates, however often it does", () => {
    const other = createRedactor();
    for (let turn = 0; turn < 1000; turn++) other.rotateSecret("token", `token-number-${1000 + turn}`);
    other.rotateSecret("token", "token-number-1999");
    expect(other.redact("token-number-1999 token-number-1984 token-number-1983")).toBe("*** *** token-number-1983");
    expect(other.size()).toBeLessThan(ROTATED_KEPT * 8);
  });
});
