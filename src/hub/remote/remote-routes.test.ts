import { createPublicKey } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RemoteOffer } from "../../contract/remote/offer.ts";
import { newRemoteKey, publicTextOf } from "../../contract/remote/remote-key.ts";
import { readTicket } from "../../contract/remote/ticket.ts";
import { openEvents } from "../box-client.fake.ts";
import { startTestHub, type TestHub } from "../hub-world.fake.ts";
import { reportOf } from "../store/store.fake.ts";
import { type FakeRouter, type FakeRouterMaker, fakeRouter } from "./mounted-router.fake.ts";

let hub: TestHub;
let maker: FakeRouterMaker;
let router: FakeRouter;
let key = "";
let sequence = 0;

interface Offered {
  readonly name: string;
  readonly args: RemoteOffer;
}

const KEY = publicTextOf(newRemoteKey());
const BOX_KEY = publicTextOf(newRemoteKey());
const EXEC = { operation: { kind: "exec", argv: ["uptime"] }, key: KEY };
const DETACHED = { operation: { kind: "exec", argv: ["sleep", "9"], detach: true }, key: KEY };
const LIMITS = { perUser: 2, total: 3, idleSeconds: 1800, maxSeconds: 28_800, resumeSeconds: 300 };

beforeEach(async () => {
  maker = fakeRouter();
  hub = await startTestHub({ createRouter: maker.create, remote: { enabled: true, ownRouter: true, ...LIMITS } });
  router = maker.made();
  key = await hub.enrol("north-1");
  await report({});
});
afterEach(() => hub.close());

async function report(given: object, capabilities: readonly string[] = ["command:remote"]): Promise<void> {
  const body = { ...reportOf("north-1", "s", ++sequence), capabilities, remoteKey: BOX_KEY, ...given };
  expect((await hub.ask("POST", "/v1/boxes/north-1/report", { token: key, body })).status).toBe(202);
}
const asOperator = (method: string, path: string, body?: object, headers: Record<string, string> = {}) =>
  hub.ask(method, path, { token: hub.tokens.operator, ...(body === undefined ? {} : { body }), headers });
const create = (body: object = EXEC, headers: Record<string, string> = {}) =>
  asOperator("POST", "/v1/boxes/north-1/remote", body, headers);
const view = async (id: string) => (await asOperator("GET", `/v1/remote/${id}`)).body;
const until = (id: string, state: string) => expect.poll(async () => (await view(id)).state).toBe(state);
const commands = async () => (await hub.ask("GET", "/v1/boxes/north-1/commands")).body.items;
const audit = async (action: string) => (await hub.ask("GET", `/v1/audit?action=${action}`)).body.items;
const refusal = (answer: { status: number; body: { error?: { message: string } } }) => [
  answer.status,
  answer.body.error?.message,
];
const nowSeconds = () => Math.floor(performance.timeOrigin / 1000 + performance.now() / 1000);

test("both ends get a ticket of their own for the same session, and the box hears of it at once", async () => {
  using events = await openEvents(`${hub.origin}/v1/boxes/north-1/events`, { token: key });
  const made = await create({ ...EXEC, idleSeconds: 60 });
  expect(made.status).toBe(201);
  const { id, ticket, router: operatorRouter } = made.body;
  const { args, name } = (await events.until(({ name }) => name === "command")).data as Offered;
  expect([name, args.session, args.attempt, args.operator]).toEqual(["remote", id, 1, "operator"]);
  expect(await commands()).toMatchObject([{ state: "taken" }]);
  expect(args.operation).toEqual({ kind: "exec", argv: ["uptime"], pty: false, detach: false });
  // Whoever asked is told the address that they used.
  expect([operatorRouter.url, args.router.url]).toEqual([hub.origin, expect.stringMatching(/^http:\/\/127/)]);
  const ours = router.read(ticket, nowSeconds());
  const theirs = router.read(args.ticket, nowSeconds());
  const same = { sid: id, box: "north-1", sub: "operator", op: "exec", aud: router.id, idle: 60 };
  expect(ours).toMatchObject({ ...same, side: "operator" });
  expect(theirs).toMatchObject({ ...same, side: "box" });
  expect(ours.jti).not.toBe(theirs.jti);

  // Anybody can verify it by the public keys.
  const { keys } = (await hub.ask("GET", "/v1/routers/keys", { token: null })).body;
  const keyOf = (kid: string) => {
    const jwk = keys.find((one: { kid: string }) => one.kid === kid);
    return jwk === undefined ? undefined : createPublicKey({ key: jwk, format: "jwk" });
  };
  expect(readTicket(ticket, { keyOf, nowSeconds: nowSeconds() }).sid).toBe(id);
});

