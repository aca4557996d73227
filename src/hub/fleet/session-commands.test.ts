import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestHub, type TestHub } from "../hub-world.fake.ts";
import { reportOf } from "../store/store.fake.ts";

let hub: TestHub;
let boxes = 0;
beforeAll(async () => {
  hub = await startTestHub();
});
afterAll(() => hub.close());

const CAPABILITIES = ["command:reconcile", "command:StartSession", "command:StopSession"];
const spec = { id: "web", user: "anna", template: { image: "nginx:1", env: { DB_PASSWORD: "hunter-22" } } };

async function newBox(capabilities?: readonly string[]) {
  const id = `box-${++boxes}`;
  const key = await hub.enrol(id);
  let sequence = 0;
  const report = (more: object) =>
    hub.ask("POST", `/v1/boxes/${id}/report`, {
      token: key,
      body: { ...reportOf(id, "s", ++sequence), ...(capabilities === undefined ? {} : { capabilities }), ...more },
    });
  if (capabilities !== undefined) await report({});
  return { id, report };
}
const send = (box: string, name: string, args: object, deadlineSeconds = 60) =>
  hub.ask("POST", `/v1/boxes/${box}/commands`, { body: { name, args, deadlineSeconds } });
const audited = async (box: string) => {
  const { body } = await hub.ask("GET", `/v1/audit?subject=box/${box}&action=command`);
  return body.items.map(({ actor, action, outcome, detail }: Record<string, string>) => [
    actor?.replace(/^operator:.*/, "operator"),
    action,
    outcome,
    detail?.replace(/c-[\w-]+/, "ID"),
  ]);
};

test("a command for a session is taken, its secrets hidden, and the audit log tells what came of it", async () => {
  const box = await newBox(CAPABILITIES);
  const { status, body, text } = await send(box.id, "StartSession", { spec, generation: 3 });
  expect(status).toBe(201);
  expect(text).not.toContain("hunter-22");
  expect(body.args.spec.template.env).toEqual({ DB_PASSWORD: "***" });
  const finishedAt = "2026-01-15T10:30:45Z";
  await box.report({ commandResults: [{ id: body.id, ok: true, text: "started", finishedAt }] });
  await box.report({ commandResults: [{ id: body.id, ok: true, text: "started", finishedAt }] });
  expect(await audited(box.id)).toEqual([
    [`box:${box.id}`, "command.done", "done", "StartSession (ID): started"],
    ["operator", "command.create", "done", "StartSession (ID) for session web (generation 3)"],
  ]);
});

test("what a box refused and what it never answered is told as that", async () => {
  const box = await newBox(CAPABILITIES);
  const refused = await send(box.id, "StopSession", { id: "web", generation: 2 });
  const finishedAt = "2026-01-15T10:30:45Z";
  const text = "older generation 2 than 5";
  await box.report({ commandResults: [{ id: refused.body.id, ok: false, text, finishedAt }] });
  await send(box.id, "StopSession", { id: "web", generation: 6 }, 1);
  await expect.poll(() => audited(box.id), { timeout: 10_000 }).toHaveLength(4);
  expect((await audited(box.id)).filter(([, action]: readonly string[]) => action !== "command.create")).toEqual([
    ["hub", "command.expired", "refused", "StopSession (ID): not sent before the deadline"],
    [`box:${box.id}`, "command.failed", "refused", `StopSession (ID): ${text}`],
  ]);
});

test("args are checked before anything is asked of the box", async () => {
  const { id } = await newBox(CAPABILITIES);
  const wrong = async (name: string, args: object) => {
    const { status, body } = await send(id, name, args);
    return [status, body.error.field, body.error.message];
  };
  expect(await wrong("StartSession", { spec: { ...spec, id: "../../etc/passwd" }, generation: 1 })).toEqual([
    400,
    "args.spec.id",
    expect.stringContaining("given a text of 16 characters; allowed: 1 to 52 small letters"),
  ]);
  expect(await wrong("StopSession", { id: "web" })).toEqual([400, "args.generation", expect.anything()]);
  expect(await wrong("WakeSession", { id: "web", generation: 1 })).toEqual([
    409,
    "name",
    `name: WakeSession given; the agent of box ${id} takes reconcile, StartSession, StopSession`,
  ]);
  const large = {
    spec: { ...spec, template: { image: "nginx:1", args: Array(20).fill("x".repeat(4000)) } },
    generation: 1,
  };
  expect(await wrong("StartSession", large)).toEqual([
    400,
    "args",
    expect.stringMatching(/given 8\d{4} bytes; allowed: at most 65536/),
  ]);
  expect(await audited(id)).toEqual([]);
});

test("a hundred megabytes of args are cut off, and cost the hub nothing", async () => {
  const { id } = await newBox(CAPABILITIES);
  const args = { spec: { ...spec, user: "x".repeat(100 * 1024 * 1024) }, generation: 1 };
  const answer = await send(id, "StartSession", args).catch(() => ({ status: "cut off" }));
  expect([413, "cut off"]).toContain(answer.status);
  expect((await hub.ask("GET", `/v1/boxes/${id}/commands`)).body.items).toEqual([]);
});

test("a box that has not said what it takes may be asked", async () => {
  const { id } = await newBox();
  expect((await send(id, "WakeSession", { id: "web", generation: 1 })).status).toBe(201);
});

test("a box can answer its own commands only", async () => {
  const [mine, other] = [await newBox(CAPABILITIES), await newBox(CAPABILITIES)];
  const { body } = await send(mine.id, "StopSession", { id: "web", generation: 1 });
  const forged = [{ id: body.id, ok: true, text: "stopped", finishedAt: "2026-01-15T10:30:45Z" }];
  await other.report({ commandResults: forged });
  expect((await other.report({ boxId: mine.id, commandResults: forged })).status).toBe(403);
  expect((await hub.ask("GET", `/v1/boxes/${mine.id}/commands/${body.id}`)).body.state).toBe("waiting");
});
