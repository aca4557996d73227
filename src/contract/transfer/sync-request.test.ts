import { expect, test } from "vitest";
import { syncRequestSchema } from "./sync-request.ts";

const REQUEST = { source_path: "/srv/a", destination_path: "/archive/a", delete_extraneous: true };

test("what the source does not have is removed where all of it was asked for", () => {
  expect(syncRequestSchema.parse(REQUEST).delete_extraneous).toBe(true);
  expect(syncRequestSchema.parse({ ...REQUEST, delete_extraneous: false, include: ["*.mp4"] }).include).toEqual([
    "*.mp4",
  ]);
});

test.each([{ include: ["*.mp4"] }, { exclude: ["*.tmp"] }, { file_list: ["a"] }])(
  "%j leaves something out on purpose: nothing may be removed for it",
  (more) => {
    const refused = syncRequestSchema.safeParse({ ...REQUEST, ...more }).error?.issues;
    expect(refused).toMatchObject([{ path: ["delete_extraneous"] }]);
  },
);

test.each([{ delete_extraneous: true }, { bandwidth_mbps: 5 }, { verify: "transit" }])(
  "%j means nothing where two places are only compared",
  (more) => {
    const request = { source_path: "/srv/a", destination_path: "/archive/a", mode: "verify" };
    expect(syncRequestSchema.safeParse(request).success).toBe(true);
    const refused = syncRequestSchema.safeParse({ ...request, ...more }).error?.issues;
    expect(refused).toMatchObject([{ path: Object.keys(more) }]);
  },
);
