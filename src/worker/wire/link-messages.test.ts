import { describe, expect, it } from "vitest";
import { itemsMessage, itemsSchema, parseBody, wantSchema } from "./link-messages.ts";

const read = (value: unknown) => parseBody(itemsSchema, Buffer.from(JSON.stringify(value)), "items");
const readWants = (wants: unknown) =>
  parseBody(wantSchema, Buffer.from(JSON.stringify({ wants, sparse: false, key: "0".repeat(32) })), "wants").wants;
const ITEM = ["dir/name é%FF", "file", "1:2:3:4:5", 0, 7];
const HASH = "a".repeat(64);

describe("items that a peer names", () => {
  it("are read as they were written", () => {
    const [path = "", , generation = ""] = ITEM.map(String);
    const item = { entry: { path, type: "file" as const, generation }, offset: 0, length: 7 };
    expect(read([ITEM])).toEqual([item]);
    expect(read(itemsMessage([item]))).toEqual([item]);
  });

  it.each([
    ["no list", { 0: ITEM }],
    ["a row that is none", [ITEM, "x"]],
    ["a row that is short", [ITEM.slice(0, 4)]],
    ["a row that is long", [[...ITEM, 1]]],
    ["a way up", [["../etc", ...ITEM.slice(1)]]],
    ["a path that is no text", [[7, ...ITEM.slice(1)]]],
    ["a type of nothing", [["a", "pipe", ...ITEM.slice(2)]]],
    ["a generation without end", [["a", "file", "1".repeat(201), 0, 7]]],
    ["an offset below zero", [["a", "file", "1", -1, 7]]],
    ["half a byte", [["a", "file", "1", 0, 0.5]]],
    ["a length beyond what is counted exactly", [["a", "file", "1", 0, 2 ** 53]]],
    ["a length as text", [["a", "file", "1", 0, "7"]]],
    ["more than a lease has", Array.from({ length: 2001 }, () => ITEM)],
  ])("are refused with %s", (_what, value) => {
    expect(() => read(value)).toThrow("the peer's items cannot be read");
  });
});

describe("wants", () => {
  it("are an index and bytes, with a hash and tags or without", () => {
    const wants = [
      [0, 0],
      [1, 5, ""],
      [2, 0, HASH],
      [3, 0, "", "AAAA"],
    ];
    expect(readWants(wants)).toEqual(wants);
  });

  it.each([
    ["no index", [["0", 0]]],
    ["no bytes", [[0]]],
    ["a hash that is none", [[0, 0, "abc"]]],
    ["a hash that is no text", [[0, 0, null]]],
    ["tags that are no base64", [[0, 0, "", "*"]]],
    ["tags without end", [[0, 0, "", "A".repeat(400_004)]]],
    ["something more", [[0, 0, "", "AAAA", 1]]],
  ])("are refused with %s", (_what, wants) => {
    expect(() => readWants(wants)).toThrow("the peer's wants cannot be read");
  });
});
