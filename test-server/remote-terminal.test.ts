import { once } from "node:events";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import type { TerminalTold } from "../src/contract/fleet/remote-terminal.ts";
import type { RemoteOffer } from "../src/contract/remote/offer.ts";
import { judgeTicket } from "../src/holder/judge-ticket.ts";
import { openEvents } from "../src/hub/box-client.fake.ts";
import type { CreateRouter } from "../src/hub/hub.ts";
import { startTestHub, type TestHub } from "../src/hub/hub-world.fake.ts";
import { reportOf } from "../src/hub/store/store.fake.ts";
import type { Channel } from "../src/remote/channel.ts";
import { newKeyPair } from "../src/remote/proof-hub.fake.ts";
import { awaitProof } from "../src/remote/proven-carrier.ts";
import { createWindowLedger } from "../src/remote/receive-window.ts";
import { createRemoteSession, type RemoteSession } from "../src/remote/remote-session.ts";
import { createRouterDialler, type RouterDialler } from "../src/remote/router-dialler.ts";
import { createRouter, ROUTER_DEFAULTS } from "../src/router/router-server.ts";

/** The box's end with a shell of this test's own: the hub, its router and the links between are real. */
interface ShellBox extends Disposable {
  readonly shell: Promise<Channel>;
  readonly asked: RemoteOffer[];
  /** Breaks what it has open to the router. */
  cut(): void;
}

const realRouter: CreateRouter = ({ id, sessions }, deps) =>
  createRouter({ ...ROUTER_DEFAULTS, id, hasLanes: false, limits: { sessions, sessionsPerOperator: sessions } }, deps);

const REMOTE = {
  enabled: true,
  ownRouter: true,
  perUser: 4,
  total: 8,
  idleSeconds: 1800,
  maxSeconds: 3600,
  resumeSeconds: 60,
};

let hub: TestHub;
let key = "";
let pages: WebSocket[] = [];
const boxKey = newKeyPair();

beforeEach(async () => {
  hub = await startTestHub({ createRouter: realRouter, remote: { ...REMOTE, recordings: "asked" } });
  key = await hub.enrol("north-1");
  const body = { ...reportOf("north-1", "s", 1), capabilities: ["command:remote"], remoteKey: boxKey.key };
  await hub.ask("POST", "/v1/boxes/north-1/report", { token: key, body });
});
afterEach(async () => {
  for (const page of pages) page.terminate();
  pages = [];
  await hub.close();
});

async function startBox(): Promise<ShellBox> {
  const events = await openEvents(`${hub.origin}/v1/boxes/north-1/events`, { token: key });
  const shell = Promise.withResolvers<Channel>();
  const sessions = new Map<string, RemoteSession>();
  const asked: RemoteOffer[] = [];
  let dialler = newDialler();
  const stop = new AbortController();
  const take = async (offer: RemoteOffer) => {
    asked.push(offer);
    const known = sessions.get(offer.session);
    const session =
      known ??
      createRemoteSession(
        { side: "box", program: "box" },
        { clock: systemClock, newId: () => offer.session, ledger: createWindowLedger() },
      );
    if (known === undefined) session.onChannel((channel) => shell.resolve(channel));
    sessions.set(offer.session, session);
    const { router, ticket } = offer;
    const target = { router, ticket, traffic: "interactive", isSealed: true } as const;
    const joined = await dialler.join(target, {}, stop.signal);
    // As a holder does: nothing before the hub, which is the operator's end, has proved itself.
    const { proof, attempt } = offer;
    if (proof === undefined) throw new AppError("internal", "the offer has no proof");
    const facts = { session: offer.session, box: "north-1", attempt, isSealed: proof.seal, boxKey: boxKey.privateKey };
    const expected = { offer, proof, box: "north-1", nowSeconds: proof.issuedAt, spent: new Set<string>() };
    const judge = (ticket: string) => judgeTicket(ticket, expected).operatorKey;
    await session.carry(await awaitProof(joined, facts, judge, { clock: systemClock }, stop.signal));
  };
  void (async () => {
    for (let from = 0; !stop.signal.aborted; from++) {
      const event = await events.until(({ name }) => name === "command", { from, timeoutMs: 60_000 });
      from = events.events.indexOf(event);
      take((event.data as { args: RemoteOffer }).args).catch(() => undefined);
    }
  })().catch(() => undefined);
  return {
    shell: shell.promise,
    asked,
    cut: () => {
      dialler.close();
      dialler = newDialler();
    },
    [Symbol.dispose]: () => {
      stop.abort();
      dialler.close();
      events.close();
    },
  };
}

