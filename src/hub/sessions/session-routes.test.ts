import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestHub, type TestHub } from "../hub-world.fake.ts";
import { reportOf } from "../store/store.fake.ts";
import { FACTS } from "./session-world.fake.ts";

let hub: TestHub;
const keys = new Map<string, string>();
let sequence = 0;

const BODY = {
  id: "web",
  user: "anna",
  template: { image: "web:1", env: { MODE: "kiosk", DB_PASSWORD: "s3cret-word" } },
};

async function report(boxId: string, given: object = {}): Promise<void> {
  const { epoch, revision } = (await hub.ask("GET", `/v1/boxes/${boxId}/workloads`)).body;
  const applied = { epoch, revision };
  const body = { ...reportOf(boxId, "s", ++sequence), sessions: FACTS, applied, ...given };
  const answer = await hub.ask("POST", `/v1/boxes/${boxId}/report`, { token: keys.get(boxId) ?? "", body });
  expect(answer.status).toBe(202);
}

const statusOf = (state: string, session: object = {}) => ({
  workloads: [
    {
      id: "web",
      kind: "session",
      description: "",
      state,
      generation: 1,
      restarts: 0,
      since: "2026-01-15T10:30:45Z",
      session: { user: "anna", turn: 0, ...session },
    },
  ],
});

beforeEach(async () => {
  hub = await startTestHub({ sessions: { perUser: 2 } });
  for (const boxId of ["north-1", "south-1"]) {
    keys.set(boxId, await hub.enrol(boxId));
    await report(boxId);
  }
});
afterEach(() => hub.close());

const post = (path: string, body?: object, headers: Record<string, string> = {}) =>
  hub.ask("POST", `/v1/sessions${path}`, { token: hub.tokens.operator, body, headers });
const view = async (id = "web") => (await hub.ask("GET", `/v1/sessions/${id}`)).body;
const untilState = (state: string) => expect.poll(async () => (await view()).state).toBe(state);
const untilThere = (boxId: string, count = 1) =>
  expect.poll(async () => (await hub.ask("GET", `/v1/boxes/${boxId}/workloads`)).body.items.length).toBe(count);
const shape = (answer: { status: number; body: { error?: { field?: string; message: string } } }) => [
  answer.status,
  answer.body.error?.field,
  answer.body.error?.message,
];
/** On a box that is named, since these are heard and have no event stream. */
const named = { ...BODY, box: "north-1" };

test("a session is made, found in lists, followed through its states, and its endpoints are as its box told them last", async () => {
  const made = await post("", { ...named, name: "Lobby" });
  expect([made.status, made.body.state, made.headers.get("etag")]).toEqual([201, "pending", '"1"']);
  await untilThere("north-1");
  await report("north-1", statusOf("starting"));
  await untilState("starting");
  const url = "http://192.0.2.1:21007";
  const endpoint = { name: "80", url, port: 80, protocol: "tcp", address: "192.0.2.1", hostPort: 21_007 };
  await report("north-1", statusOf("running", { platform: "docker", endpoints: [endpoint] }));
  await untilState("running");
  expect(await view()).toMatchObject({ box: "north-1", name: "Lobby", session: { endpoints: [{ url }] } });
  const list = async (query: string) =>
    (await hub.ask("GET", `/v1/sessions${query}`)).body.items.map(({ id }: { id: string }) => id);
  for (const query of ["", "?box=north-1", "?user=anna", "?state=running", "?platform=docker"]) {
    expect(await list(query)).toEqual(["web"]);
  }
  for (const query of ["?box=south-1", "?user=bob", "?state=lost", "?platform=process"]) {
    expect(await list(query)).toEqual([]);
  }
  expect((await hub.ask("GET", "/metrics")).text).toContain('sluice_hub_sessions{state="running"} 1');
  expect((await hub.ask("GET", "/v1/overview")).body.sessions).toEqual({
    total: 1,
    running: 1,
    hibernated: 0,
    unplaced: 0,
    unwell: 0,
  });
  const kinds = (await hub.ask("GET", "/v1/events?recent=true", { headers: { accept: "application/json" } })).body.items
    .filter(({ workload }: { workload?: string }) => workload === "web")
    .map(({ kind }: { kind: string }) => kind);
  expect(kinds).toEqual(expect.arrayContaining(["session.requested", "session.placed", "session.state"]));
});

