import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../src/base/errors.ts";
import { enrolmentCreatedSchema } from "../src/contract/fleet/token.ts";
import { type AgentWorld, type AgentWorldOptions, createAgentWorld } from "./agent-world.ts";
import { type HubProcess, type HubProcessOptions, startHubProcess } from "./hub-process.ts";
import { type Relay, startRelay } from "./relay.ts";
import { runSluice } from "./sluice-command.ts";

export interface HubWorldOptions {
  readonly hub?: HubProcessOptions;
  readonly world?: Omit<AgentWorldOptions, "goesToHub">;
}

/** A hub, a box that goes to it through a relay, and the test server's receiver: each a real process, but for the relay. */
export interface HubWorld extends AsyncDisposable {
  readonly hub: HubProcess;
  readonly world: AgentWorld;
  /** The box's way to the hub. */
  readonly relay: Relay;
  /** Enrols the box as a person on it would, with a token of the hub. */
  enrol(): Promise<void>;
  /** Runs `sluice ARGS` as the hub's admin. Rejects with what it printed when it fails. */
  sluice(...args: readonly string[]): Promise<string>;
  /** Where a browser can watch what the receiver gets under this key. */
  pictureUrl(key: string): string;
}

export async function createHubWorld(options: HubWorldOptions = {}): Promise<HubWorld> {
  await using stack = new AsyncDisposableStack();
  let hubPort = 0;
  const relay = stack.use(await startRelay(() => hubPort));
  const hub = stack.use(await startHubProcess({ publicUrl: `http://127.0.0.1:${relay.port}`, ...options.hub }));
  hubPort = Number(new URL(hub.origin).port);
  const world = stack.use(await createAgentWorld({ ...options.world, goesToHub: true }));
  const sluice = async (...args: readonly string[]) => {
    const { code, text } = await runSluice(world, args);
    if (code !== 0) throw new AppError("unavailable", `sluice ${args[0]} ${args[1]} ended with ${code}: ${text}`);
    return text;
  };
  const tokenFile = join(world.stateDir, "admin.token");
  await writeFile(tokenFile, `${hub.adminToken}\n`, { mode: 0o600 });
  await sluice("login", hub.origin, "--token-file", tokenFile, "--name", "here");
  const life = stack.move();
  return {
    hub,
    world,
    relay,
    sluice,
    enrol: async () => {
      const { token } = enrolmentCreatedSchema.parse(
        await hub.call("POST", "/v1/enrolments", { labels: { site: "here" } }),
      );
      if (token === undefined) throw new AppError("internal", "the hub gave no enrolment token");
      await sluice("enrol", token);
    },
    pictureUrl: (key) => `ws://127.0.0.1:${world.server.port}/live/live/${encodeURIComponent(key)}.flv`,
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}
