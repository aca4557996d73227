import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestHub, type TestHub } from "../hub-world.fake.ts";

let hub: TestHub;
let key: string;
beforeAll(async () => {
  hub = await startTestHub();
  key = await hub.enrol("north-1");
});
afterAll(() => hub.close());

const OUTPUT = "/srv/rec/cam-1/";
const put = (move: object | undefined) =>
  hub.ask("PUT", "/v1/boxes/north-1/workloads/cam-1", {
    body: {
      workload: {
        kind: "stream",
        id: "cam-1",
        spec: { input: "rtsp://cam/1", outputs: [{ url: OUTPUT, ...(move === undefined ? {} : { move }) }] },
      },
    },
  });
const segment = (name: string) => ({ name, bytes: 7, mtime_ns: "1768471200000000001" });
const tell = (names: readonly string[], more: object = {}) =>
  hub.ask("POST", "/v1/boxes/north-1/segments", {
    token: key,
    body: { stream: "cam-1", output: OUTPUT, segments: names.map(segment), ...more },
  });
const NAME = "20260115-110000.mkv";

test("each finished file becomes one transfer to where the rule of the hub's own spec says", async () => {
  expect((await put({ to: "archive:/archive/cam-1", keepHere: "3d" })).status).toBeLessThan(300);
  const told = await tell([NAME, "20260115-110500.mkv"]);
  expect(told.status).toBe(200);
  expect(told.body.segments).toMatchObject([{ name: NAME, state: "moving" }, { state: "moving" }]);
  const [{ request_id: id }, { request_id: second }] = told.body.segments;
  expect(id).toMatch(/^rec-cam-1-[0-9a-f]{16}$/);
  expect(second).not.toBe(id);
  expect((await tell([NAME])).body.segments[0].request_id).toBe(id);
  expect((await hub.ask("GET", `/sync/${id}`)).body).toMatchObject({
    source_box: "north-1",
    source_path: `/srv/rec/cam-1/${NAME}`,
    destination_box: "archive",
    destination_path: `/archive/cam-1/${NAME}`,
  });
  expect((await hub.ask("GET", "/sync")).body).toHaveLength(2);
  const audit = await hub.ask("GET", `/v1/audit?subject=transfer/${id}`);
  expect(audit.body.items).toMatchObject([{ action: "transfer.submit", actor: "box:north-1" }]);
});

test.each([["../../etc/passwd"], ["passwd"], ["20260115-110000.mkv.x"], [".sluice-storage"]])(
  "a box names files of its recording, and nothing else: %s",
  async (name) => {
    await put({ to: "archive:/archive/cam-1" });
    const told = await tell([name]);
    expect([told.status, told.body.error.message]).toEqual([403, expect.stringContaining("%Y%m%d-%H%M%S.mkv")]);
  },
);

test("nothing is moved without a rule, of another output, or of a stream that is not there", async () => {
  await put({ to: "archive:/archive/cam-1" });
  const before = (await hub.ask("GET", "/sync")).body.length;
  expect((await tell([NAME], { output: "/srv/other/" })).status).toBe(409);
  expect((await tell([NAME], { stream: "cam-2" })).status).toBe(409);
  await put(undefined);
  expect((await tell(["20260115-120000.mkv"])).body.error.message).toContain("a rule to move it");
  expect((await hub.ask("GET", "/sync")).body).toHaveLength(before);
});

test.each([{ to: "archive/cam-1" }, { to: "archive:relative" }, { to: "/a/../b" }, { to: "/a", keepHere: "soon" }])(
  "a rule that says nothing is refused where it is written: %j",
  async (move) => {
    const answer = await put(move);
    expect([answer.status, answer.body.error.message]).toEqual([400, expect.stringMatching(/move/)]);
  },
);