test("an offer waits for a box that is away, and each is sent once", async () => {
  const away = (await create()).body.id;
  expect(await commands()).toMatchObject([{ state: "waiting" }]);
  using events = await openEvents(`${hub.origin}/v1/boxes/north-1/events`, { token: key });
  const sessionOf = ({ data }: { readonly data: unknown }) => (data as Partial<Offered>).args?.session;
  await events.until((event) => sessionOf(event) === away);
  const near = (await create()).body.id;
  await events.until((event) => sessionOf(event) === near);
  // Whatever wakes its connection.
  expect((await asOperator("POST", `/v1/remote/${near}/rejoin`, { key: KEY })).status).toBe(200);
  await events.until(({ data }) => (data as Partial<Offered>).args?.attempt === 2);
  const sent = events.events.filter(({ name }) => name === "command").map(sessionOf);
  expect(sent).toEqual([away, near, near]);
  expect((await commands()).map(({ state }: { state: string }) => state)).toEqual(["taken", "taken", "taken"]);
});

test("the operator hears whether the box takes an early proof, for the first attempt of a command in the clear and without a terminal", async () => {
  const takes = async (body: object) => (await create({ ...body, key: KEY })).body.takesEarlyProof;
  const { operation } = EXEC;
  expect(await takes({ operation })).toBeUndefined();
  await report({}, ["command:remote", "remote-proof:early"]);
  const first = (await create()).body;
  expect(first.takesEarlyProof).toBe(true);
  expect(await takes({ operation, seal: true })).toBeUndefined();
  expect(await takes({ operation: { ...operation, pty: true } })).toBeUndefined();
  expect(await takes({ operation: { kind: "shell", pty: true } })).toBeUndefined();
  expect(await takes({ operation: { kind: "forward", targets: [{ host: "a", port: 1, protocol: "tcp" }] } })).toBe(
    undefined,
  );
  const again = await asOperator("POST", `/v1/remote/${first.id}/rejoin`, { key: KEY });
  expect([again.status, again.body.takesEarlyProof]).toEqual([200, undefined]);
});

test("no ticket is in any view, log or audit entry", async () => {
  using events = await openEvents(`${hub.origin}/v1/boxes/north-1/events`, { token: key });
  const { ticket } = (await create()).body;
  const boxTicket = ((await events.until(({ name }) => name === "command")).data as Offered).args.ticket;
  const [command] = await commands();
  expect(command.args.ticket).toBe("***");
  await report({ commandResults: [{ id: command.id, ok: true, text: "yes", finishedAt: "2026-01-15T10:30:45Z" }] });
  await expect.poll(async () => (await commands())[0].state).toBe("done");
  const shown = [
    (await hub.ask("GET", "/v1/boxes/north-1/commands")).text,
    (await hub.ask("GET", "/v1/audit")).text,
    (await hub.ask("GET", "/v1/remote")).text,
    (await hub.ask("GET", "/v1/events?recent=true", { headers: { accept: "application/json" } })).text,
    JSON.stringify(hub.log.lines),
  ].join("\n");
  for (const secret of [ticket, boxTicket]) expect(shown).not.toContain(secret.split(".")[2]);
});

test("an offer is made by the hub alone", async () => {
  const answer = await hub.ask("POST", "/v1/boxes/north-1/commands", { body: { name: "remote", args: {} } });
  expect(answer.status).toBe(403);
});