test("what a dry run shows is the placement with every reason, and nothing is written", async () => {
  const shown = await post("?dryRun=true", { ...BODY, resources: { cpu: "64" } });
  expect(shown.body.box).toBeUndefined();
  expect(shown.body.passedOver.map(({ box }: { box: string }) => box).sort()).toEqual(["north-1", "south-1"]);
  const placed = await post("?dryRun=true", named);
  expect(placed.body).toEqual({ box: "north-1", reason: "the wish names it", at: expect.any(String), passedOver: [] });
  expect((await hub.ask("GET", "/v1/sessions")).body.items).toEqual([]);
  expect((await hub.ask("GET", "/v1/audit?subject=session")).body.items).toEqual([]);
});

test("a repeated request is the same session; another of its id is refused, and so is one too many", async () => {
  const key = { "idempotency-key": "one" };
  expect((await post("", named, key)).body.revision).toBe(1);
  expect((await post("", named, key)).body.revision).toBe(1);
  expect((await post("", named)).status).toBe(409);
  expect((await post("", { ...named, id: "other" })).status).toBe(201);
  expect(shape(await post("", { ...named, id: "third" }))).toEqual([
    409,
    "user",
    "user: given anna, who has 2 sessions; allowed: 2 (sessions.perUser)",
  ]);
});

test.each([
  [
    "an unknown box, with those near it",
    { box: "nort-1" },
    [404, "box", 'box: there is no box "nort-1"; near it: north-1'],
  ],
  ["the agent's own name", { id: "agent" }, [400, "id", expect.stringContaining("agent's own names")]],
  ["an id that is none", { id: "Web_1" }, [400, "id", expect.stringContaining("small letters")]],
  ["neither image nor command", { template: {} }, [400, "template", expect.stringContaining("an image or a command")]],
  ["a selector that is none", { select: "a=b=c" }, [400, "select", expect.stringContaining("no condition on labels")]],
  ["a field that nobody knows", { colour: "red" }, [400, expect.anything(), expect.stringContaining("colour")]],
  [
    "a masked secret that hides nothing",
    { template: { image: "w", env: { DB_PASSWORD: "***" } } },
    [400, "template.env.DB_PASSWORD", expect.stringContaining("hides nothing the hub holds")],
  ],
])("refused with field, given and allowed: %s", async (_what, given, expected) => {
  expect(shape(await post("", { ...BODY, ...given }))).toEqual(expected);
});

test("PUT keeps a secret that its sender saw masked, works under If-Match, and says beforehand whether it would change anything", async () => {
  await post("", named);
  const put = (body: object, query = "", headers: Record<string, string> = {}) =>
    hub.ask("PUT", `/v1/sessions/web${query}`, { body, headers });
  const { wish } = await view();
  expect(wish.template.env).toEqual({ MODE: "kiosk", DB_PASSWORD: "***" });
  expect((await put(wish, "?dryRun=true")).body).toEqual({ changed: false, revision: 1 });
  const other = { ...wish, template: { ...wish.template, env: { ...wish.template.env, DB_PASSWORD: "another" } } };
  expect((await put(other, "?dryRun=true")).body).toEqual({ changed: true, revision: 1 });
  expect((await put({ ...wish, name: "Two" }, "", { "if-match": '"7"' })).status).toBe(409);
  expect((await put({ ...wish, name: "Two" }, "", { "if-match": '"1"' })).body).toMatchObject({
    revision: 2,
    name: "Two",
  });
  expect((await put(wish, "?dryRun=true")).body).toEqual({ changed: true, revision: 2 });
  expect(shape(await put({ ...wish, id: "other" }))[1]).toBe("id");
  expect((await hub.ask("PUT", "/v1/sessions/new?dryRun=true", { body: { ...BODY, id: "new" } })).body).toEqual({
    changed: true,
  });
});