function newDialler(): RouterDialler {
  return createRouterDialler({ client: "box" }, { clock: systemClock, authorities: () => [] });
}

interface Page {
  readonly socket: WebSocket;
  readonly told: TerminalTold[];
  readonly text: () => string;
  readonly closed: Promise<number>;
  say(message: object): void;
  until<Type extends TerminalTold["type"]>(type: Type): Promise<Extract<TerminalTold, { type: Type }>>;
}

const OPEN = { type: "open", box: "north-1", cols: 80, rows: 24 } as const;

async function openPage(
  ask: object,
  { token = hub.tokens.operator, origin }: { readonly token?: string | undefined; readonly origin?: string } = {},
): Promise<Page> {
  const protocols = ["sluice.terminal.v1", ...(token === "" ? [] : [`bearer.${token}`])];
  const url = `${hub.origin.replace("http", "ws")}/v1/remote/terminal`;
  const socket = new WebSocket(url, protocols, origin === undefined ? {} : { origin });
  pages.push(socket);
  // A hub that is killed resets it.
  socket.on("error", () => undefined);
  const told: TerminalTold[] = [];
  const shown: Buffer[] = [];
  socket.on("message", (data: Buffer, isBinary) => {
    if (isBinary) shown.push(data);
    else told.push(JSON.parse(String(data)) as TerminalTold);
  });
  const closed = new Promise<number>((resolve) => socket.once("close", resolve));
  await once(socket, "open");
  const say = (message: object) => socket.send(JSON.stringify(message));
  say(ask);
  return {
    socket,
    told,
    text: () => Buffer.concat(shown).toString(),
    closed,
    say,
    until: (type) =>
      expect
        .poll(() => told.find((message) => message.type === type), { timeout: 20_000, interval: 20 })
        .toBeDefined()
        .then(() => told.find((message) => message.type === type) as never),
  };
}

const sessions = async () => (await hub.ask("GET", "/v1/remote")).body.items;