test("a session is waiting, open, broken, resumed and ended, with what went through it", async () => {
  const { id } = (await create()).body;
  expect(await view(id)).toMatchObject({ state: "waiting", operator: "operator", attempt: 1, bytesToBox: 0 });
  router.opened(id);
  await until(id, "open");
  router.move(id, { toBox: 5, fromBox: 7 });
  expect(await view(id)).toMatchObject({ bytesToBox: 5, bytesFromBox: 7 });
  router.parted(id, "peer-lost", "the operator's connection broke");
  await until(id, "broken");
  expect(await view(id)).toMatchObject({ reason: "the operator's connection broke", bytesToBox: 5 });

  const again = await asOperator("POST", `/v1/remote/${id}/rejoin`, { key: KEY });
  expect([again.status, again.body.attempt, again.body.id]).toEqual([200, 2, id]);
  expect((await commands())[0]).toMatchObject({ id: `remote-${id}-2`, args: { attempt: 2 } });
  router.opened(id);
  await until(id, "open");
  router.move(id, { toBox: 1, fromBox: 1 });
  router.parted(id, "peer-done", "both sides closed in order");
  await until(id, "ended");
  expect(await view(id)).toMatchObject({ bytesToBox: 6, bytesFromBox: 8, attempt: 2 });
  const [ended] = await audit("remote.end");
  expect(ended).toMatchObject({ actor: `router:${router.id}`, subject: `box/north-1/remote/${id}`, outcome: "done" });
  expect(ended.detail).toContain("6 bytes to the box, 8 from it");
  const [created] = await audit("remote.create");
  expect(created.detail).toBe(`${id} on north-1: exec uptime`);
  const over = refusal(await asOperator("POST", `/v1/remote/${id}/rejoin`, { key: KEY }));
  expect(over).toEqual([409, `remote session ${id} is over: both sides closed in order`]);
  const events = (await hub.ask("GET", "/v1/events?recent=true", { headers: { accept: "application/json" } })).body
    .items;
  const kinds = events
    .map((event: { kind: string }) => event.kind)
    .filter((kind: string) => kind.startsWith("remote."));
  expect(kinds).toEqual(["remote.requested", "remote.open", "remote.broken", "remote.open", "remote.ended"]);
});

test("what the box refuses ends the session with its words, and who waits at the router hears them", async () => {
  const { id } = (await create()).body;
  router.waiting(id);
  const text = "policy.remote: exec is not allowed on this box";
  await report({ commandResults: [{ id: `remote-${id}-1`, ok: false, text, finishedAt: "2026-01-15T10:30:45Z" }] });
  await until(id, "ended");
  expect(await view(id)).toMatchObject({ reason: text });
  expect(router.terminated).toContainEqual({ id, message: text });
  // Who comes after that hears it too.
  router.waiting(id);
  await expect.poll(() => router.terminated.filter((one) => one.id === id).length).toBe(2);
});

test("a request that is repeated means the same session, and tells the box once", async () => {
  const headers = { "idempotency-key": "one" };
  const first = await create(EXEC, headers);
  const second = await create(EXEC, headers);
  expect([second.status, second.body.id]).toEqual([201, first.body.id]);
  expect(second.body.ticket).not.toBe(first.body.ticket);
  expect((await commands()).length).toBe(1);
  expect((await create(DETACHED, headers)).status).toBe(409);
});

test("an operator and the whole fleet have so many sessions and no more", async () => {
  const [one] = [(await create()).body, (await create()).body];
  expect(refusal(await create())).toEqual([
    503,
    "2 remote sessions of this token are open; allowed: 2 (remote.perUser)",
  ]);
  expect((await hub.ask("POST", "/v1/boxes/north-1/remote", { body: EXEC })).status).toBe(201);
  expect((await hub.ask("POST", "/v1/boxes/north-1/remote", { body: EXEC })).body.error.message).toContain(
    "remote.total",
  );
  await asOperator("DELETE", `/v1/remote/${one.id}`);
  expect((await create()).status).toBe(201);
  expect(
    (await audit("remote.create")).filter((entry: { outcome: string }) => entry.outcome === "refused").length,
  ).toBe(2);
});

