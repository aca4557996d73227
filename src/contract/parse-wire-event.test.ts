import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseWireEvent, WIRE_EVENT_NAMES } from "./parse-wire-event.ts";

const context = { outputTemplate: "rtmp://ingest.test/live/{streamKey}" };
const parse = (name: string, value: unknown) =>
  parseWireEvent(name, typeof value === "string" ? value : JSON.stringify(value), context);
const stream = (id: string, extra: object = {}) => ({
  kind: "stream",
  id,
  spec: { input: "test://bars", outputs: ["rtmp://h/live/a"] },
  ...extra,
});

describe("an expected event", () => {
  it("is the whole set, with its addresses in one form", () => {
    expect(parse("expected", { epoch: "e", revision: 42, workloads: [stream("cam-1")], confirm: true })).toEqual({
      ok: {
        kind: "snapshot",
        epoch: "e",
        revision: 42,
        workloads: [
          {
            kind: "stream",
            id: "cam-1",
            spec: { input: { url: "test://bars" }, outputs: [{ url: "rtmp://h/live/a" }] },
          },
        ],
        rejected: [],
        confirm: true,
      },
      unknownFields: [],
    });
  });

  it("sets bad workloads aside one by one, a repeated id among them", () => {
    const workloads = [
      stream("a"),
      { ...stream("b"), spec: { input: "x" } },
      stream("a"),
      7,
      { id: "c" },
      stream("-d"),
    ];
    const parsed = parse("expected", { epoch: "e", revision: 1, workloads });
    expect(parsed).toMatchObject({ ok: { workloads: [{ id: "a" }] } });
    const identifier = "1 to 63 letters, digits, dots, dashes or underscores, not starting with . or -";
    expect("ok" in parsed && "rejected" in parsed.ok ? parsed.ok.rejected : []).toEqual([
      { id: "b", reason: "workloads[1].spec.outputs: given nothing; allowed: a list" },
      { id: "a", reason: 'id: given "a" more than once; allowed: once, and the first counts' },
      { id: undefined, reason: "workloads[3]: given a number; allowed: an object" },
      { id: "c", reason: "workloads[4].kind: given nothing; allowed: stream, tunnel, session" },
      { id: undefined, reason: `workloads[5].id: given a text of 2 characters; allowed: ${identifier}` },
    ]);
  });

  it("names fields that nobody knows, wherever they are", () => {
    const workloads = [
      stream("a", { colour: 1 }),
      stream("b", { spec: { ...stream("b").spec, outputs: [{ url: "udp://h:1", mood: 2 }] } }),
    ];
    expect(parse("expected", { epoch: "e", revision: 1, workloads, extra: { a: 1 } })).toMatchObject({
      unknownFields: ["extra", "workload.colour", "workload.spec.outputs[].mood"],
    });
  });

  it.each([
    [{ revision: 1, workloads: [] }, "epoch: given nothing; allowed: a text"],
    [{ epoch: "e", revision: "1", workloads: [] }, "revision: given a text of 1 character; allowed: a number"],
    [{ epoch: "e", revision: -1, workloads: [] }, "revision: given -1; allowed: at least 0"],
    [{ epoch: "e", revision: 1.5, workloads: [] }, "revision: given 1.5; allowed: a whole number"],
    [{ epoch: "e", revision: 1, workloads: {} }, "workloads: given an object; allowed: a list"],
    [{ version: 2, epoch: "e", revision: 1, workloads: [] }, "version: given a number; allowed: 1"],
    [[], "event: given a list of 0; allowed: an object"],
    ["null", "event: given null; allowed: an object"],
  ])("is bad as a whole when its frame is wrong (%#)", (value, message) => {
    expect(parse("expected", value)).toEqual({ bad: "invalid", message });
  });
});

describe("a change event", () => {
  it("puts and removes", () => {
    expect(parse("change", { revision: 43, put: [stream("a")], remove: ["b", "b", "c"] })).toMatchObject({
      ok: { kind: "change", epoch: undefined, revision: 43, put: [{ id: "a" }], remove: ["b", "c"], rejected: [] },
    });
  });

  it("removes what it both puts and removes, and says so", () => {
    expect(parse("change", { revision: 43, put: [stream("a")], remove: ["a"] })).toMatchObject({
      ok: { put: [], remove: ["a"], rejected: [{ id: "a", reason: expect.stringContaining("remove counts") }] },
    });
  });
});