test("a page has a shell: bytes both ways, resizes, the exit with all its output, and a recording without what was typed", async () => {
  using box = await startBox();
  const page = await openPage({ ...OPEN, cwd: "/srv", record: true });
  const { session, isRecorded } = await page.until("ready");
  expect(isRecorded).toBe(true);
  const shell = await box.shell;
  expect(box.asked[0]?.operation).toEqual({ kind: "shell", pty: true, cwd: "/srv" });
  const sizes: string[] = [];
  shell.on({ onResize: ({ cols, rows }) => void sizes.push(`${cols}x${rows}`) });
  shell.accept({ pid: 7 });
  shell.writable("out").write("$ ");
  page.socket.send(Buffer.from("type-me\n"));
  const [typed] = (await once(shell.readable("in"), "data")) as [Buffer];
  expect(String(typed)).toBe("type-me\n");
  expect(await page.until("ack")).toMatchObject({ received: 8 });
  page.say({ type: "resize", cols: 100, rows: 30 });
  await expect.poll(() => sizes).toContain("100x30");
  shell.writable("out").end("grüße ✓\r\n");
  shell.writable("err").end();
  const { total, sha256 } = await digestOf(shell);
  const err = shell.digest("err");
  shell.exit({
    how: { kind: "code", code: 3 },
    coreDumped: false,
    killedBy: undefined,
    out: { total, sha256 },
    err,
    outputOpenAfterExit: false,
    wallMs: 5,
  });
  expect(await page.until("exit")).toEqual({ type: "exit", code: 3, verified: true });
  expect(page.text()).toBe("$ grüße ✓\r\n");
  page.say({ type: "ack", received: total });
  expect(await page.closed).toBe(1000);
  await expect.poll(async () => (await sessions())[0].state, { timeout: 10_000 }).toBe("ended");

  const listFor = async (token: string) => (await hub.ask("GET", "/v1/remote/recordings", { token })).body;
  const items = [{ id: session, box: "north-1", operator: "operator" }];
  expect(await listFor(hub.tokens.operator)).toMatchObject({ items, mode: "asked" });
  expect(await listFor(hub.tokens.admin)).toMatchObject({ items });
  const other = (await hub.ask("POST", "/v1/tokens", { body: { name: "operator", role: "operator" } })).body.token;
  expect(await listFor(other)).toMatchObject({ items: [] });
  expect((await hub.ask("GET", `/v1/remote/recordings/${session}`, { token: other })).status).toBe(404);
  const { text } = await hub.ask("GET", `/v1/remote/recordings/${session}`, { token: hub.tokens.operator });
  const [head, ...lines] = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(head).toMatchObject({ version: 2, width: 80, height: 24, title: "operator on north-1" });
  const output = lines.filter(([, kind]) => kind === "o").map(([, , data]) => data);
  expect(output.join("")).toBe("$ grüße ✓\r\n");
  expect(text).not.toContain("type-me");
});

test("what a page says together with its first message is not lost, and a box that was never heard is told of", async () => {
  using box = await startBox();
  const page = await openPage(OPEN);
  page.socket.send(Buffer.from("early\n"));
  const { isRecorded } = await page.until("ready");
  expect(isRecorded).toBe(false);
  const shell = await box.shell;
  shell.accept();
  const [typed] = (await once(shell.readable("in"), "data")) as [Buffer];
  expect(String(typed)).toBe("early\n");

  await hub.enrol("south-1");
  const waiting = await openPage({ ...OPEN, box: "south-1" });
  expect(await waiting.until("error")).toMatchObject({ message: expect.stringContaining("was never heard") });
});

test("a page that was away has everything once, and so has a box whose link broke", async () => {
  using box = await startBox();
  const page = await openPage(OPEN);
  const { id } = await page.until("ready");
  const shell = await box.shell;
  shell.accept();
  shell.writable("out").write("one ");
  await expect.poll(page.text).toBe("one ");
  page.socket.terminate();
  await page.closed;
  shell.writable("out").write("two ");
  box.cut();
  shell.writable("out").write("three");
  const back = await openPage({ type: "resume", id, received: 4, cols: 80, rows: 24 });
  await back.until("ready");
  await expect.poll(back.text, { timeout: 20_000 }).toBe("two three");
  expect(box.asked.length).toBeGreaterThan(1);
  // Loaded anew it has nothing, and is shown what it had; a program that fills the screen is made to draw it again.
  const sizes: string[] = [];
  shell.on({ onResize: ({ cols, rows }) => sizes.push(`${cols}x${rows}`) });
  const anew = await openPage({ type: "resume", id, cols: 80, rows: 24 });
  expect(await anew.until("ready")).toMatchObject({ start: 0, end: 13 });
  await expect.poll(anew.text, { timeout: 20_000 }).toBe("one two three");
  expect(await back.closed).toBe(4409);
  await expect.poll(() => sizes).toEqual(["80x23", "80x24"]);
  // Nobody else comes to it.
  const other = await openPage({ type: "resume", id, received: 0, cols: 80, rows: 24 }, { token: hub.tokens.admin });
  expect(await other.closed).toBe(4404);
  anew.say({ type: "end" });
  expect(await anew.closed).toBe(1000);
  await expect.poll(async () => (await sessions())[0].state, { timeout: 10_000 }).toBe("ended");
});

