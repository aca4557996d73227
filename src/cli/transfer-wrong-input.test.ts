import { afterAll, beforeAll, expect, test } from "vitest";
import { createFleetWorld, type FleetWorld } from "./fleet-world.fake.ts";

let world: FleetWorld;
beforeAll(async () => {
  const boxes = [{ id: "north-1" }, { id: "north-2" }, { id: "archive" }];
  world = await createFleetWorld({ boxes, facts: {}, statusOf: () => undefined, columns: 160 });
  await world.run("sync", "start", "archive:/srv/a", "archive:/srv/b", "--id", "there-before");
});
afterAll(() => world[Symbol.asyncDispose]());

const USAGE = 64;
const MISSING = 66;
const NAMES = "1 to 128 letters, digits, dots, dashes or underscores, not starting with . or -";
const KEPT = "mode, times, owner, xattrs, privileged-xattrs, hardlinks, symlinks, sparse";
const MOMENT = "a time such as 2026-01-15T10:00:00Z, or how long from now: 15m, 24h";
const PLACES = ["archive:/srv/a", "archive:/srv/c"] as const;

test.each([
  [["srv", "/b"], USAGE, 'SOURCE: given "srv"; allowed: BOX:/PATH, or /PATH alone'],
  [["/a", "archive:b"], USAGE, 'DESTINATION: given "archive:b"; allowed: BOX:/PATH, or /PATH alone'],
  [["/a", ""], USAGE, 'DESTINATION: given ""; allowed: BOX:/PATH, or /PATH alone'],
  [["/a/../b", "/c"], USAGE, 'SOURCE: given "/a/../b"; allowed: a path without . or .. as a name'],
  [["/a", "/100%/x"], USAGE, 'DESTINATION: given "/100%/x"; allowed: %XX, and %25 for % itself'],
  [["south:/a", "/b"], MISSING, 'no box is called "south"; sluice box ls shows all'],
  [["north:/a", "/b"], USAGE, '"north" may be any of 2: north-1, north-2. Say more of the name'],
  [["/a"], USAGE, "missing required argument 'destination'"],
  [["/a", "/b", "/c"], USAGE, "too many arguments for 'start'. Expected 2 arguments but got 3: /a, /b, /c."],
  [[...PLACES, "--chunk-size", "0"], USAGE, '--chunk-size: given "0"; allowed: a whole number from 1 to 1024'],
  [[...PLACES, "--chunk-size", "1.5"], USAGE, '--chunk-size: given "1.5"; allowed: a whole number from 1 to 1024'],
  [[...PLACES, "--bandwidth", "0"], USAGE, '--bandwidth: given "0"; allowed: Mbit/s, more than 0 and at most 1000000'],
  [
    [...PLACES, "--bandwidth", "fast"],
    USAGE,
    '--bandwidth: given "fast"; allowed: Mbit/s, more than 0 and at most 1000000',
  ],
  [[...PLACES, "--bandwidth"], USAGE, "option '--bandwidth <mbit>' argument missing"],
  [[...PLACES, "--deadline", "yesterday"], USAGE, `--deadline: given "yesterday"; allowed: ${MOMENT}`],
  [[...PLACES, "--deadline", "2026-13-45"], USAGE, `--deadline: given "2026-13-45"; allowed: ${MOMENT}`],
  [
    [...PLACES, "--deadline", "2020-01-01T00:00:00Z"],
    USAGE,
    "--deadline: given 2020-01-01T00:00:00.000Z; allowed: a time that is still to come",
  ],
  [[...PLACES, "--preserve", "mode,acl"], USAGE, `--preserve: given "acl"; allowed: ${KEPT}`],
  [
    [...PLACES, "--verify", "hash"],
    USAGE,
    "option '--verify <level>' argument 'hash' is invalid. Allowed choices are transit, full, readback.",
  ],
  [
    [...PLACES, "--priority", "urgent"],
    USAGE,
    "option '--priority <priority>' argument 'urgent' is invalid. Allowed choices are low, normal, high.",
  ],
  [[...PLACES, "--include", ""], USAGE, '--include: given ""; allowed: at least 1 character'],
  [[...PLACES, "--exclude", "a", "--exclude", ""], USAGE, '--exclude: given ""; allowed: at least 1 character'],
  [
    [...PLACES, "--include", "*.mp4", "--include", "clip[1.mp4"],
    USAGE,
    '--include: given "clip[1.mp4"; allowed: a [ that is closed by ], and [[] for [ itself',
  ],
  [[...PLACES, "--exclude", "./tmp"], USAGE, '--exclude: given "./tmp"; allowed: a pattern without . or .. as a name'],
  [[...PLACES, "--id", "a b"], USAGE, `--id: given "a b"; allowed: ${NAMES}`],
  [
    [...PLACES, "--id", "there-before"],
    USAGE,
    "--id: there-before was asked for with another body; give each request an id of its own",
  ],
  [
    [...PLACES, "--delete", "--include", "*.mp4"],
    USAGE,
    "--delete: given true; allowed: only without --include and --exclude: what they leave out would be removed",
  ],
  [
    ["archive:/srv/a", "archive:/srv"],
    USAGE,
    'DESTINATION: given "/srv"; allowed: a place that neither is SOURCE nor lies in it, nor holds it',
  ],
  [[...PLACES, "--colour"], USAGE, "unknown option '--colour'"],
] as const)("sluice sync start %j is refused", async (args, exitCode, message) => {
  const { exitCode: code, out, err } = await world.run("sync", "start", ...args);
  expect({ code, out, said: err.split("\n")[0] }).toEqual({ code: exitCode, out: "", said: `sluice: ${message}` });
});

