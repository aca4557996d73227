import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Arrival, startAttempt } from "./attempt.ts";
import { createInstantClock, eventStream, streamOf } from "./connection.fake.ts";

/** The parsing rules of the WHATWG event stream, through the whole attempt, each at every split point. */

interface Case {
  readonly title: string;
  readonly body: string | Uint8Array;
  readonly arrivals: readonly (readonly [name: string, data: string, id?: string] | { readonly cursor: string })[];
  readonly retries?: readonly number[];
  readonly contentType?: string;
}

const bytes = (...parts: (string | number[])[]) =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from(part))));
const BOM = [0xef, 0xbb, 0xbf];

const CASES: readonly Case[] = [
  { title: "an event ends at an empty line", body: "data: a\n\n", arrivals: [["message", "a"]] },
  { title: "one leading BOM is not part of the stream", body: bytes(BOM, "data:1\n\n"), arrivals: [["message", "1"]] },
  {
    title: "a second BOM is data, so its line has an unknown field",
    body: bytes(BOM, BOM, "data:1\n\ndata:2\n\n"),
    arrivals: [["message", "2"]],
  },
  {
    title: "a second BOM does not vanish from an event that has other lines too",
    body: bytes(BOM, BOM, "data:1\ndata:2\n\n"),
    arrivals: [["message", "2"]],
  },
  {
    title: "a BOM later in the stream is data",
    body: bytes("data:1\n\n", BOM, "data:2\n\ndata:3\n\n"),
    arrivals: [
      ["message", "1"],
      ["message", "3"],
    ],
  },
  { title: "a BOM before a comment", body: bytes(BOM, ":c\ndata:1\n\n"), arrivals: [["message", "1"]] },
  {
    title: "lines end with CR",
    body: "data:a\rdata:b\r\rdata:c\r\r",
    arrivals: [
      ["message", "a\nb"],
      ["message", "c"],
    ],
  },
  {
    title: "lines end with CRLF",
    body: "data:a\r\ndata:b\r\n\r\ndata:c\r\n\r\n",
    arrivals: [
      ["message", "a\nb"],
      ["message", "c"],
    ],
  },
  {
    title: "line ends are mixed in one event",
    body: "data:a\rdata:b\ndata:c\r\n\rdata:d\n\r\n",
    arrivals: [
      ["message", "a\nb\nc"],
      ["message", "d"],
    ],
  },
  {
    title: "CR then LF is one line end, LF then CR are two",
    body: "data:a\n\rdata:b\r\n\n",
    arrivals: [
      ["message", "a"],
      ["message", "b"],
    ],
  },
  {
    title: "a comment begins with a colon",
    body: ": hi\n:\ndata:a\n:data:b\n\n: end\n\n",
    arrivals: [["message", "a"]],
  },
  {
    title: "field names are case-sensitive, and unknown ones are ignored",
    body: "Data:x\nDATA:y\nfoo:z\nfoo\ndata:a\nevents:b\n\n",
    arrivals: [["message", "a"]],
  },
  {
    title: "a space before the field name makes another name",
    body: " data:a\n\ndata:b\n\n",
    arrivals: [["message", "b"]],
  },
  {
    title: "exactly one space after the colon is dropped",
    body: "data:  a\ndata: b\ndata:c\ndata:\td\n\n",
    arrivals: [["message", " a\nb\nc\n\td"]],
  },
  { title: "a colon in the value stays", body: "data:a:b: c\n\n", arrivals: [["message", "a:b: c"]] },
  {
    title: "a line without a colon is a field with an empty value",
    body: "data\n\ndata\ndata\n\ndata:end\n\n",
    arrivals: [
      ["message", ""],
      ["message", "\n"],
      ["message", "end"],
    ],
  },
  {
    title: "an empty data line alone is an event",
    body: "data:\n\ndata\n\n",
    arrivals: [
      ["message", ""],
      ["message", ""],
    ],
  },
  { title: "one trailing line feed of the data is dropped", body: "data:a\ndata:\n\n", arrivals: [["message", "a\n"]] },
  { title: "no data, no event", body: "event: change\n\nfoo\n\n:c\n\ndata:a\n\n", arrivals: [["message", "a"]] },
  {
    title: "an id alone moves the cursor in its place",
    body: "data:a\n\nid:7\n\ndata:b\n\n",
    arrivals: [["message", "a"], { cursor: "7" }, ["message", "b"]],
  },
  {
    title: "the event's id comes with it, wherever its line stands",
    body: "data:a\nid: x y\n\nid:é\ndata:b\n\n",
    arrivals: [
      ["message", "a", "x y"],
      ["message", "b", "é"],
    ],
  },
  {
    title: "an empty id takes the cursor back",
    body: "id\ndata:a\n\nid:\n\n",
    arrivals: [["message", "a", ""], { cursor: "" }],
  },
  {
    title: "an id with NUL is ignored whole",
    body: "id:a\0b\ndata:1\n\nid:\0\n\nid:ok\nid:\0\ndata:2\n\n",
    arrivals: [
      ["message", "1"],
      ["message", "2", "ok"],
    ],
  },
  { title: "NUL in data is data", body: "data:a\0b\n\n", arrivals: [["message", "a\0b"]] },
  { title: "the last id of an event counts", body: "id:1\nid:2\ndata:a\n\n", arrivals: [["message", "a", "2"]] },
  {
    title: "the name of an event holds for that event only",
    body: "event:change\ndata:a\n\ndata:b\n\nevent:expected\nevent:\ndata:c\n\nevent\ndata:d\n\n",
    arrivals: [
      ["change", "a"],
      ["message", "b"],
      ["message", "c"],
      ["message", "d"],
    ],
  },
  {
    title: "names of the client's own events are names like any other",
    body: "event:error\ndata:a\n\nevent:open\ndata:b\n\ndata:c\n\n",
    arrivals: [
      ["error", ""],
      ["open", ""],
      ["message", "c"],
    ],
  },
  {
    title: "retry takes ASCII digits only",
    body: "retry:0\nretry:99999999999\nretry:-1\nretry:1e3\nretry:5 \nretry\nretry:\nretry: 1000\nretry:١\ndata:a\n\n",
    arrivals: [["message", "a"]],
    retries: [0, 99_999_999_999, 1000],
  },
  { title: "retry counts in an event that never ends", body: "retry:3000\ndata:a", arrivals: [], retries: [3000] },
  {
    title: "an event without its final empty line is discarded",
    body: "data:1\n\nid:x\ndata:2",
    arrivals: [["message", "1"]],
  },
  {
    title: "and so is one that ends with a single line end",
    body: "data:1\n\nid:x\ndata:2\n",
    arrivals: [["message", "1"]],
  },
  {
    title: "data is UTF-8 whatever the charset says",
    body: "data:ok…€😀\n\n",
    arrivals: [["message", "ok…€😀"]],
    contentType: "text/event-stream;charset=windows-1252",
  },
  {
    title: "bytes that are not UTF-8 are replaced",
    body: bytes("data:a", [0xff], "b", [0xe2, 0x82], "\n\n"),
    arrivals: [["message", "a\ufffdb\ufffd"]],
  },
  {
    title: "bogus MIME parameters do no harm",
    body: "data:a\n\n",
    arrivals: [["message", "a"]],
    contentType: "text/event-stream;x bogus",
  },
  {
    title: "the MIME type is not case-sensitive",
    body: "data:a\n\n",
    arrivals: [["message", "a"]],
    contentType: " Text/Event-Stream ; charset=utf-8",
  },
  { title: "leading empty lines mean nothing", body: "\n\r\n\rdata:a\n\n\n\n", arrivals: [["message", "a"]] },
];