test("a page that does not acknowledge is not sent more than its window, and the box waits", async () => {
  using box = await startBox();
  const page = await openPage(OPEN);
  await page.until("ready");
  const shell = await box.shell;
  shell.accept();
  const out = shell.writable("out");
  const piece = Buffer.alloc(64 * 1024, "x");
  let isWaiting = false;
  for (let count = 0; count < 512 && !isWaiting; count++) {
    isWaiting = !out.write(piece) && (await Promise.race([once(out, "drain").then(() => false), pause(1000)]));
  }
  expect(isWaiting).toBe(true);
  expect(page.text().length).toBeLessThanOrEqual(512 * 1024);
  const before = page.text().length;
  page.say({ type: "ack", received: before });
  await expect.poll(() => page.text().length, { timeout: 10_000 }).toBeGreaterThan(before);
});

test("what may not have a shell is told so, in a close that names the status", async () => {
  const refused = async (ask: object, given: Parameters<typeof openPage>[1] = {}) => {
    const page = await openPage(ask, given);
    return [await page.closed, page.told.at(-1)];
  };
  expect((await refused(OPEN, { token: hub.tokens.viewer }))[0]).toBe(4403);
  expect((await refused(OPEN, { token: "" }))[0]).toBe(4401);
  expect((await refused(OPEN, { token: "slo_wrong" }))[0]).toBe(4401);
  expect((await refused({ ...OPEN, box: "nort-1" }))[0]).toBe(4404);
  expect((await refused({ ...OPEN, cols: 0 }))[0]).toBe(4400);
  // The token may come with the message.
  expect((await refused({ ...OPEN, token: hub.tokens.viewer }, { token: "" }))[0]).toBe(4403);
  await expect(openPage(OPEN, { origin: "https://elsewhere.example" })).rejects.toThrow(/403/);
  const plain = new WebSocket(`${hub.origin.replace("http", "ws")}/v1/remote/terminal`);
  await expect(once(plain, "open")).rejects.toThrow(/400/);
  const own = await openPage(OPEN, { origin: hub.origin });
  const text = "policy.remote: shell is not allowed on this box";
  await expect.poll(async () => (await sessions())[0]?.state).toBe("waiting");
  const [{ id }] = await sessions();
  const results = [{ id: `remote-${id}-1`, ok: false, text, finishedAt: "2026-01-15T10:30:45Z" }];
  const body = { ...reportOf("north-1", "s", 2), capabilities: ["command:remote"], commandResults: results };
  await hub.ask("POST", "/v1/boxes/north-1/report", { token: key, body });
  expect(await own.until("error")).toMatchObject({ message: text });
});

test("a hub that records nothing lets nobody believe that it does", async () => {
  await hub.close();
  hub = await startTestHub({ createRouter: realRouter, remote: REMOTE });
  await hub.enrol("north-1");
  const page = await openPage({ ...OPEN, record: true });
  expect(await page.closed).toBe(4403);
  expect(page.told.at(-1)).toMatchObject({ message: expect.stringContaining("remote.recordings") });
  expect(await sessions()).toEqual([]);
});

test("a shell ends within five seconds of its operator's right", async () => {
  using box = await startBox();
  const made = (await hub.ask("POST", "/v1/tokens", { body: { name: "cleo", role: "operator" } })).body;
  const page = await openPage(OPEN, { token: made.token });
  await page.until("ready");
  const shell = await box.shell;
  shell.accept();
  await hub.ask("DELETE", `/v1/tokens/${made.id}`);
  expect(await page.closed).toBe(4401);
  await expect.poll(async () => (await sessions())[0].state, { timeout: 5000 }).toBe("ended");
});

/** Once everything that was written has been taken. */
async function digestOf(shell: Channel) {
  await expect.poll(() => shell.digest("out").total).toBe(Buffer.byteLength("$ grüße ✓\r\n"));
  return shell.digest("out");
}

function pause(ms: number): Promise<true> {
  return systemClock.delay(ms).then(() => true);
}
