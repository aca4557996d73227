import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { createMemoryLog, type MemoryLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import type { HubOptions } from "../config/hub-options.ts";
import { createAuthenticator } from "./auth/authenticator.ts";
import type { Route } from "./http/route.ts";
import { type CreateRouter, createParts, runHub, type StartedHub } from "./hub.ts";
import { testHubContext } from "./hub-context.fake.ts";
import { createMemoryStore } from "./store/memory/memory-store.ts";

/** A whole hub over real HTTP on a free port, for tests. */
export interface TestHub extends AsyncDisposable {
  readonly origin: string;
  readonly tokens: Readonly<Record<"admin" | "operator" | "viewer", string>>;
  readonly log: MemoryLog;
  readonly dataDir: string;
  readonly options: HubOptions;
  ask(method: string, path: string, asked?: Asked): Promise<Answer>;
  /** Enrols a box through the API and gives its key. */
  enrol(
    boxId: string,
    given?: { readonly labels?: Record<string, string>; readonly approve?: boolean },
  ): Promise<string>;
  /** Resolves when the hub has ended. */
  close(): Promise<void>;
}

export interface Asked {
  /** Left out: the admin's. `undefined` in `headers` terms: pass `null` for none. */
  readonly token?: string | null;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON, where it is. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of many forms
  readonly body: any;
}

const HIGH = { operatorPerSecond: 100_000, boxPerSecond: 100_000, workerPerSecond: 100_000, addressPerSecond: 100_000 };

export function testHubOptions(dataDir: string, wish: Partial<HubOptions> = {}): HubOptions {
  return {
    server: { host: "127.0.0.1", port: 0, publicUrl: undefined, ownUrl: undefined, trustedProxies: [], drainMs: 1000 },
    tls: { mode: "off", certFile: undefined, keyFile: undefined, names: [] },
    store: { kind: "memory" },
    enrolment: { approval: "automatic" },
    limits: HIGH,
    files: { dataDir },
    log: { level: "debug" },
    ...wish,
  };
}

export interface TestHubWish extends Partial<HubOptions> {
  readonly admin?: string;
  readonly createRouter?: CreateRouter;
}

export async function startTestHub(wish: TestHubWish = {}): Promise<TestHub> {
  const { admin: knownAdmin, createRouter, ...given } = wish;
  const ownDir = given.files === undefined ? await mkdtemp(join(tmpdir(), "sluice-hub-")) : undefined;
  const dataDir = given.files?.dataDir ?? ownDir ?? "";
  const stop = new AbortController();
  const log = createMemoryLog();
  const { promise: started, resolve: announce, reject } = Promise.withResolvers<StartedHub>();
  const options = testHubOptions(dataDir, given);
  const ended = runHub(
    options,
    {
      clock: systemClock,
      random: systemRandom,
      log,
      runProgram: () => Promise.reject(new Error("this hub runs no programs")),
      newId: () => randomUUID(),
      newSecret: () => randomBytes(32).toString("base64url"),
      version: "0.0.0",
      hostname: "hub",
      pages: [],
      announce,
      createRouter,
    },
    stop.signal,
  );
  ended.catch(reject);
  const { port, adminToken } = await started;
  const origin = `http://127.0.0.1:${port}`;
  const admin = adminToken ?? knownAdmin ?? "";

  const ask = async (method: string, path: string, { token = admin, body, headers }: Asked = {}): Promise<Answer> => {
    const response = await fetch(`${origin}${path}`, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(20_000),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: jsonOf(text) };
  };

  const tokenOf = async (role: string): Promise<string> =>
    (await ask("POST", "/v1/tokens", { body: { name: role, role } })).body.token;
  const tokens = { admin, operator: await tokenOf("operator"), viewer: await tokenOf("viewer") };

  const enrol: TestHub["enrol"] = async (boxId, { labels = {}, approve = true } = {}) => {
    const made = await ask("POST", "/v1/enrolments", { body: { approve } });
    const { token } = JSON.parse(Buffer.from(made.body.token.slice("sluice1.".length), "base64url").toString());
    const key = randomBytes(32).toString("base64url");
    const body = { token, boxId, keyHash: sha256(key), labels };
    const answer = await ask("POST", "/v1/enrol", { token: null, body });
    if (answer.status !== 200) throw new Error(answer.text);
    return key;
  };
  const close = async () => {
    stop.abort();
    await ended.catch(() => undefined);
    if (ownDir !== undefined) await rm(ownDir, { recursive: true, force: true });
  };
  return { origin, tokens, log, dataDir, options, ask, enrol, close, [Symbol.asyncDispose]: close };
}

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** The routes that a hub serves, without a hub. */
export function hubRoutes(): readonly Route[] {
  const newId = () => randomUUID();
  const store = createMemoryStore({ newId });
  const context = testHubContext({ store, clock: systemClock, life: new AbortController().signal });
  const options = { enrolment: { approval: "automatic" }, store: { kind: "memory" }, files: { dataDir: "" } } as const;
  const authenticator = createAuthenticator(context);
  const hub = () => ({ url: "http://hub", caSha256: undefined });
  return createParts(options, { context, hub, authenticator }).routes;
}

export function streamBody(id: string, spec: Record<string, unknown> = {}) {
  return {
    kind: "stream",
    id,
    spec: { input: { url: `rtsp://cam/${id}` }, outputs: [{ url: `rtmp://ingest/live/${id}` }], ...spec },
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
