import { expect, test } from "vitest";
import { tunnelFromFlags } from "./tunnel-from-flags.ts";

const BOXES = { producer: "north-1", consumer: "studio" };

test("every flag has its place in the wish, and what is left out is not there", () => {
  expect(tunnelFromFlags({ source: ["10.0.0.20:554"] }, BOXES)).toEqual({
    ...BOXES,
    sources: [{ host: "10.0.0.20", port: 554 }],
  });
  const flags = {
    source: ["cam-1.example:554", "[fd00::20]:554"],
    entry: ["5540", "10.0.0.1:5541", "[::1]:5542", "10.0.0.2"],
    via: "gw.example:20000",
    viaListen: "192.0.2.7",
    connections: "4",
    security: "psk",
    minTls: "1.2",
    rate: "2.5",
    lifetime: "8h",
    name: "Lobby",
  } as const;
  expect(tunnelFromFlags(flags, BOXES)).toEqual({
    ...BOXES,
    sources: [
      { host: "cam-1.example", port: 554 },
      { host: "fd00::20", port: 554 },
    ],
    entries: [
      { port: 5540 },
      { address: "10.0.0.1", port: 5541 },
      { address: "::1", port: 5542 },
      { address: "10.0.0.2" },
    ],
    via: { address: "gw.example", port: 20_000, listen: "192.0.2.7" },
    connections: 4,
    security: "psk",
    minTls: "1.2",
    rateMbit: 2.5,
    lifetimeSeconds: 28_800,
    name: "Lobby",
  });
});

test.each([
  ["--source", { source: ["10.0.0.20"] }],
  ["--source", { source: ["10.0.0.20:70000"] }],
  ["--source", { source: ["a b:1"] }],
  ["--entry", { source: ["a:1"], entry: ["gw.example:5100"] }],
  ["--entry", { source: ["a:1"], entry: ["0"] }],
  ["--via", { source: ["a:1"], via: "a b" }],
  ["--via-listen", { source: ["a:1"], viaListen: "192.0.2.1" }],
  ["--via-listen", { source: ["a:1"], via: "gw", viaListen: "gw" }],
  ["--connections", { source: ["a:1"], connections: "129" }],
  ["--rate", { source: ["a:1"], rate: "0" }],
  ["--rate", { source: ["a:1"], rate: "fast" }],
  ["--lifetime", { source: ["a:1"], lifetime: "soon" }],
])("%s is named when it is given %j", (field, flags) => {
  expect(() => tunnelFromFlags(flags, BOXES)).toThrow(expect.objectContaining({ code: "invalid", field }));
});
