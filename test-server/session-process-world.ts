import { connect, type Socket } from "node:net";
import { resolve } from "node:path";
import { createLocalAgent } from "../src/client/local-agent.ts";
import type { SessionRunSpec } from "../src/contract/session-spec.ts";
import type { SessionWorkload } from "../src/contract/workload.ts";
import { type AgentWorld, type AgentWorldOptions, createAgentWorld } from "./agent-world.ts";

const PROGRAM = resolve(import.meta.dirname, "programs/session-app.ts");
const PORT = { port: 80, name: "web", scheme: "http" } as const;
const PORTS_OF_A_WORLD = 20;
const WORLDS_OF_A_WORKER = 12;

let worlds = 0;
/** Each world on this machine has ports of its own: two agents would find the same one free, and give it to a session each. */
function ownPorts(): string {
  const worker = Number(process.env["VITEST_POOL_ID"] ?? 0) % 4;
  const from = 21_000 + (worker * WORLDS_OF_A_WORKER + (worlds++ % WORLDS_OF_A_WORKER)) * PORTS_OF_A_WORLD;
  return `${from}-${from + PORTS_OF_A_WORLD - 1}`;
}

export interface SessionWish extends Partial<Omit<SessionWorkload, "kind" | "spec">>, Partial<SessionRunSpec> {
  /** What the program does by itself. */
  readonly does?: string;
  /** False: it listens nowhere. */
  readonly hasPort?: boolean;
}

/** The test program as a session of the platform `process`. */
export function sessionOf({
  id = "app",
  power,
  resources,
  does,
  hasPort = true,
  ...spec
}: SessionWish): SessionWorkload {
  return {
    kind: "session",
    id,
    ...(power === undefined ? {} : { power }),
    ...(resources === undefined ? {} : { resources }),
    spec: {
      user: "anna",
      template: {
        command: [process.execPath, "--no-warnings", PROGRAM],
        ...(hasPort ? { ports: [PORT] } : {}),
        ...(does === undefined ? {} : { env: { DO: does } }),
      },
      ...spec,
    },
  };
}

/** A real agent with sessions that run as plain processes. */
export interface SessionWorld extends AgentWorld {
  /** What the program answers at its first endpoint. */
  ask(id: string, path: string): Promise<string>;
  /** A connection that stays open. */
  hold(id: string): Promise<Socket>;
  touch(id: string): Promise<void>;
}

export async function createSessionWorld(
  agentArguments: readonly string[] = [],
  given: Partial<AgentWorldOptions> = {},
): Promise<SessionWorld> {
  const policy = ["--policy-session-commands", process.execPath, "--sessions-idle-grace-seconds", "0"];
  const ports = ["--sessions-ports", ownPorts()];
  const world = await createAgentWorld({
    ...given,
    agentArguments: [...policy, ...ports, ...agentArguments],
    server: { rtmpPort: undefined, ...given.server },
  });
  const local = createLocalAgent({ socketPath: `${world.stateDir}/agent.sock` });
  const endpointOf = async (id: string) => {
    const [endpoint] = (await world.workload(id))?.session?.endpoints ?? [];
    if (endpoint === undefined) throw new RangeError(`${id} has no endpoint`);
    return endpoint;
  };
  return {
    ...world,
    ask: async (id, path) => (await fetch(`${(await endpointOf(id)).url}${path}`)).text(),
    hold: async (id) => {
      const { address, hostPort } = await endpointOf(id);
      return new Promise((done, fail) => {
        const socket = connect({ host: address, port: hostPort });
        socket.once("error", fail);
        socket.once("connect", () => done(socket));
      });
    },
    touch: (id) => local.touch(id, AbortSignal.timeout(10_000)),
  };
}
