import { expect, test } from "vitest";
import { isSpecialAddress, parseNetworks } from "./network-range.ts";

test.each([
  "127.0.0.1",
  "127.8.9.10",
  "10.0.0.1",
  "172.16.0.1",
  "172.31.255.255",
  "192.168.1.1",
  "169.254.169.254",
  "100.64.0.1",
  "0.0.0.0",
  "224.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "fe80::1",
  "fe80::1%eth0",
  "fd00::1",
  "fc12::",
  "ff02::1",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "0:0:0:0:0:ffff:a00:1",
  "64:ff9b::10.0.0.1",
  "64:ff9b::7f00:1",
  "2002:7f00:1::",
  "2001:0:1::1",
  "2001:db8::1",
  "::7f00:1",
  "not an address",
  "",
])("%s is not reached over the Internet", (address) => {
  expect(isSpecialAddress(address)).toBe(true);
});

test.each([
  "1.1.1.1",
  "172.32.0.1",
  "172.15.255.255",
  "192.169.0.1",
  "100.128.0.1",
  "2606:4700::1111",
  "2a00:1450:4001::1",
  "::ffff:1.1.1.1",
  "64:ff9b::1.1.1.1",
])("%s is", (address) => {
  expect(isSpecialAddress(address)).toBe(false);
});

test("networks hold their addresses, however they are written, and no others", () => {
  const holds = parseNetworks(["10.20.0.0/16", "fd00::/8", "127.0.0.1"]);
  for (const inside of ["10.20.3.4", "::ffff:10.20.3.4", "64:ff9b::a14:1", "fdab::1", "127.0.0.1"])
    expect(holds?.(inside)).toBe(true);
  for (const outside of ["10.21.0.1", "127.0.0.2", "fc00::1", "::1", "x"]) expect(holds?.(outside)).toBe(false);
  expect(parseNetworks([])?.("10.0.0.1")).toBe(false);
});

test.each(["10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/8/8", "::/129", "localhost", "10.0.0.0/-1"])(
  "%s is no network",
  (text) => {
    expect(parseNetworks([text])).toBe(undefined);
  },
);
