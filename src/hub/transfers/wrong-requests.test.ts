import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestHub, type TestHub } from "../hub-world.fake.ts";

let hub: TestHub;
beforeAll(async () => {
  hub = await startTestHub();
  await ask("POST", "/sync", { ...PLACES, request_id: "there-before" });
});
afterAll(() => hub.close());

const PLACES = { source_path: "/in", destination_path: "/out" };
const ask = (method: string, path: string, body?: unknown) =>
  hub.ask(method, path, { token: hub.tokens.operator, ...(body === undefined ? {} : { body }) });
const NAMES = "1 to 128 letters, digits, dots, dashes or underscores, not starting with . or -";
const BOX_NAMES = NAMES.replace("128", "63");
const KEPT = "mode, times, owner, xattrs, privileged-xattrs, hardlinks, symlinks, sparse";

test.each([
  ["body", [], "body: given a list of 0; allowed: an object"],
  ["source_path", { destination_path: "/out" }, "source_path: given nothing; allowed: a text"],
  ["source_path", { ...PLACES, source_path: "data" }, 'source_path: given "data"; allowed: an absolute path'],
  [
    "source_path",
    { ...PLACES, source_path: "/a/../b" },
    'source_path: given "/a/../b"; allowed: a path without . or .. as a name',
  ],
  [
    "source_path",
    { ...PLACES, source_path: "/a\u0000\u001b[2J" },
    'source_path: given "/a\\u0000\\u001b[2J"; allowed: a path without the byte 0',
  ],
  [
    "source_path",
    { ...PLACES, source_path: "/100%/x" },
    'source_path: given "/100%/x"; allowed: %XX, and %25 for % itself',
  ],
  ["destination_path", { source_path: "/in" }, "destination_path: given nothing; allowed: a text"],
  [
    "destination_path",
    { ...PLACES, destination_path: `/${"x".repeat(300)}` },
    `destination_path: given "/${"x".repeat(79)}"… (301 characters); allowed: a path of names of at most 255 bytes`,
  ],
  [
    "destination_path",
    { source_box: "b", source_path: "/a", destination_box: "b", destination_path: "/a/copy" },
    'destination_path: given "/a/copy"; allowed: a place that neither is source_path nor lies in it, nor holds it',
  ],
  ["source_box", { ...PLACES, source_box: "a b" }, `source_box: given "a b"; allowed: ${BOX_NAMES}`],
  ["destination_box", { ...PLACES, destination_box: "" }, `destination_box: given ""; allowed: ${BOX_NAMES}`],
  ["request_id", { ...PLACES, request_id: "../x" }, `request_id: given "../x"; allowed: ${NAMES}`],
  ["request_id", { ...PLACES, request_id: 5 }, "request_id: given 5; allowed: a text"],
  ["mode", { ...PLACES, mode: "move" }, 'mode: given "move"; allowed: copy, verify'],
  ["file_list", { ...PLACES, file_list: [] }, "file_list: given a list of 0; allowed: at least 1 entry"],
  ["file_list", { ...PLACES, file_list: "a" }, 'file_list: given "a"; allowed: a list'],
  [
    "file_list[1]",
    { ...PLACES, file_list: ["a", "/b"] },
    'file_list[1]: given "/b"; allowed: a path with a name between every two /, and none at its ends',
  ],
  ["include[0]", { ...PLACES, include: [""] }, 'include[0]: given ""; allowed: at least 1 character'],
  [
    "include[1]",
    { ...PLACES, include: ["*.mp4", "[a-"] },
    'include[1]: given "[a-"; allowed: a [ that is closed by ], and [[] for [ itself',
  ],
  [
    "exclude[0]",
    { ...PLACES, exclude: ["../x"] },
    'exclude[0]: given "../x"; allowed: a pattern without . or .. as a name',
  ],
  ["exclude[0]", { ...PLACES, exclude: [5] }, "exclude[0]: given 5; allowed: a text"],
  ["chunk_size_mb", { ...PLACES, chunk_size_mb: 0 }, "chunk_size_mb: given 0; allowed: at least 1"],
  ["chunk_size_mb", { ...PLACES, chunk_size_mb: 1025 }, "chunk_size_mb: given 1025; allowed: at most 1024"],
  ["chunk_size_mb", { ...PLACES, chunk_size_mb: 1e99 }, "chunk_size_mb: given 1e+99; allowed: at most 1024"],
  ["chunk_size_mb", { ...PLACES, chunk_size_mb: -1e99 }, "chunk_size_mb: given -1e+99; allowed: at least 1"],
  ["chunk_size_mb", { ...PLACES, chunk_size_mb: 1.5 }, "chunk_size_mb: given 1.5; allowed: a whole number"],
  ["chunk_size_mb", { ...PLACES, chunk_size_mb: "64" }, 'chunk_size_mb: given "64"; allowed: a number'],
  ["verify", { ...PLACES, verify: "hash" }, 'verify: given "hash"; allowed: transit, full, readback'],
  ["priority", { ...PLACES, priority: 3 }, "priority: given 3; allowed: low, normal, high"],
  [
    "deadline",
    { ...PLACES, deadline: "tomorrow" },
    'deadline: given "tomorrow"; allowed: a time such as 2026-01-15T10:30:45Z',
  ],
  [
    "deadline",
    { ...PLACES, deadline: "2020-01-01T00:00:00Z" },
    "deadline: given 2020-01-01T00:00:00Z; allowed: a time that is still to come",
  ],
  ["bandwidth_mbps", { ...PLACES, bandwidth_mbps: 0 }, "bandwidth_mbps: given 0; allowed: more than 0"],
  ["bandwidth_mbps", { ...PLACES, bandwidth_mbps: 2e6 }, "bandwidth_mbps: given 2000000; allowed: at most 1000000"],
  [
    "delete_extraneous",
    { ...PLACES, delete_extraneous: "yes" },
    'delete_extraneous: given "yes"; allowed: true or false',
  ],
  [
    "delete_extraneous",
    { ...PLACES, delete_extraneous: true, include: ["*.mp4"] },
    "delete_extraneous: given true; allowed: only without file_list, include and exclude: what they leave out would be removed",
  ],
  ["preserve[1]", { ...PLACES, preserve: ["mode", "acl"] }, `preserve[1]: given "acl"; allowed: ${KEPT}`],
  ["colour", { ...PLACES, colour: 1 }, "colour: given 1; allowed: no field of this name"],
  [
    "bandwidth_mbps",
    { ...PLACES, mode: "verify", bandwidth_mbps: 3 },
    "bandwidth_mbps: given 3; allowed: only with mode copy: in a comparison no byte of a file leaves its box",
  ],
  [
    "delete_extraneous",
    { ...PLACES, mode: "verify", delete_extraneous: true },
    "delete_extraneous: given true; allowed: only with mode copy: a comparison writes nothing",
  ],
  [
    "verify",
    { ...PLACES, mode: "verify", verify: "transit" },
    'verify: given "transit"; allowed: full or readback with mode verify: nothing is in transit',
  ],
] as const)(
  "a request that is wrong in %s is refused by field, given and allowed (%#)",
  async (field, body, message) => {
    const { status, body: answer } = await ask("POST", "/sync", body);
    expect({ status, ...answer.error }).toEqual({ status: 400, code: "invalid", field, message });
  },
);

