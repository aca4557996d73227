import { expect, test } from "vitest";
import type { SessionWorkload } from "../../../contract/workload.ts";
import { findPlace, type PlaceFacts } from "./find-place.ts";

const workload: SessionWorkload = {
  kind: "session",
  id: "app",
  spec: { user: "anna", template: { command: ["/bin/app"], ports: [{ port: 80 }, { port: 53, protocol: "udp" }] } },
};
const run: PlaceFacts["run"] = {
  endpoints: async () => [
    { port: 53, protocol: "udp", address: "192.0.2.10", hostPort: 5353 },
    { port: 80, protocol: "tcp", address: "0.0.0.0", hostPort: 21_000 },
  ],
};
const facts = { workload, wish: "awake", run, isReady: true } as const satisfies PlaceFacts;
const place = (port: number, protocol: "tcp" | "udp", given: Partial<PlaceFacts> = {}) =>
  findPlace("app", { port, protocol }, { ...facts, ...given }).catch(
    ({ code, message }: { code: string; message: string }) => `${code} ${message}`,
  );

test("a declared port is where its run says, as this box reaches it", async () => {
  expect(await place(80, "tcp")).toEqual({ address: "127.0.0.1", port: 21_000 });
  expect(await place(53, "udp")).toEqual({ address: "192.0.2.10", port: 5353 });
});

test.each([
  ["not declared", 53, "tcp", {}, "not-found session app: given 53/tcp; declared: 80/tcp, 53/udp"],
  ["not here", 80, "tcp", { workload: undefined }, "not-found no session app is on this box"],
  ["asleep", 80, "tcp", { wish: "asleep" }, "conflict session app sleeps"],
  ["over", 80, "tcp", { wish: "ended" }, "conflict session app has ended"],
  [
    "not started",
    80,
    "tcp",
    { run: undefined, isReady: false },
    "unavailable session app is on its way, and does not answer yet",
  ],
  [
    "not listening yet",
    80,
    "tcp",
    { isReady: false },
    "unavailable session app is on its way, and does not answer yet",
  ],
] as const)("one that is %s is not told", async (_name, port, protocol, given, expected) => {
  expect(await place(port, protocol, given)).toBe(expected);
});
