import { resolve } from "node:path";
import { expect, test } from "vitest";
import type { WorkloadStatus } from "../src/contract/local-status.ts";
import type { SessionRunSpec } from "../src/contract/session-spec.ts";
import type { SessionWorkload } from "../src/contract/workload.ts";
import { type AgentWorld, type AgentWorldOptions, createAgentWorld } from "./agent-world.ts";

const PROGRAM = resolve(import.meta.dirname, "programs/session-app.ts");
const PORT = { port: 80, name: "web", scheme: "http" } as const;

interface SessionWish extends Partial<Omit<SessionWorkload, "kind" | "spec">>, Partial<SessionRunSpec> {
  /** What the program does by itself. */
  readonly does?: string;
  readonly hasPort?: boolean;
}

function session({ id = "app", power, resources, does, hasPort = true, ...spec }: SessionWish = {}): SessionWorkload {
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

const options = (...agentArguments: string[]): AgentWorldOptions => ({
  agentArguments: [
    "--policy-session-commands",
    process.execPath,
    "--sessions-idle-grace-seconds",
    "0",
    ...agentArguments,
  ],
  server: { rtmpPort: undefined },
});

async function untilState(world: AgentWorld, state: WorkloadStatus["state"], id = "app"): Promise<WorkloadStatus> {
  return world.until(async () => {
    const found = await world.workload(id);
    return found?.state === state ? found : undefined;
  }, `${id} is ${state}`);
}

const urlOf = ({ session: told }: WorkloadStatus) => told?.endpoints?.[0]?.url ?? "";
const say = async (url: string) => (await fetch(url)).text();

test("a session starts where its port is told, writes, and is gone with its files when it is stopped", async () => {
  await using world = await createAgentWorld(options());
  await world.startAgent();
  world.server.putStreams(session());
  const running = await untilState(world, "running");
  expect(await say(`${urlOf(running)}/env?name=SESSION_ID`)).toBe("app");
  world.server.set.remove(["app"]);
  await world.until(() => world.workloadPids().length === 0, "app is stopped");
});
