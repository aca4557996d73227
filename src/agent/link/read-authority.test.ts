import { expect, test } from "vitest";
import { readAuthority } from "./read-authority.ts";

test("an authority that cannot be read is told with its option, and none is none", () => {
  expect(readAuthority(undefined)).toBeUndefined();
  expect(() => readAuthority("/no/such/ca.pem")).toThrow(
    expect.objectContaining({
      code: "config",
      field: "link.caFile",
      message: expect.stringMatching(
        /^link\.caFile: \/no\/such\/ca\.pem cannot be used: .*; allowed: PEM certificates$/,
      ),
    }),
  );
});
