import fc from "fast-check";
import { expect, test } from "vitest";
import { createEscapeFilter } from "./escape.ts";
import { judgeSignal } from "./forward-signals.ts";
import { createLinePrefixer, MAX_LINE_BYTES } from "./line-prefix.ts";

function type(...pieces: readonly string[]) {
  const filter = createEscapeFilter();
  const results = pieces.map((piece) => filter.push(Buffer.from(piece)));
  return {
    sent: Buffer.concat(results.map(({ forward }) => forward)).toString(),
    actions: results.flatMap(({ actions }) => actions),
  };
}

test("a tilde means something at the beginning of a line alone", () => {
  expect(type("~.")).toEqual({ sent: "", actions: ["leave"] });
  expect(type("ls\r", "~", ".")).toEqual({ sent: "ls\r", actions: ["leave"] });
  expect(type("a~.")).toEqual({ sent: "a~.", actions: [] });
  expect(type("~~.")).toEqual({ sent: "~.", actions: [] });
  expect(type("~x")).toEqual({ sent: "~x", actions: [] });
  expect(type("~?~.")).toEqual({ sent: "", actions: ["help", "leave"] });
  expect(type("~\r~.")).toEqual({ sent: "~\r", actions: ["leave"] });
});

test("what holds no tilde goes through unchanged, however it is cut", () => {
  const bytes = fc.uint8Array({ maxLength: 50 }).map((all) => all.map((byte) => (byte === 0x7e ? 0 : byte)));
  fc.assert(
    fc.property(fc.array(bytes), (pieces) => {
      const filter = createEscapeFilter();
      const sent = Buffer.concat(pieces.map((piece) => filter.push(piece).forward));
      expect(Buffer.compare(sent, Buffer.concat(pieces))).toBe(0);
    }),
  );
});

test("only a second SIGINT, and only at once, means this program", () => {
  expect(judgeSignal("INT", { lastMs: undefined, nowMs: 5 })).toBe("forward");
  expect(judgeSignal("INT", { lastMs: 0, nowMs: 2000 })).toBe("leave");
  expect(judgeSignal("INT", { lastMs: 0, nowMs: 2001 })).toBe("forward");
  expect(judgeSignal("TERM", { lastMs: 0, nowMs: 1 })).toBe("forward");
});

test("every line has its prefix and comes whole, however it is cut", () => {
  fc.assert(
    fc.property(fc.array(fc.string()), (pieces) => {
      const lines = createLinePrefixer("p| ");
      const out = Buffer.concat([...pieces.map((piece) => lines.push(Buffer.from(piece))), lines.flush()]).toString();
      const text = pieces.join("");
      const wanted = text === "" ? [] : text.replace(/\n$/, "").split("\n");
      expect(out).toBe(wanted.map((line) => `p| ${line}\n`).join(""));
    }),
  );
});

test("a line without end is given out in parts", () => {
  const lines = createLinePrefixer("");
  const given = lines.push(Buffer.alloc(MAX_LINE_BYTES + 10, "x"));
  expect(given.length).toBe(MAX_LINE_BYTES + 1);
  expect(lines.flush().toString()).toBe(`${"x".repeat(10)}\n`);
});
