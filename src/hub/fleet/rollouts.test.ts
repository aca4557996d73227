import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { startTestHub, type TestHub } from "../hub-world.fake.ts";

let hub: TestHub;
beforeAll(async () => {
  hub = await startTestHub();
});
afterAll(() => hub.close());

const template = (url = "rtsp://{{label.camera}}/1") => ({
  kind: "stream",
  id: "door",
  spec: { input: url, outputs: ["rtmp://ingest/live/{{box.id}}"] },
});
const workloadsOf = async (box: string) => {
  const { items } = (await hub.ask("GET", `/v1/boxes/${box}/workloads`)).body;
  return items.map(
    (item: { workload: { id: string; spec: { input: { url: string } } } }) => item.workload.spec.input.url,
  );
};
const eventually = <T>(look: () => Promise<T>, wanted: T) =>
  vi.waitFor(async () => expect(await look()).toEqual(wanted), { timeout: 30_000, interval: 20 });

test("a rollout reaches the boxes that match, those that come to match, and leaves those that do not any more", async () => {
  await hub.enrol("n-1", { labels: { site: "north", camera: "10.0.0.1" } });
  await hub.enrol("n-2", { labels: { site: "north" } });
  await hub.enrol("s-1", { labels: { site: "south", camera: "10.0.0.3" } });
  const made = await hub.ask("PUT", "/v1/rollouts/doors", { body: { selector: "site=north", template: template() } });
  expect(made.body).toMatchObject({ revision: 1, enabled: true });
  await eventually(() => workloadsOf("n-1"), ["rtsp://10.0.0.1/1"]);
  expect(await workloadsOf("s-1")).toEqual([]);
  const boxesOf = async () => (await hub.ask("GET", "/v1/rollouts/doors")).body.boxes;
  const failed = [{ box: "n-2", reason: "the box has nothing for {{label.camera}}" }];
  await eventually(boxesOf, { matching: 2, placed: 1, failed });

  await hub.ask("PATCH", "/v1/boxes/s-1", { body: { labels: { site: "north", camera: "10.0.0.3" } } });
  await eventually(() => workloadsOf("s-1"), ["rtsp://10.0.0.3/1"]);
  await hub.ask("PATCH", "/v1/boxes/n-1", { body: { labels: { site: "west" } } });
  await eventually(() => workloadsOf("n-1"), []);
  await hub.ask("PUT", "/v1/rollouts/doors", { body: { selector: "site=north", template: template("rtsp://all/1") } });
  await eventually(() => workloadsOf("n-2"), ["rtsp://all/1"]);
  await eventually(boxesOf, { matching: 2, placed: 2, failed: [] });

  expect((await hub.ask("DELETE", "/v1/rollouts/doors", { headers: { "if-match": '"1"' } })).status).toBe(409);
  expect((await hub.ask("DELETE", "/v1/rollouts/doors", { headers: { "if-match": '"2"' } })).status).toBe(204);
  await eventually(() => workloadsOf("n-2"), []);
  await eventually(() => workloadsOf("s-1"), []);
});

test("what a rollout placed is a person's to hibernate, and not to change", async () => {
  await hub.enrol("h-1", { labels: { site: "h", camera: "c" } });
  await hub.ask("PUT", "/v1/rollouts/h", { body: { selector: "site=h", template: template() } });
  await eventually(() => workloadsOf("h-1"), ["rtsp://c/1"]);
  expect((await hub.ask("POST", "/v1/boxes/h-1/workloads/door/hibernate")).status).toBe(200);
  const entry = (await hub.ask("GET", "/v1/boxes/h-1/workloads/door")).body;
  expect(entry).toMatchObject({ owner: "rollout/h", desired: "hibernated" });
  const removed = await hub.ask("DELETE", "/v1/boxes/h-1/workloads/door");
  expect([removed.status, removed.body.error.message]).toEqual([
    409,
    "workload door belongs to rollout/h; change it there, or take it over",
  ]);
});

test.each([
  ["{{box.secret}}", "given {{box.secret}}; allowed: {{box.id}}, {{box.name}}, {{label.NAME}}"],
  ["{{constructor}}", "given {{constructor}}"],
])("a template with %s is refused with what there is", async (placeholder, message) => {
  const body = { selector: "", template: template(`rtsp://${placeholder}/1`) };
  const answer = await hub.ask("PUT", "/v1/rollouts/bad", { body });
  expect(answer.status).toBe(400);
  expect(answer.body.error.message).toContain(message);
});
