import { resolve } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError, messageOf } from "../src/base/errors.ts";
import { boxViewSchema } from "../src/contract/fleet/box-view.ts";
import { type SessionView, type SessionWish, sessionViewSchema } from "../src/contract/fleet/session.ts";
import { enrolmentCreatedSchema } from "../src/contract/fleet/token.ts";
import { type HubProcess, startHubProcess } from "./hub-process.ts";
import { createSessionWorld, type SessionWorld } from "./session-process-world.ts";
import { runSluice } from "./sluice-command.ts";

const PROGRAM = resolve(import.meta.dirname, "programs/session-app.ts");
// Below the hub's limit of 50 requests a second, with room for what a test asks beside.
const LOOK_MS = 50;

/** A real hub and two real boxes that run sessions as plain processes. */
export interface HubSessionWorld extends AsyncDisposable {
  readonly hub: HubProcess;
  readonly boxes: readonly [SessionWorld, SessionWorld];
  /** The test program as a session; `does`: what it does by itself. */
  wish(id: string, given?: Partial<SessionWish> & { readonly does?: string }): SessionWish;
  create(wish: SessionWish): Promise<SessionView>;
  post(id: string, verb: "hibernate" | "wake" | "touch"): Promise<SessionView>;
  stop(id: string): Promise<void>;
  /** `undefined` when there is none. */
  view(id: string): Promise<SessionView | undefined>;
  /** Looks until it fits, and gives what fitted. Rejects with what was seen last. */
  until(id: string, fits: (view: SessionView) => boolean, what: string, timeoutMs?: number): Promise<SessionView>;
}

export async function createHubSessionWorld(): Promise<HubSessionWorld> {
  await using stack = new AsyncDisposableStack();
  const hub = stack.use(await startHubProcess());
  const openBox = async () => {
    const box = stack.use(await createSessionWorld([], { goesToHub: true }));
    const made = enrolmentCreatedSchema.parse(await hub.call("POST", "/v1/enrolments", { approve: true }));
    const { code, text } = await runSluice(box, ["enrol", made.token ?? "", "--hub", hub.origin]);
    if (code !== 0) throw new AppError("unavailable", `sluice enrol ended with ${code}: ${text}`);
    await box.startAgent();
    return box;
  };
  const boxes = [await openBox(), await openBox()] as const;

  const view = async (id: string) => {
    try {
      return sessionViewSchema.parse(await hub.call("GET", `/v1/sessions/${id}`));
    } catch (thrown) {
      if (messageOf(thrown).includes(": 404 ")) return undefined;
      throw thrown;
    }
  };
  const until: HubSessionWorld["until"] = async (id, fits, what, timeoutMs = 20_000) => {
    const endMs = systemClock.monotonicMs() + timeoutMs;
    let last: SessionView | undefined;
    for (;;) {
      last = await view(id);
      if (last !== undefined && fits(last)) return last;
      if (systemClock.monotonicMs() > endMs) break;
      await systemClock.delay(LOOK_MS);
    }
    const seen = last === undefined ? "it is gone" : `${last.state} on ${last.box}: ${last.reason}`;
    throw new AppError("timeout", `not within ${timeoutMs} ms: ${what}; last: ${seen}\n${hub.output().slice(-2000)}`);
  };
  const untilGone = async (id: string) => {
    const endMs = systemClock.monotonicMs() + 20_000;
    for (let last = await view(id); last !== undefined; last = await view(id)) {
      if (systemClock.monotonicMs() > endMs) {
        throw new AppError("timeout", `session ${id} is not gone, but ${last.state}: ${last.reason}`);
      }
      await systemClock.delay(LOOK_MS);
    }
  };
  for (const { boxId, until: untilBox } of boxes) {
    await untilBox(async () => {
      const box = boxViewSchema.parse(await hub.call("GET", `/v1/boxes/${boxId}`));
      return box.connection === "online" && box.applied?.revision !== undefined;
    }, `${boxId} is at the hub`);
  }
  const life = stack.move();
  return {
    hub,
    boxes,
    wish: (id, { does, ...given } = {}) => ({
      id,
      user: "anna",
      template: {
        command: [process.execPath, "--no-warnings", PROGRAM],
        ports: [{ port: 80, name: "web", scheme: "http" }],
        ...(does === undefined ? {} : { env: { DO: does } }),
      },
      ...given,
    }),
    create: async (wish) => sessionViewSchema.parse(await hub.call("POST", "/v1/sessions", wish)),
    post: async (id, verb) => sessionViewSchema.parse(await hub.call("POST", `/v1/sessions/${id}/${verb}`)),
    stop: async (id) => {
      await hub.call("DELETE", `/v1/sessions/${id}`);
      await untilGone(id);
    },
    view,
    until,
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}