test.each([
  [["srv", "/b"], 'SOURCE: given "srv"; allowed: BOX:/PATH, or /PATH alone'],
  [["south:/a", "/b"], 'no box is called "south"; sluice box ls shows all'],
  [[...PLACES, "--chunk-size", "1025"], '--chunk-size: given "1025"; allowed: a whole number from 1 to 1024'],
  [[...PLACES, "--deadline", "x"], `--deadline: given "x"; allowed: ${MOMENT}`],
  [[...PLACES, "--compare", "mode,sparse"], `--compare: given "sparse"; allowed: ${KEPT.replace(", sparse", "")}`],
  [[...PLACES, "--include", ""], '--include: given ""; allowed: at least 1 character'],
  [[...PLACES, "--id", "-x"], `--id: given "-x"; allowed: ${NAMES}`],
  [[...PLACES, "--no-wait", "--receipt", "r"], "--receipt: given with --no-wait; allowed: one of them"],
  [[...PLACES, "--receipt-keys", "k"], "--receipt-keys: given without --receipt; allowed: both of them"],
] as const)("sluice sync verify %j is trouble", async (args, message) => {
  const { exitCode, out, err } = await world.run("sync", "verify", ...args);
  expect({ exitCode, out, said: err.split("\n")[0] }).toEqual({ exitCode: 2, out: "", said: `sluice: ${message}` });
});

test.each([
  [["show", "nothing"], MISSING, 'no transfer is called "nothing"; sluice sync ls shows all'],
  [["show", "a b"], MISSING, 'no transfer is called "a b"; sluice sync ls shows all'],
  [["show"], USAGE, "missing required argument 'transfer'"],
  [["cancel", "there-before", "nothing"], MISSING, 'no transfer is called "nothing"; sluice sync ls shows all'],
  [["retry", "there-before"], USAGE, "request there-before is queued; allowed: one that has FAILED"],
  [
    ["ls", "--state", "done"],
    USAGE,
    "option '--state <state>' argument 'done' is invalid. Allowed choices are queued, progress, completed, failed, cancelled.",
  ],
  [["frob"], USAGE, "unknown command 'frob'"],
] as const)("sluice sync %j is refused", async (args, exitCode, message) => {
  const { exitCode: code, out, err } = await world.run("sync", ...args);
  expect({ code, out, said: err.split("\n")[0] }).toEqual({ code: exitCode, out: "", said: `sluice: ${message}` });
});

test("of all that nothing was begun or ended", async () => {
  const { items } = JSON.parse((await world.run("sync", "ls", "--json")).out);
  expect(items).toMatchObject([{ request_id: "there-before", state: "QUEUED" }]);
});
