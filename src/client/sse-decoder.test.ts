import fc from "fast-check";
import { expect, test } from "vitest";
import { createSseDecoder } from "./sse-decoder.ts";

const STREAM =
  ": hello\nretry: 5\n\nevent: line\nid: 7\ndata: one\n\ndata:two\r\ndata: more\r\n\r\nid: 8\n\nevent: end\rdata: {}\r\rdata\n\n";

test("messages carry their event, their lines of data and the last id", () => {
  expect(createSseDecoder().push(STREAM)).toEqual([
    { event: "line", id: "7", data: "one" },
    { event: "message", id: "7", data: "two\nmore" },
    { event: "end", id: "8", data: "{}" },
    { event: "message", id: "8", data: "" },
  ]);
});

test("a message without its empty line is not one yet", () => {
  const decoder = createSseDecoder();
  expect(decoder.push("data: half")).toEqual([]);
  expect(decoder.push("\n")).toEqual([]);
  expect(decoder.push("\n")).toMatchObject([{ data: "half" }]);
});

test("however the text is cut, the messages are the same", () => {
  const whole = createSseDecoder().push(STREAM);
  fc.assert(
    fc.property(fc.array(fc.nat(STREAM.length), { maxLength: 8 }), (cuts) => {
      const decoder = createSseDecoder();
      const places = [0, ...cuts.sort((left, right) => left - right), STREAM.length];
      const pieces = places.slice(1).map((end, index) => STREAM.slice(places[index], end));
      expect(pieces.flatMap((piece) => decoder.push(piece))).toEqual(whole);
    }),
  );
});