test("secrets are in no answer, no event and no line of the audit log, though the box is told them", async () => {
  await post("", named);
  await untilThere("north-1");
  const spec = { user: "anna", template: BODY.template };
  await report("north-1", statusOf("running", { unclaimed: { spec } }));
  const paths = [
    "/v1/sessions",
    "/v1/sessions/web",
    "/v1/boxes/north-1/workloads",
    "/v1/workloads",
    "/v1/audit",
    "/metrics",
  ];
  const texts = await Promise.all(
    [...paths, "/v1/events?recent=true"].map(
      async (path) => (await hub.ask("GET", path, { headers: { accept: "application/json" } })).text,
    ),
  );
  expect(texts[2]).toContain("kiosk");
  expect(texts.join("\n")).not.toContain("s3cret-word");
});

test("hibernate and wake are the same thing twice, are refused with the state where they make no sense, and leave a trail", async () => {
  await post("", named);
  await untilThere("north-1");
  await report("north-1", statusOf("running"));
  await untilState("running");
  expect((await post("/web/wake")).body.revision).toBe(1);
  expect((await post("/web/hibernate")).body.power).toEqual({ state: "hibernated", turn: 1 });
  expect((await post("/web/hibernate")).body.revision).toBe(2);
  await untilState("hibernating");
  const sleep = { depth: "stopped", since: "2026-01-15T10:30:45Z", because: "asked" };
  await report("north-1", statusOf("hibernated", { turn: 1, sleep }));
  await untilState("hibernated");
  expect(shape(await post("/web/touch"))).toEqual([
    409,
    undefined,
    "session web is hibernated; allowed: one that runs",
  ]);
  expect((await post("/web/wake")).body.power).toEqual({ state: "running", turn: 2 });
  await untilState("waking");
  await report("north-1", statusOf("running", { turn: 2 }));
  await untilState("running");
  expect((await post("/web/touch")).status).toBe(200);
  expect((await post("/web/touch")).status).toBe(200);
  const commands = (await hub.ask("GET", "/v1/boxes/north-1/commands")).body.items;
  expect(commands.map(({ name, args }: { name: string; args: object }) => [name, args])).toEqual([
    ["TouchSession", { id: "web" }],
  ]);
  const actions = (await hub.ask("GET", "/v1/audit?subject=session/web")).body.items.map(
    ({ action }: { action: string }) => action,
  );
  expect(actions.toReversed()).toEqual([
    "session.create",
    "session.place",
    "session.hibernate",
    "session.place",
    "session.wake",
    "session.place",
  ]);
});

test("a session is not put on a box by hand, and one that is there is not changed there", async () => {
  await post("", named);
  await untilThere("north-1");
  const workload = { kind: "session", id: "mine", spec: { user: "anna", template: { image: "w" } } };
  expect(shape(await hub.ask("PUT", "/v1/boxes/north-1/workloads/mine", { body: { workload } }))[1]).toBe(
    "workload.kind",
  );
  expect(shape(await hub.ask("POST", "/v1/boxes/north-1/workloads/web/hibernate"))).toEqual([
    409,
    undefined,
    "workload web is a session; allowed: /v1/sessions/web/hibernate",
  ]);
  expect((await hub.ask("DELETE", "/v1/boxes/north-1/workloads/web")).status).toBe(409);
});

test("stopping is shown until its box has let go, can be asked for twice, and nothing can be changed meanwhile", async () => {
  await post("", named);
  await untilThere("north-1");
  await report("north-1", statusOf("running"));
  await untilState("running");
  const stop = () => hub.ask("DELETE", "/v1/sessions/web", { token: hub.tokens.operator });
  const first = await stop();
  expect([first.status, first.body.state]).toEqual([202, "stopping"]);
  expect((await stop()).body.revision).toBe(first.body.revision);
  for (const verb of ["hibernate", "wake", "touch"]) expect((await post(`/web/${verb}`)).status).toBe(409);
  expect((await hub.ask("PUT", "/v1/sessions/web", { body: named })).status).toBe(409);
  await untilThere("north-1", 0);
  await report("north-1", statusOf("stopping"));
  expect((await view()).state).toBe("stopping");
  await report("north-1");
  await expect.poll(async () => (await hub.ask("GET", "/v1/sessions/web")).status).toBe(404);
  expect((await post("", named)).status).toBe(201);
});
