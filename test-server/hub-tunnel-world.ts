import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError, messageOf } from "../src/base/errors.ts";
import { enrolmentCreatedSchema } from "../src/contract/fleet/token.ts";
import { type TunnelCreate, type TunnelView, tunnelViewSchema } from "../src/contract/fleet/tunnel.ts";
import { type AgentWorld, createAgentWorld } from "./agent-world.ts";
import { freePortRange } from "./free-port.ts";
import { type HubProcess, startHubProcess } from "./hub-process.ts";
import { runSluice } from "./sluice-command.ts";
import { openEcho, startEcho } from "./tunnel-pair.ts";

/** A real hub, two real boxes that are its own, and a source beside the one; tunnels between them are the test's. */
export interface HubTunnelWorld extends AsyncDisposable {
  readonly producer: AgentWorld;
  readonly consumer: AgentWorld;
  /** Of the source, which gives back what it gets. */
  readonly sourcePort: number;
  hub(): HubProcess;
  /** The hub is killed, and another goes on with its state at its address. `between` happens while there is none. */
  replaceHub(between?: () => Promise<void>): Promise<void>;
  /** Runs `sluice ARGS` as the hub's admin. Rejects with what it printed when it fails. */
  sluice(...args: readonly string[]): Promise<string>;
  wish(given?: Partial<TunnelCreate>): TunnelCreate;
  create(given?: Partial<TunnelCreate>): Promise<TunnelView>;
  /** `undefined` when there is none. */
  view(uid: string): Promise<TunnelView | undefined>;
  until(
    uid: string,
    fits: (tunnel: TunnelView | undefined) => boolean,
    what: string,
    timeoutMs?: number,
  ): Promise<void>;
  /** Opens a connection to the first entry point. */
  open(tunnel: TunnelView): ReturnType<typeof openEcho>;
}

/** Hubs that are the test's own. */
export interface GivenHubs {
  /** One that is there. */
  readonly current: () => HubProcess;
  /** Where boxes find whichever is there. */
  readonly address: string;
}

// Below the hub's limit of 50 requests a second, with room for what a test asks beside.
const LOOK_MS = 25;

/** With a hub of its own unless some are given. */
export async function createHubTunnelWorld(given?: GivenHubs): Promise<HubTunnelWorld> {
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), "sluice-hub-"));
  stack.defer(() => rm(dataDir, { recursive: true, force: true, maxRetries: 5 }));
  let own = given === undefined ? await startHubProcess({ dataDir }) : undefined;
  stack.defer(() => own?.[Symbol.asyncDispose]());
  const hub = () => {
    const found = own ?? given?.current();
    if (found === undefined) throw new AppError("internal", "this world has no hub");
    return found;
  };
  const address = given?.address ?? hub().origin;
  const source = await startEcho();
  stack.defer(() => source.close());
  // Both boxes are this machine: their ranges must not meet.
  const base = await freePortRange(90);
  const world = async (from: number) => {
    const flags = ["--tunnels-address", "127.0.0.1", "--tunnels-ports", `${from}-${from + 39}`];
    const box = stack.use(await createAgentWorld({ goesToHub: true, agentArguments: flags, server: { rtmpPort: 0 } }));
    const made = enrolmentCreatedSchema.parse(await hub().call("POST", "/v1/enrolments", { approve: true }));
    await box.startAgent();
    await told(await runSluice(box, ["enrol", made.token ?? "", "--hub", address]));
    await box.killAgent("SIGTERM");
    await box.startAgent();
    return box;
  };
  const producer = await world(base);
  const consumer = await world(base + 50);
  const tokenFile = join(producer.stateDir, "admin.token");
  await writeFile(tokenFile, `${hub().adminToken}\n`, { mode: 0o600 });
  const sluice = async (...args: readonly string[]) => told(await runSluice(producer, args));
  await sluice("login", address, "--token-file", tokenFile, "--name", "here");

  const view = async (uid: string) => {
    try {
      return tunnelViewSchema.parse(await hub().call("GET", `/v1/tunnels/${uid}`));
    } catch (thrown) {
      if (messageOf(thrown).includes(": 404 ")) return undefined;
      throw thrown;
    }
  };
  const wish: HubTunnelWorld["wish"] = (given = {}) => ({
    producer: producer.boxId,
    consumer: consumer.boxId,
    sources: [{ host: "127.0.0.1", port: source.port }],
    ...given,
  });
  const until: HubTunnelWorld["until"] = async (uid, fits, what, timeoutMs = 20_000) => {
    const endMs = systemClock.monotonicMs() + timeoutMs;
    let last = "";
    while (systemClock.monotonicMs() < endMs) {
      try {
        const tunnel = await view(uid);
        if (fits(tunnel)) return;
        last = tunnel === undefined ? "it is gone" : `${tunnel.phase}: ${tunnel.reason}`;
      } catch (thrown) {
        last = messageOf(thrown);
      }
      await systemClock.delay(LOOK_MS);
    }
    throw new AppError("timeout", `not within ${timeoutMs} ms: ${what}; last: ${last}\n${hub().output().slice(-2000)}`);
  };
  for (const { boxId } of [producer, consumer]) {
    await untilKnown(boxId, () => hub().call("GET", `/v1/boxes/${boxId}`));
  }
  const life = stack.move();
  return {
    producer,
    consumer,
    sourcePort: source.port,
    hub,
    replaceHub: async (between) => {
      if (own === undefined) throw new AppError("conflict", "these hubs are the test's own");
      const { port, adminToken } = own;
      await own.kill();
      await between?.();
      own = await startHubProcess({ dataDir, port, adminToken });
    },
    sluice,
    wish,
    create: async (given) => tunnelViewSchema.parse(await hub().call("POST", "/v1/tunnels", wish(given))),
    view,
    until,
    open: ({ ways }) => openEcho(Number(ways[0]?.entry.split(":").at(-1))),
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}

async function told({ code, text }: { readonly code: number | null; readonly text: string }): Promise<string> {
  if (code !== 0) throw new AppError("unavailable", `sluice ended with ${code}: ${text}`);
  return text;
}

async function untilKnown(boxId: string, ask: () => Promise<unknown>): Promise<void> {
  const endMs = systemClock.monotonicMs() + 20_000;
  for (;;) {
    const box = await ask();
    if (typeof box === "object" && box !== null && "connection" in box && box.connection === "online") return;
    if (systemClock.monotonicMs() > endMs) throw new AppError("timeout", `${boxId} does not come to the hub`);
    await systemClock.delay(LOOK_MS);
  }
}