test("another operator sees and ends a session, and joins neither it nor what it has detached", async () => {
  const { id } = (await create(DETACHED)).body;
  const other = (await hub.ask("POST", "/v1/tokens", { body: { name: "bea", role: "operator" } })).body.token;
  const attach = { operation: { kind: "attach", session: id }, key: KEY };
  const ask = (method: string, path: string, body?: object) =>
    hub.ask(method, path, { token: other, ...(body === undefined ? {} : { body }) });
  expect((await ask("GET", `/v1/remote/${id}`)).body.operator).toBe("operator");
  expect((await ask("POST", `/v1/remote/${id}/rejoin`, { key: KEY })).status).toBe(403);
  expect((await ask("POST", "/v1/boxes/north-1/remote", attach)).status).toBe(403);
  expect((await create(attach)).status).toBe(201);
  expect((await hub.ask("POST", "/v1/boxes/north-1/remote", { body: attach })).status).toBe(201);
  router.opened(id);
  await until(id, "open");
  router.move(id, { toBox: 5, fromBox: 7 });
  expect((await ask("DELETE", `/v1/remote/${id}`)).body).toMatchObject({
    state: "ended",
    reason: "bea has ended it",
    bytesToBox: 5,
    bytesFromBox: 7,
  });
  expect(router.terminated).toContainEqual({ id, message: "bea has ended it" });
  expect((await audit("remote.terminate")).length).toBe(1);
  // Once more changes nothing.
  expect((await ask("DELETE", `/v1/remote/${id}`)).body.reason).toBe("bea has ended it");
  expect((await audit("remote.terminate")).length).toBe(1);
});

test("a detached command is over when its box says so, and the box is not told what it knows", async () => {
  const { id } = (await create(DETACHED)).body;
  router.opened(id);
  router.parted(id, "peer-lost", "the operator's connection broke");
  await until(id, "broken");
  const remoteEnds = [
    { session: "another", code: 0 },
    { session: id, signal: "SIGKILL" },
  ];
  await report({ remoteEnds });
  await expect.poll(async () => (await view(id)).reason, { timeout: 10_000 }).toBe("its command was ended by SIGKILL");
  expect((await audit("remote.end"))[0]).toMatchObject({ actor: "box:north-1" });
  expect((await commands())[0].id).toBe(`remote-${id}-1`);
});

test("a box that holds a session without a router hears that it is over", async () => {
  const { id } = (await create(DETACHED)).body;
  router.opened(id);
  router.parted(id, "peer-lost", "the operator's connection broke");
  await until(id, "broken");
  await asOperator("DELETE", `/v1/remote/${id}`);
  await expect.poll(async () => (await commands())[0].id).toBe(`remote-${id}-end`);
  router.waiting(id);
  await expect.poll(() => router.terminated.at(-1)).toEqual({ id, message: "operator has ended it" });
});