describe("a command event", () => {
  it("has a deadline in milliseconds", () => {
    expect(parse("command", { id: "c1", name: "dial", args: { a: 1 }, deadline: "2026-01-15T10:30:45+01:00" })).toEqual(
      {
        ok: { kind: "command", id: "c1", name: "dial", args: { a: 1 }, deadlineMs: Date.parse("2026-01-15T09:30:45Z") },
        unknownFields: [],
      },
    );
  });

  it("cannot reach a prototype through its arguments", () => {
    const parsed = parse("command", '{"id":"c","name":"n","args":{"__proto__":{"polluted":true}}}');
    expect(parsed).toMatchObject({ ok: { args: {} } });
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
  });

  it("is bad with a deadline that is no time", () => {
    expect(parse("command", { id: "c", name: "n", deadline: "soon" })).toEqual({
      bad: "invalid",
      message: "deadline: given a text of 4 characters; allowed: a time such as 2026-01-15T10:30:45Z",
    });
  });
});

describe("limits", () => {
  it("judges the size in bytes", () => {
    const limits = { maxBytes: 10, maxDepth: 32 };
    expect(parseWireEvent("", '"€€€"', { ...context, limits })).toEqual({
      bad: "too-large",
      message: "data: given 11 bytes; allowed: at most 10",
    });
  });

  it.each(["[", '{"a":', '[{"a":'])("survives half a million of `%s`", (opening) => {
    expect(parse("expected", opening.repeat(500_000).slice(0, 1_000_000))).toMatchObject({ bad: "too-deep" });
  });

  it("allows 32 levels, and brackets in texts are no levels", () => {
    const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
    expect(parse("command", `{"id":"c","name":"n","args":{"a":${nested(30)}}}`)).toHaveProperty("ok");
    expect(parse("command", `{"id":"c","name":"n","args":{"a":${nested(31)}}}`)).toMatchObject({ bad: "too-deep" });
    expect(parse("command", { id: "c", name: "n", args: { a: `\\"${"[".repeat(100)}` } })).toHaveProperty("ok");
  });
});

describe("any event", () => {
  it("of an unknown type is ignored and named, shortened", () => {
    expect(parse("url_update", "not json")).toEqual({ ignored: 'event type "url_update"' });
    expect(parse("x".repeat(10_000), "")).toEqual({ ignored: `event type "${"x".repeat(60)}"` });
  });

  it("is answered without an exception, whatever it holds", () => {
    const json = fc.oneof(fc.json({ maxDepth: 5 }), fc.string(), fc.constant('{"__proto__":1,"eventType":"start"}'));
    fc.assert(
      fc.property(fc.constantFrom(...WIRE_EVENT_NAMES, "", "odd"), json, (name, data) => {
        const result = parseWireEvent(name, data, context);
        expect(["ok", "bad", "ignored"].filter((key) => key in result)).toHaveLength(1);
      }),
    );
  });

  it("never has its texts repeated in a message", () => {
    const canary = "rtsp://user:canary@cam/1?key=canary";
    const fields = ["epoch", "revision", "workloads", "confirm", "put", "remove", "id", "name", "args", "deadline"];
    const simple = ["input", "output", "cameraUrl", "streamKey", "streams", "video", "audio", "preview", "version"];
    for (const name of WIRE_EVENT_NAMES) {
      for (const field of [...fields, ...simple]) {
        for (const value of [
          canary,
          [canary],
          { url: [canary] },
          { kind: canary, id: canary },
          [{ kind: canary, id: canary }],
        ]) {
          for (const eventType of ["start", "stop", "snapshot"]) {
            const base = {
              eventType,
              epoch: "e",
              revision: 1,
              workloads: [],
              id: "a",
              name: "n",
              input: "a",
              output: "b",
            };
            const result = parse(name, { ...base, [field]: value });
            const told =
              "ok" in result ? ["rejected" in result.ok ? result.ok.rejected : [], result.unknownFields] : result;
            expect(JSON.stringify(told), `${name} ${field}`).not.toContain("canary");
          }
        }
      }
    }
  });
});