test.each([
  ["POST", "/sync/there-before/reassign", {}, 400, "worker_id: given nothing; allowed: a text"],
  ["POST", "/sync/there-before/reassign", { worker_id: "nobody" }, 404, 'there is no worker "nobody"'],
  ["POST", "/sync/nothing/reassign", { worker_id: "w" }, 404, 'there is no request "nothing"'],
  ["POST", "/sync/nothing/retry", undefined, 404, 'there is no request "nothing"'],
  ["POST", "/sync/there-before/retry", undefined, 409, "request there-before is queued; allowed: one that has FAILED"],
  ["GET", "/sync/nothing", undefined, 404, 'there is no request "nothing"'],
  ["GET", "/sync/-x", undefined, 400, `id: given "-x"; allowed: ${NAMES}`],
  ["DELETE", "/sync/nothing", undefined, 404, 'there is no request "nothing"'],
  ["GET", "/sync?limit=0", undefined, 400, 'limit: given "0"; allowed: at least 1'],
  ["GET", "/sync?order=size", undefined, 400, 'order: given "size"; allowed: id, recent'],
  ["GET", "/sync?order=recent&after=a", undefined, 400, 'after: given "a"; allowed: only in the order of ids'],
  [
    "GET",
    "/sync?state=done",
    undefined,
    400,
    'state: given "done"; allowed: QUEUED, PROGRESS, COMPLETED, FAILED, CANCELLED',
  ],
  ["GET", "/workers/nobody/requests", undefined, 404, 'there is no worker "nobody"'],
  ["POST", "/workers/nobody/assignment", undefined, 404, 'there is no worker "nobody"'],
  [
    "POST",
    "/workers/heartbeat",
    { worker_id: "w", status: "READY", storage_paths: ["/data"] },
    400,
    'status: given "READY"; allowed: IDLE, TRANSFERRING, ERROR',
  ],
  [
    "POST",
    "/workers/result",
    { request_id: "there-before", worker_id: "w", success: "yes" },
    400,
    'success: given "yes"; allowed: true or false',
  ],
] as const)("%s %s is refused (%#)", async (method, path, body, status, message) => {
  const answer = await ask(method, path, body);
  expect([answer.status, answer.body.error.message]).toEqual([status, message]);
});

test("what was asked for before has heard nothing of all that, and is alone", async () => {
  const { body } = await ask("GET", "/sync");
  expect(body).toMatchObject([{ request_id: "there-before", state: "QUEUED" }]);
});
