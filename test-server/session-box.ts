import { systemClock } from "../src/base/clock.ts";
import { systemRandom } from "../src/base/random.ts";
import { createHubClient, type HubClient } from "../src/client/hub-client.ts";
import { createHubWorld, type HubWorld } from "./hub-world.ts";

/** A hub and a box, enrolled and online, that may run one program as application sessions and streams nothing. */
export interface SessionBox extends AsyncDisposable {
  readonly life: HubWorld;
  readonly client: HubClient;
  command(name: "StartSession" | "HibernateSession" | "WakeSession", args: Record<string, unknown>): Promise<unknown>;
  untilOnline(): Promise<unknown>;
  untilState(session: string, state: string): Promise<unknown>;
}

export async function createSessionBox(program: string): Promise<SessionBox> {
  await using stack = new AsyncDisposableStack();
  const life = stack.use(
    await createHubWorld({
      world: { agentArguments: ["--policy-session-commands", program], server: { rtmpPort: undefined } },
    }),
  );
  const { world, hub } = life;
  await life.enrol();
  await world.startAgent();
  const client = createHubClient(
    { hub: hub.origin, token: hub.adminToken },
    { fetch, clock: systemClock, random: systemRandom },
  );
  const untilOnline = () =>
    world.until(
      async () => (await client.boxes.get(world.boxId, AbortSignal.timeout(10_000))).connection === "online",
      "the box is at the hub",
    );
  await untilOnline();
  const whole = stack.move();
  return {
    life,
    client,
    command: (name, args) => hub.call("POST", `/v1/boxes/${world.boxId}/commands`, { name, args }),
    untilOnline,
    untilState: (session, state) =>
      world.until(async () => (await world.workload(session))?.state === state, `${session} is ${state}`),
    [Symbol.asyncDispose]: () => whole.disposeAsync(),
  };
}
