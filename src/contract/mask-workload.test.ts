import { describe, expect, test } from "vitest";
import { maskWorkload, unmaskWorkload } from "./mask-workload.ts";

const HELD = {
  kind: "stream",
  id: "cam-1",
  spec: {
    input: { url: "rtsp://admin:s3cret@cam/1", loop: true },
    outputs: ["rtmp://ingest/live/key-1", { url: "file:///srv/a.ts", needsAudio: true }],
    rawArguments: { input: ["-headers", "X-Token: abc", "-re"], output: ["-f", "flv", "rtmp://b/live/key-2"] },
  },
};

describe("a masked workload", () => {
  test("hides what opens something, and nothing else", () => {
    expect(maskWorkload(HELD)).toEqual({
      kind: "stream",
      id: "cam-1",
      spec: {
        input: { url: "rtsp://admin:***@cam/1", loop: true },
        outputs: ["rtmp://ingest/live/***", { url: "file:///srv/a.ts", needsAudio: true }],
        rawArguments: { input: ["-headers", "***", "-re"], output: ["-f", "flv", "rtmp://b/live/***"] },
      },
    });
  });

  test("keeps the placeholders of a template readable", () => {
    const template = {
      kind: "stream",
      id: "x",
      spec: { input: "rtsp://u:pw@{{label.cam}}/{{box.id}}", outputs: ["rtmp://h/live/{{box.id}}"] },
    };
    expect(maskWorkload(template).spec).toEqual({
      input: "rtsp://u:***@{{label.cam}}/{{box.id}}",
      outputs: ["rtmp://h/live/***"],
    });
  });

  test("sent back unchanged is what is held, whichever way its URLs are written", () => {
    expect(unmaskWorkload(maskWorkload(HELD), HELD)).toEqual({ workload: HELD, unknown: [] });
    const short = { ...HELD, spec: { input: "rtsp://admin:***@cam/1", outputs: [{ url: "rtmp://ingest/live/***" }] } };
    expect(unmaskWorkload(short, HELD).workload.spec).toEqual({
      input: "rtsp://admin:s3cret@cam/1",
      outputs: [{ url: "rtmp://ingest/live/key-1" }],
    });
  });

  test("hides the keys of a tunnel, and gives each back to the key of that name", () => {
    const keys = [
      { identity: "t-1.1", secret: "ab".repeat(32) },
      { identity: "t-1.2", secret: "cd".repeat(32) },
    ];
    const tunnel = { kind: "tunnel", id: "t-1.producer", spec: { uid: "t-1", security: { kind: "psk", keys } } };
    const masked = maskWorkload(tunnel);
    expect(masked.spec.security.keys.map(({ secret }) => secret)).toEqual(["***", "***"]);
    expect(unmaskWorkload(masked, tunnel)).toEqual({ workload: tunnel, unknown: [] });
    const turned = {
      ...masked,
      spec: { ...masked.spec, security: { kind: "psk", keys: [...masked.spec.security.keys].reverse() } },
    };
    expect(unmaskWorkload(turned, tunnel).workload.spec.security.keys).toEqual([...keys].reverse());
    const renamed = { ...masked, spec: { security: { kind: "psk", keys: [{ identity: "t-2.1", secret: "***" }] } } };
    expect(unmaskWorkload(renamed, tunnel).unknown).toEqual(["spec.security.keys[t-2.1].secret"]);
  });

  test("hides what variables of a session open, and gives each back to the variable of that name", () => {
    const env = { DB_PASSWORD: "hunter-22", API_KEY: "k-123456", GREETING: "hello ***" };
    const session = { kind: "session", id: "web", spec: { user: "anna", template: { image: "nginx:1", env } } };
    const masked = maskWorkload(session);
    expect(masked.spec.template.env).toEqual({ DB_PASSWORD: "***", API_KEY: "***", GREETING: "hello ***" });
    expect(unmaskWorkload(masked, session)).toEqual({ workload: session, unknown: [] });
    const moved = { ...masked, spec: { user: "anna", template: { image: "evil:1", env: { MY_TOKEN: "***" } } } };
    expect(unmaskWorkload(moved, session).unknown).toEqual(["spec.template.env.MY_TOKEN"]);
  });

  test("gives no secret to another place than its own", () => {
    const moved = {
      ...HELD,
      spec: { input: "rtsp://admin:***@evil/1", outputs: ["file:///x", "rtmp://ingest/live/***"] },
    };
    const { workload, unknown } = unmaskWorkload(moved, HELD);
    expect(unknown).toEqual(["spec.input", "spec.outputs[1]"]);
    expect(JSON.stringify(workload)).not.toMatch(/s3cret|key-1/);
    expect(unmaskWorkload(maskWorkload(HELD), undefined).unknown).toHaveLength(4);
  });
});
