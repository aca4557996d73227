import { describe, expect, it } from "vitest";
import { deriveStreamId, fillOutputTemplate, parseSimpleForm } from "./simple-form.ts";

const TEMPLATE = "rtmp://ingest.test/live/{streamKey}";

describe("the simple form", () => {
  it("starts a stream from an input and an output, with an id that follows from both", () => {
    const event = { eventType: "start", input: "rtsp://cam/1", output: "rtmp://h/live/a" };
    const first = parseSimpleForm(event, undefined);
    expect(first).toEqual({
      ok: {
        kind: "start",
        workload: {
          kind: "stream",
          id: deriveStreamId("rtsp://cam/1", "rtmp://h/live/a"),
          spec: { input: { url: "rtsp://cam/1" }, outputs: [{ url: "rtmp://h/live/a" }] },
        },
      },
      unknownFields: [],
    });
    expect(parseSimpleForm({ ...event }, TEMPLATE)).toEqual(first);
  });

  it("derives ids that stay the same between releases and cannot be confused by where the texts are cut", () => {
    expect(deriveStreamId("rtsp://cam/1", "rtmp://h/live/a")).toBe("s-c5bdc831eb49");
    expect(deriveStreamId("ab", "c")).not.toBe(deriveStreamId("a", "bc"));
    expect(deriveStreamId("a", 'b","c')).not.toBe(deriveStreamId('a","b', "c"));
  });

  it("takes an id, a name and encodings of the full form", () => {
    const video = { encoder: "libx264", size: "640x360" };
    const event = {
      eventType: "start",
      id: "cam-1",
      name: "Gate",
      input: { url: "rtsp://c", rtspTransport: "udp" },
      output: "udp://h:1",
      video,
    };
    expect(parseSimpleForm(event, undefined)).toMatchObject({
      ok: { workload: { id: "cam-1", name: "Gate", spec: { input: { rtspTransport: "udp" }, video } } },
      unknownFields: [],
    });
  });

  it("starts one end of a tunnel whose spec it gives whole, under the id that a hub would give it", () => {
    const tunnel = {
      uid: "t-1",
      role: "producer",
      legs: [{ listen: { address: "10.0.0.1", port: 20_000 }, connect: { host: "127.0.0.1", port: 1935 } }],
      security: { kind: "psk", keys: [{ identity: "t-1.1", secret: "ab".repeat(32) }] },
    };
    const workload = { kind: "tunnel", id: "t-1.producer", spec: tunnel };
    expect(parseSimpleForm({ eventType: "start", tunnel }, undefined)).toEqual({
      ok: { kind: "start", workload },
      unknownFields: [],
    });
    expect(parseSimpleForm({ eventType: "stop", tunnel: { uid: "t-1", role: "producer" } }, undefined)).toMatchObject({
      ok: { kind: "stop", workloadId: "t-1.producer" },
    });
    const streams = [{ tunnel }, { input: "rtsp://c", output: "rtmp://h/live/a", via: "t-1" }];
    expect(parseSimpleForm({ eventType: "snapshot", streams }, undefined)).toMatchObject({
      ok: { workloads: [workload, { kind: "stream", spec: { via: "t-1" } }], rejected: [] },
    });
    const wrong = parseSimpleForm({ eventType: "start", tunnel: { ...tunnel, role: "middle" } }, undefined);
    expect(wrong).toMatchObject({ bad: "invalid", message: expect.stringContaining("spec.role") });
  });

  it("starts from a camera and a key when a template says where the key belongs", () => {
    const event = { eventType: "start", cameraUrl: "rtsp://cam/1", streamKey: "court 1/a?b#c%d" };
    const output = "rtmp://ingest.test/live/court%201%2Fa%3Fb%23c%25d";
    expect(parseSimpleForm(event, TEMPLATE)).toMatchObject({
      ok: { workload: { id: deriveStreamId("rtsp://cam/1", output), spec: { outputs: [{ url: output }] } } },
    });
    expect(parseSimpleForm({ ...event, eventType: "stop" }, TEMPLATE)).toMatchObject({
      ok: { kind: "stop", workloadId: deriveStreamId("rtsp://cam/1", output) },
    });
  });

  it("leaves a key of ordinary characters as it is, and takes none for a pattern", () => {
    expect(fillOutputTemplate(TEMPLATE, "abcd-1234_x.y~z")).toBe("rtmp://ingest.test/live/abcd-1234_x.y~z");
    expect(fillOutputTemplate(TEMPLATE, "a$&b")).toBe("rtmp://ingest.test/live/a$&b");
    expect(fillOutputTemplate(TEMPLATE, "lone\ud800")).toBe("rtmp://ingest.test/live/lone%EF%BF%BD");
  });

  it.each([
    [
      { eventType: "start", cameraUrl: "rtsp://c", streamKey: "canary" },
      undefined,
      "streamKey: given with no streams.outputTemplate on this box; allowed: output, or a key where a template says what it belongs to",
    ],
    [
      { eventType: "start", cameraUrl: "rtsp://c", streamKey: "canary" },
      "rtmp://h/x",
      "streamKey: given with no {streamKey} in streams.outputTemplate on this box; allowed: output, or a key where a template says what it belongs to",
    ],
    [
      { eventType: "start", cameraUrl: "rtsp://c", streamKey: ".." },
      TEMPLATE,
      "streamKey: given a text of 2 characters; allowed: a key that names no other path",
    ],
    [
      { eventType: "start", cameraUrl: "rtsp://c", streamKey: "" },
      TEMPLATE,
      "streamKey: given a text of 0 characters; allowed: at least 1 character",
    ],
    [{ eventType: "start", cameraUrl: "rtsp://c" }, TEMPLATE, "output: given nothing; allowed: output, or streamKey"],
    [{ eventType: "start", output: "udp://h:1" }, TEMPLATE, "input: given nothing; allowed: input, or cameraUrl"],
    [
      { eventType: "start", input: 5, output: "udp://h:1" },
      TEMPLATE,
      "input: given a number; allowed: a text or an object",
    ],
    [
      { eventType: "start", id: "../x", input: "a", output: "b" },
      TEMPLATE,
      "id: given a text of 4 characters; allowed: 1 to 63 letters, digits, dots, dashes or underscores, not starting with . or -",
    ],
    [
      { eventType: "start", input: "a", output: "b", video: { encoder: "a b" } },
      TEMPLATE,
      "spec.video.encoder: given a text of 3 characters; allowed: the name of an FFmpeg encoder",
    ],
    [{ eventType: "stop" }, TEMPLATE, "input: given nothing; allowed: input, or cameraUrl"],
    [{ eventType: "snapshot" }, TEMPLATE, "streams: given nothing; allowed: a list"],
    [{ eventType: 5 }, TEMPLATE, "eventType: given a number; allowed: start, stop, snapshot"],
    [{}, TEMPLATE, "eventType: given nothing; allowed: start, stop, snapshot"],
    ["text", TEMPLATE, "event: given a text of 4 characters; allowed: an object"],
  ])("says what is wrong (%#)", (event, template, message) => {
    expect(parseSimpleForm(event, template)).toEqual({ bad: "invalid", message });
  });

  it("stops by id, whatever else is named", () => {
    expect(parseSimpleForm({ eventType: "stop", id: "cam-1", input: "x" }, undefined)).toMatchObject({
      ok: { kind: "stop", workloadId: "cam-1" },
    });
  });

  it("takes a snapshot stream by stream", () => {
    const streams = [
      { input: "rtsp://a", output: "udp://h:1" },
      { id: "b", cameraUrl: "rtsp://b", streamKey: "k", courtId: 7 },
      { input: "rtsp://a", output: "udp://h:1" },
      { input: "rtsp://c" },
      "text",
    ];
    expect(parseSimpleForm({ eventType: "snapshot", streams, confirm: true }, TEMPLATE)).toMatchObject({
      ok: {
        kind: "whole",
        workloads: [{ id: deriveStreamId("rtsp://a", "udp://h:1") }, { id: "b" }],
        rejected: [
          { reason: expect.stringContaining("more than once") },
          { reason: "streams[3].output: given nothing; allowed: output, or streamKey" },
          { reason: "streams[4]: given a text of 4 characters; allowed: an object" },
        ],
        confirm: true,
      },
      unknownFields: ["streams[].courtId"],
    });
  });

  it.each(["health", "config", "status", "restart", "system", "version-update"])("ignores %s", (eventType) => {
    expect(parseSimpleForm({ eventType }, TEMPLATE)).toEqual({ ignored: `eventType "${eventType}"` });
  });

  it("ignores the greeting that a simple server sends at a connect", () => {
    expect(parseSimpleForm({ type: "connection", message: "Connected to SSE" }, TEMPLATE)).toEqual({
      ignored: 'event without eventType, of type "connection"',
    });
  });
});