describe("the rules of an event stream", () => {
  for (const testCase of CASES) {
    it(`${testCase.title}, at every split point`, async () => {
      const body = Buffer.from(testCase.body);
      const arrivals = testCase.arrivals.map(toArrival);
      for (const chunks of allSplits(body)) {
        const seen = await receive(chunks, testCase.contentType);
        const label = JSON.stringify(chunks.map((chunk) => Buffer.from(chunk).toString("latin1")));
        expect(seen.arrivals, label).toEqual(arrivals);
        if (testCase.retries !== undefined) expect(seen.retries, label).toEqual(testCase.retries);
      }
    });
  }
});

describe("garbage", () => {
  const line = fc.constantFrom(
    "data: x\n",
    "event: error\n",
    "event: change\n",
    "id: 1\n",
    "id:\0\n",
    "retry: 0\n",
    ": beat 9\n",
    "\n",
    "\r",
  );
  const chunk = fc.oneof(
    fc.uint8Array({ maxLength: 2000 }),
    fc.array(line, { maxLength: 20 }).map((lines) => Buffer.from(lines.join(""))),
  );

  it("ends like any other stream, and no event is larger than the limit", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 12 }), async (chunks) => {
        const { arrivals } = await receive(chunks);
        for (const arrival of arrivals) {
          if (arrival.kind === "event") expect(arrival.data.length).toBeLessThanOrEqual(1024);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("does not hide the event after it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 8 }), async (chunks) => {
        const { arrivals } = await receive([...chunks, Buffer.from("\n\nid:end\ndata:end\n\n")]);
        expect(arrivals.at(-1)).toEqual({ kind: "event", name: "message", data: "end", id: "end" });
      }),
      { numRuns: 300 },
    );
  });
});

function toArrival(expected: Case["arrivals"][number]): Arrival {
  if ("cursor" in expected) return { kind: "cursor", id: expected.cursor };
  const [name, data, id] = expected;
  return { kind: "event", name, data, id };
}

/** In two pieces at each position, and byte by byte with empty chunks between. */
function allSplits(body: Buffer): Uint8Array[][] {
  const inTwo = Array.from({ length: body.length + 1 }, (_, at) => [body.subarray(0, at), body.subarray(at)]);
  const single = [...body].flatMap((byte) => [Uint8Array.of(byte), new Uint8Array(0)]);
  return [...inTwo, single];
}

async function receive(chunks: readonly Uint8Array[], contentType = "text/event-stream") {
  const arrivals: Arrival[] = [];
  const retries: number[] = [];
  const attempt = startAttempt(
    { url: new URL("http://hub.test/events"), lastEventId: undefined, connectTimeoutMs: 1000, maxEventBytes: 1024 },
    {
      fetch: async () => eventStream(streamOf(chunks), contentType),
      clock: createInstantClock(),
      authorization: async () => undefined,
      onOpen: () => undefined,
      onBytes: () => undefined,
      onRetry: (ms) => retries.push(ms),
      onArrival: (arrival) => arrivals.push(arrival),
      hasRoom: async () => undefined,
    },
  );
  expect(await attempt.ended).toEqual({ kind: "ended" });
  return { arrivals, retries };
}
