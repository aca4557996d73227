import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { createHttpFetch } from "../src/base/http-fetch.ts";
import { systemRandom } from "../src/base/random.ts";
import { openRemoteLink } from "../src/cli/remote/remote-link.ts";
import { createHubClient } from "../src/client/hub-client.ts";
import type { RemoteOffer } from "../src/contract/remote/offer.ts";
import { type EventClient, openEvents } from "../src/hub/box-client.fake.ts";
import { startTestHub, type TestHub } from "../src/hub/hub-world.fake.ts";
import { reportOf } from "../src/hub/store/store.fake.ts";
import { createWindowLedger } from "../src/remote/receive-window.ts";
import { createRemoteSession } from "../src/remote/remote-session.ts";
import { createRouterDialler, type RouterDialler } from "../src/remote/router-dialler.ts";
import { type Balancer, startBalancer } from "./balancer.ts";
import { MAIN_PROGRAM } from "./main-program.ts";

const LIMIT_MS = 90_000;
const WAIT = { timeout: 30_000, interval: 100 } as const;
const NEVER = new AbortController().signal;

let life: AsyncDisposableStack;
let hub: TestHub;
let balancer: Balancer;
let events: EventClient;
let diallers: RouterDialler[];
/** Ports of the routers, by their names. */
let ports: Map<string, number>;

beforeEach(async () => {
  life = new AsyncDisposableStack();
  diallers = [];
  ports = new Map();
  const limits = { perUser: 16, total: 512, idleSeconds: 1800, maxSeconds: 28_800, resumeSeconds: 300 };
  hub = await startTestHub({ remote: { enabled: true, ownRouter: false, ...limits } });
  life.defer(() => hub.close());
  balancer = life.use(await startBalancer({ servers: () => [...ports.values()] }));
  life.defer(() => {
    for (const dialler of diallers) dialler.close();
  });
  const key = await hub.enrol("north-1");
  const body = { ...reportOf("north-1", "s", 1), capabilities: ["command:remote"] };
  await hub.ask("POST", "/v1/boxes/north-1/report", { token: key, body });
  events = await openEvents(`${hub.origin}/v1/boxes/north-1/events`, { token: key });
  life.defer(() => events[Symbol.dispose]());
}, LIMIT_MS);
afterEach(() => life.disposeAsync());

