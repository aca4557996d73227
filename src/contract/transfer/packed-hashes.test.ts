import { hash } from "node:crypto";
import { expect, test } from "vitest";
import { packHashes, unpackHashes } from "./packed-hashes.ts";

test("hashes come back in their order, with those that have none", () => {
  const hashes = [hash("sha256", "one"), "", hash("sha256", "two")];
  expect(unpackHashes(packHashes(hashes))).toEqual(hashes);
  expect(() => packHashes(["no hash"])).toThrow(/allowed: 64 hexadecimal digits/);
});
