import { afterEach, beforeEach, expect, test } from "vitest";
import type { BoxWhy } from "../../contract/remote/box-why.ts";
import { openEvents } from "../box-client.fake.ts";
import { startTestHub, type TestHub } from "../hub-world.fake.ts";
import { reportOf } from "../store/store.fake.ts";
import { type FakeRouterMaker, fakeRouter } from "./mounted-router.fake.ts";

let hub: TestHub;
let maker: FakeRouterMaker;
let key = "";
let sequence = 0;

beforeEach(async () => {
  maker = fakeRouter();
  const limits = { perUser: 9, total: 9, idleSeconds: 1800, maxSeconds: 28_800, resumeSeconds: 300 };
  hub = await startTestHub({ createRouter: maker.create, remote: { enabled: true, ownRouter: true, ...limits } });
  key = await hub.enrol("north-1");
  await report({});
});
afterEach(() => hub.close());

async function report(given: object): Promise<void> {
  const capabilities = ["command:remote", "command:remote-why"];
  const body = { ...reportOf("north-1", "s", ++sequence), capabilities, ...given };
  expect((await hub.ask("POST", "/v1/boxes/north-1/report", { token: key, body })).status).toBe(202);
}
const ask = (method: string, path: string, body?: object) =>
  hub.ask(method, path, { token: hub.tokens.operator, ...(body === undefined ? {} : { body }) });
const open = async (): Promise<string> => {
  const { id } = (await ask("POST", "/v1/boxes/north-1/remote", { operation: { kind: "exec", argv: ["uptime"] } }))
    .body;
  maker.made().opened(id);
  await expect.poll(async () => (await ask("GET", `/v1/remote/${id}`)).body.state).toBe("open");
  return id;
};

test("the box is asked, once for all who ask at a time, and its answer is judged", async () => {
  using events = await openEvents(`${hub.origin}/v1/boxes/north-1/events`, { token: key });
  const id = await open();
  const asked = [ask("GET", `/v1/remote/${id}/why`), ask("GET", `/v1/remote/${id}/why`)];
  const { data } = await events.until(
    (event) => event.name === "command" && (event.data as { name: string }).name === "remote-why",
  );
  const command = data as { id: string; args: object };
  expect(command.args).toEqual({ session: id });
  const onBox: BoxWhy = { state: "detached", channelCount: 0, channels: [] };
  await report({
    commandResults: [{ id: command.id, ok: true, text: JSON.stringify(onBox), finishedAt: "2026-01-15T10:30:45.000Z" }],
  });
  for (const answer of await Promise.all(asked)) {
    expect(answer.body).toMatchObject({ id, verdict: "detached", state: "open", missing: [], onBox });
    expect(answer.body.router.sides).toEqual(["operator", "box"]);
  }
});

test("what a box does not tell is told: that it refused, or cannot", async () => {
  using events = await openEvents(`${hub.origin}/v1/boxes/north-1/events`, { token: key });
  const id = await open();
  const asked = ask("GET", `/v1/remote/${id}/why`);
  const { data } = await events.until(
    (event) => event.name === "command" && (event.data as { name: string }).name === "remote-why",
  );
  const answer = { id: (data as { id: string }).id, ok: false, text: "it holds no such session" };
  await report({ commandResults: [{ ...answer, finishedAt: "2026-01-15T10:30:45.000Z" }] });
  expect((await asked).body).toMatchObject({
    verdict: "unknown",
    missing: ["box north-1: it holds no such session"],
  });
  await report({ capabilities: ["command:remote"] });
  const older = (await ask("GET", `/v1/remote/${id}/why`)).body;
  expect(older.missing).toEqual([expect.stringMatching(/^box north-1 runs sluice .*, which does not tell$/)]);
});

test("nobody is asked about a session that is over, and there is nothing to say of one that never was", async () => {
  const id = await open();
  await ask("DELETE", `/v1/remote/${id}`);
  const { body } = await ask("GET", `/v1/remote/${id}/why`);
  expect(body).toMatchObject({ verdict: "ended", sentence: "it is over: operator has ended it", missing: [] });
  expect((await ask("GET", "/v1/remote/nothing/why")).status).toBe(404);
});