/** `sluice router`, which all know by the balancer's address alone. */
async function startRouterProcess(id: string) {
  const directory = await mkdtemp(join(tmpdir(), "sluice-router-"));
  life.defer(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  const made = (await hub.ask("POST", "/v1/tokens", { body: { name: id, role: "router" } })).body;
  const tokenFile = join(directory, "token");
  await writeFile(tokenFile, made.secret ?? made.token, { mode: 0o600 });
  const flags = {
    id,
    "server-listen": "127.0.0.1:0",
    "server-public-url": `http://127.0.0.1:${balancer.port}`,
    "hub-url": hub.origin,
    "hub-token-file": tokenFile,
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn(process.execPath, ["--no-warnings", MAIN_PROGRAM, "router", ...args], {
    env: { PATH: process.env["PATH"], HOME: directory },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const kill = async () => {
    child.kill("SIGKILL");
    await gone;
  };
  life.defer(kill);
  let said = "";
  for (const output of [child.stdout, child.stderr]) output.on("data", (text: Buffer) => (said += text.toString()));
  const port = await vi.waitFor(() => {
    const [, found] = /^Router: port (\d+)$/m.exec(said) ?? [];
    expect(found, said).toBeDefined();
    return Number(found);
  }, WAIT);
  ports.set(id, port);
  return { kill };
}

function newDialler(): RouterDialler {
  const dialler = createRouterDialler({ client: "test/1" }, { clock: systemClock, authorities: () => [] });
  diallers.push(dialler);
  return dialler;
}

function newSession(side: "operator" | "box") {
  const id = `${side}-${Math.floor(systemRandom() * 1e9)}`;
  const session = createRemoteSession(
    { side, program: "test/1" },
    { clock: systemClock, newId: () => id, ledger: createWindowLedger() },
  );
  life.defer(() => session.close());
  return session;
}

/** The box joins whatever it is offered, and echoes. */
function answerOffers(): void {
  const dialler = newDialler();
  const sessions = new Map<string, ReturnType<typeof newSession>>();
  const taken = new Set<string>();
  const take = async ({ session: id, router, ticket }: RemoteOffer) => {
    const session = sessions.get(id) ?? newSession("box");
    if (!sessions.has(id)) {
      session.onChannel((channel) => {
        channel.accept();
        channel.readable("in").pipe(channel.writable("out"));
      });
    }
    sessions.set(id, session);
    const carrier = await dialler.join({ router, ticket, lane: "bulk" }, {}, NEVER).catch(() => undefined);
    if (carrier !== undefined) await session.carry(carrier).catch(() => undefined);
  };
  void (async () => {
    for (;;) {
      const event = await events.until(
        ({ name, data }) => {
          const { id } = data as { id?: string };
          return name === "command" && id !== undefined && !taken.has(id);
        },
        { timeoutMs: LIMIT_MS },
      );
      const { id, args } = event.data as { id: string; args: RemoteOffer };
      taken.add(id);
      void take(args);
    }
  })().catch(() => undefined);
}

async function open() {
  const client = createHubClient(
    { hub: hub.origin, token: hub.tokens.operator },
    { fetch: createHttpFetch({}), clock: systemClock, random: systemRandom },
  );
  const silent = () => undefined;
  return openRemoteLink(
    {
      box: "north-1",
      create: { operation: { kind: "forward", targets: [{ protocol: "tcp", host: "localhost", from: 80, to: 80 }] } },
      lane: "bulk",
    },
    {
      ...{ hub: client.remote, dialler: newDialler(), session: newSession("operator") },
      ...{ clock: systemClock, random: systemRandom, tell: silent, hint: silent },
    },
    NEVER,
  );
}

/** What goes in comes back. */
async function echoes({ session }: Awaited<ReturnType<typeof open>>, text: string): Promise<void> {
  const channel = session.open({ kind: "dial", host: "localhost", port: 80 });
  await channel.opened;
  channel.writable("in").end(text);
  let back = "";
  for await (const bytes of channel.readable("out")) back += String(bytes);
  expect(back).toBe(text);
}

const routerOf = async (id: string): Promise<string> =>
  (await hub.ask("GET", `/v1/remote/${id}`, { token: hub.tokens.operator })).body.router;

test(
  "both ends meet through a balancer that knows nothing of them; one router dies, and the sessions of the other do not notice",
  async () => {
    const routers = new Map([
      ["router-1", await startRouterProcess("router-1")],
      ["router-2", await startRouterProcess("router-2")],
    ]);
    await vi.waitFor(async () => expect((await hub.ask("GET", "/v1/routers")).body.items).toHaveLength(2), WAIT);
    answerOffers();
    const links = [await open()];
    // The hub counts sessions by what routers tell of them: until one is sent to each.
    const places = new Set([await routerOf(links[0]?.id ?? "")]);
    while (places.size < 2 && links.length < 12) {
      const link = await open();
      links.push(link);
      places.add(await routerOf(link.id));
      await systemClock.delay(300);
    }
    expect([...places].sort()).toEqual(["router-1", "router-2"]);
    for (const [index, link] of links.entries()) await echoes(link, `hello ${index}`);

    const [first] = links;
    const survivor = await routerOf(first?.id ?? "");
    const dead = survivor === "router-1" ? "router-2" : "router-1";
    await routers.get(dead)?.kill();
    // The hub takes it for live for 10 s, and with the fewest sessions.
    const fresh = await Promise.all([open(), open(), open()]);
    for (const link of fresh) {
      expect(await routerOf(link.id)).toBe(survivor);
      await echoes(link, "still there");
    }
    if (first !== undefined) await echoes(first, "never gone");
    expect((await hub.ask("GET", `/v1/remote/${first?.id}`, { token: hub.tokens.operator })).body.attempt).toBe(1);
  },
  LIMIT_MS,
);
