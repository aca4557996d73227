import { connect } from "node:net";
import { systemClock } from "../src/base/clock.ts";
import { AppError, messageOf } from "../src/base/errors.ts";
import { boxViewSchema } from "../src/contract/fleet/box-view.ts";
import { type SessionView, sessionViewSchema } from "../src/contract/fleet/session.ts";
import { enrolmentCreatedSchema } from "../src/contract/fleet/token.ts";
import type { SessionWorkload } from "../src/contract/workload.ts";
import { type AgentWorld, type AgentWorldOptions, createAgentWorld } from "./agent-world.ts";
import type { ContainerDaemon } from "./container-daemon.ts";
import { type HubProcess, startHubProcess } from "./hub-process.ts";
import { runSluice } from "./sluice-command.ts";

type Platform = "docker" | "podman";

// Below the hub's limit of 50 requests a second.
const LOOK_MS = 100;

/** A real agent whose sessions go to a real engine. */
export function createSessionWorld(
  platform: Platform,
  daemon: Pick<ContainerDaemon, "socketPath">,
  given: Pick<AgentWorldOptions, "stateDir" | "goesToHub" | "agentArguments"> = {},
): Promise<AgentWorld> {
  return createAgentWorld({
    ...given,
    server: { rtmpPort: undefined },
    agentArguments: [
      ...["--sessions-platforms", platform, `--sessions-${platform}-socket`, daemon.socketPath],
      ...["--policy-images", "*", "--policy-session-mounts", "/usr"],
      ...["--sessions-idle-grace-seconds", "0"],
      ...(given.agentArguments ?? []),
    ],
  });
}

/** An agent that was started anew discards nothing before the hub has had so long to name the whole set. */
const SOON_SURE = ["--reconcile-shrink-hold-seconds", "2"];

/** The same with a real hub before it. */
export interface HubContainerWorld extends AsyncDisposable {
  readonly hub: HubProcess;
  readonly box: AgentWorld;
  create(workload: SessionWorkload): Promise<SessionView>;
  post(id: string, verb: "hibernate" | "wake" | "touch"): Promise<void>;
  /** `undefined` when there is none. */
  view(id: string): Promise<SessionView | undefined>;
  /** Rejects with what was seen last. */
  until(id: string, fits: (view: SessionView) => boolean, what: string): Promise<SessionView>;
  untilGone(id: string): Promise<void>;
}

export async function createHubContainerWorld(platform: Platform, daemon: ContainerDaemon): Promise<HubContainerWorld> {
  await using stack = new AsyncDisposableStack();
  const hub = stack.use(await startHubProcess());
  const box = stack.use(await createSessionWorld(platform, daemon, { goesToHub: true, agentArguments: SOON_SURE }));
  const made = enrolmentCreatedSchema.parse(await hub.call("POST", "/v1/enrolments", { approve: true }));
  const { code, text } = await runSluice(box, ["enrol", made.token ?? "", "--hub", hub.origin]);
  if (code !== 0) throw new AppError("unavailable", `sluice enrol ended with ${code}: ${text}`);
  await box.startAgent();
  await box.until(async () => {
    const seen = boxViewSchema.parse(await hub.call("GET", `/v1/boxes/${box.boxId}`));
    return seen.connection === "online" && seen.applied?.revision !== undefined;
  }, "the box is at the hub");
  const view = async (id: string) => {
    try {
      return sessionViewSchema.parse(await hub.call("GET", `/v1/sessions/${id}`));
    } catch (thrown) {
      if (messageOf(thrown).includes(": 404 ")) return undefined;
      throw thrown;
    }
  };
  const untilSeen = async (id: string, fits: (view: SessionView | undefined) => boolean, what: string) => {
    const endMs = systemClock.monotonicMs() + 60_000;
    for (;;) {
      const last = await view(id);
      if (fits(last)) return last;
      if (systemClock.monotonicMs() > endMs) {
        const seen = last === undefined ? "there is none" : `${last.state}: ${last.reason}, ${last.workload?.cause}`;
        throw new AppError("timeout", `${id}, not within 60 s: ${what}; last: ${seen}`);
      }
      await systemClock.delay(LOOK_MS);
    }
  };
  const life = stack.move();
  return {
    hub,
    box,
    create: async ({ id, spec, resources }) => {
      const wish = { ...spec, id, box: box.boxId, ...(resources === undefined ? {} : { resources }) };
      return sessionViewSchema.parse(await hub.call("POST", "/v1/sessions", wish));
    },
    post: async (id, verb) => void (await hub.call("POST", `/v1/sessions/${id}/${verb}`)),
    view,
    until: async (id, fits, what) => {
      const found = await untilSeen(id, (seen) => seen !== undefined && fits(seen), what);
      if (found === undefined) throw new AppError("internal", `${id} is gone`);
      return found;
    },
    untilGone: async (id) => void (await untilSeen(id, (seen) => seen === undefined, "it is gone")),
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}

/** What is said on a port before it is closed; empty where nobody listens. */
export function readPort(port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(port, "127.0.0.1");
    socket.setEncoding("utf8").on("data", (piece) => {
      text += String(piece);
    });
    socket.on("error", () => resolve(""));
    socket.on("close", () => resolve(text));
  });
}
