import { expect, test } from "vitest";
import { toEndpoints } from "./session-endpoints.ts";

const hosts = { urlHost: undefined, boxAddress: () => "198.51.100.7" };
const placed = (address: string, protocol: "tcp" | "udp" = "tcp") => ({
  port: 80,
  protocol,
  address,
  hostPort: 21_000,
});

test.for([
  {
    ports: [{ port: 80, name: "web", scheme: "http" }],
    address: "127.0.0.1",
    name: "web",
    url: "http://127.0.0.1:21000",
  },
  { ports: [{ port: 80 }], address: "::1", name: "80", url: "tcp://[::1]:21000" },
  { ports: [], address: "0.0.0.0", name: "80", url: "tcp://198.51.100.7:21000" },
])("$url", ({ ports, address, name, url }) => {
  expect(toEndpoints(ports, [placed(address)], hosts)).toMatchObject([{ name, url, port: 80, hostPort: 21_000 }]);
});

test("a box with a name is named, and a port is found by its protocol too", () => {
  const ports = [
    { port: 80, name: "t" },
    { port: 80, protocol: "udp" as const, name: "u" },
  ];
  const [endpoint] = toEndpoints(ports, [placed("10.0.0.1", "udp")], { ...hosts, urlHost: "box.example" });
  expect(endpoint).toMatchObject({ name: "u", url: "udp://box.example:21000", address: "10.0.0.1" });
});

test("where nobody knows an address that others reach, the loopback is told", () => {
  const [endpoint] = toEndpoints([], [placed("0.0.0.0")], { urlHost: undefined, boxAddress: () => undefined });
  expect(endpoint?.url).toBe("tcp://127.0.0.1:21000");
});