test("sessions end within five seconds of the end of their operator's right, or of their box's", async () => {
  const made = (await hub.ask("POST", "/v1/tokens", { body: { name: "cleo", role: "operator" } })).body;
  const { id } = (await hub.ask("POST", "/v1/boxes/north-1/remote", { token: made.token, body: EXEC })).body;
  const mine = (await create()).body;
  for (const one of [id, mine.id]) router.opened(one);
  await until(id, "open");
  await hub.ask("DELETE", `/v1/tokens/${made.id}`);
  await expect.poll(async () => (await view(id)).reason, { timeout: 5000 }).toMatch(/cleo's token was revoked/);
  expect((await view(mine.id)).state).toBe("open");
  await hub.ask("POST", "/v1/boxes/north-1/revoke");
  await expect.poll(async () => (await view(mine.id)).reason, { timeout: 5000 }).toBe("box north-1 is revoked");
  expect(router.list()).toEqual([]);
});

test("it is said at once where a box cannot take a session, and where it is not there", async () => {
  await hub.enrol("south-1");
  expect(refusal(await asOperator("POST", "/v1/boxes/south-1/remote", EXEC))).toEqual([
    503,
    "box south-1 was never heard, so nobody knows its key: try again once it is online",
  ]);
  key = await hub.enrol("old-1");
  const body = { ...reportOf("old-1", "s", 1), capabilities: ["command:TouchSession"] };
  await hub.ask("POST", "/v1/boxes/old-1/report", { token: key, body });
  expect(refusal(await asOperator("POST", "/v1/boxes/old-1/remote", EXEC))).toEqual([
    409,
    "box old-1 runs sluice 1.0.0, which takes no remote sessions: upgrade its agent",
  ]);
  const older = { ...reportOf("old-1", "s", 2), capabilities: ["command:remote"] };
  await hub.ask("POST", "/v1/boxes/old-1/report", { token: key, body: older });
  expect(refusal(await asOperator("POST", "/v1/boxes/old-1/remote", EXEC))).toEqual([
    409,
    "box old-1 (sluice 1.0.0) has told no key by which its operators know it: upgrade its agent, or see its log",
  ]);
  expect((await asOperator("POST", "/v1/boxes/nort-1/remote", EXEC)).status).toBe(404);
});

test("lists tell the sessions that are not over and then those that are, in pages", async () => {
  const ids: string[] = [];
  for (let count = 0; count < 4; count++) {
    const { id } = (await create()).body;
    ids.push(id);
    if (count < 2) await asOperator("DELETE", `/v1/remote/${id}`);
  }
  const seen: string[] = [];
  for (let after = ""; ; ) {
    const { items, next } = (await asOperator("GET", `/v1/remote?limit=1${after}`)).body;
    seen.push(...items.map((item: { id: string; state: string }) => `${item.state} ${item.id}`));
    if (next === undefined) break;
    after = `&after=${encodeURIComponent(next)}`;
  }
  const [a = "", b = "", c = "", d = ""] = ids;
  expect(seen.slice(0, 2).sort()).toEqual([`waiting ${c}`, `waiting ${d}`].sort());
  expect(seen.slice(2).sort()).toEqual([`ended ${a}`, `ended ${b}`].sort());
  const ended = (await asOperator("GET", "/v1/remote?state=ended&box=north-1")).body.items;
  expect(ended.length).toBe(2);
});

test("a router of its own registers with a token that opens nothing else, tells what happens and hears what has ended", async () => {
  await hub.close();
  hub = await startTestHub({ remote: { enabled: true, ownRouter: true, ...LIMITS } });
  key = await hub.enrol("north-1");
  await report({});
  expect(refusal(await create())).toEqual([503, expect.stringContaining("there is no router")]);
  const token = (await hub.ask("POST", "/v1/tokens", { body: { name: "edge", role: "router" } })).body.token;
  const beat = (body: object, as = token) =>
    hub.ask("POST", "/v1/routers", {
      token: as,
      body: { id: "edge-1", url: "https://edge.example:8444", version: "sluice/1", ...body },
    });
  expect((await hub.ask("GET", "/v1/boxes", { token })).status).toBe(403);
  expect((await beat({}, hub.tokens.operator)).status).toBe(403);
  expect((await beat({})).body).toMatchObject({ beatSeconds: 2, keys: [{ kty: "OKP" }], ended: [] });
  const { id, router: address } = (await create()).body;
  expect(address).toEqual({ id: "edge-1", url: "https://edge.example:8444" });
  await beat({ changes: [{ id, what: "open", rendezvousMs: 3 }], sessions: [{ id, bytesToBox: 2, bytesFromBox: 3 }] });
  expect(await view(id)).toMatchObject({ state: "open", bytesFromBox: 3, router: "edge-1" });
  await asOperator("DELETE", `/v1/remote/${id}`);
  expect((await beat({})).body.ended).toEqual([{ id, message: "operator has ended it" }]);
  // A session that began and ended between two words of its router.
  const short = (await create()).body.id;
  const parted = { what: "parted", reason: "peer-done", message: "both closed it", bytesToBox: 1, bytesFromBox: 2 };
  const changes = [
    { id: short, what: "open", rendezvousMs: 1 },
    { id: short, ...parted },
  ];
  await beat({ changes });
  await beat({ changes });
  expect(await view(short)).toMatchObject({ state: "ended", reason: "both closed it", bytesToBox: 1, bytesFromBox: 2 });
  const json = { headers: { accept: "application/json" } };
  const told = (await hub.ask("GET", "/v1/events?recent=true", json)).body.items
    .filter(({ data }: { data?: { id?: string } }) => data?.id === short)
    .map(({ kind }: { kind: string }) => kind);
  expect(told).toEqual(["remote.requested", "remote.open", "remote.ended"]);
  // Another token takes nobody's place.
  const thief = (await hub.ask("POST", "/v1/tokens", { body: { name: "thief", role: "router" } })).body.token;
  expect((await beat({}, thief)).status).toBe(409);
  await beat({ draining: true });
  expect((await create()).status).toBe(503);
  expect((await hub.ask("GET", "/v1/routers")).body.items).toMatchObject([
    { id: "edge-1", state: "draining", isHub: false },
  ]);
});

test("HTTP/2 on the hub's port is the router's, and HTTP/1.1 goes on beside it", async () => {
  const { port } = new URL(hub.origin);
  const socket = connect(Number(port), "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.write("PR");
  await pause(20);
  socket.write("I * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  await expect.poll(() => router.served.length).toBe(1);
  expect(String(router.served[0]?.read())).toBe("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.destroy();
  expect((await hub.ask("GET", "/healthz", { token: null })).status).toBe(200);
});

test("who offers another protocol with a request is answered as if they had not, and a WebSocket where there is none is refused", async () => {
  const send = async (method: string, path: string, upgrade: string, body = "") => {
    const socket = connect(Number(new URL(hub.origin).port), "127.0.0.1");
    const head = `${method} ${path} HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer ${hub.tokens.operator}\r\n`;
    const asked = `connection: upgrade\r\nupgrade: ${upgrade}\r\ncontent-type: application/json\r\n`;
    socket.write(`${head}${asked}content-length: ${body.length}\r\n\r\n${body}`);
    const [first] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    return String(first).split(" ", 2)[1];
  };
  expect(await send("GET", "/healthz", "h2c")).toBe("200");
  expect(await send("POST", "/v1/boxes/north-1/remote", "h2c", JSON.stringify(EXEC))).toBe("201");
  expect(await send("GET", "/healthz", "websocket")).toBe("200");
  expect(await send("GET", "/v1/nothing", "websocket")).toBe("404");
  expect(await send("GET", "/v1/remote/terminal", "h2c")).toBe("400");
});

test("sessions that nobody has joined yet count at the router they were sent to, whatever it says meanwhile", async () => {
  await hub.close();
  hub = await startTestHub({ remote: { enabled: true, ownRouter: false, ...LIMITS, perUser: 9, total: 9 } });
  key = await hub.enrol("north-1");
  await report({});
  const token = (await hub.ask("POST", "/v1/tokens", { body: { name: "edge", role: "router" } })).body.token;
  const beats = async () => {
    for (const id of ["edge-1", "edge-2"]) {
      const body = { id, url: `https://${id}.example:8444`, version: "sluice/1" };
      expect((await hub.ask("POST", "/v1/routers", { token, body })).status).toBe(200);
    }
  };
  const sent = [];
  for (let round = 0; round < 2; round++) {
    await beats();
    sent.push((await create()).body.router.id);
  }
  expect(sent.toSorted()).toEqual(["edge-1", "edge-2"]);
});

test("metrics tell sessions by state and what the router says", async () => {
  const { id } = (await create()).body;
  router.opened(id);
  await until(id, "open");
  const { text } = await hub.ask("GET", "/metrics");
  expect(text).toContain('sluice_hub_remote_sessions{state="open"} 1');
  expect(text).toContain('sluice_hub_remote_admissions_total{outcome="admitted"} 1');
  expect(text).toContain("fake_router 1");
});
