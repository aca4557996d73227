import type { Timer } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { HubEndpoint } from "../../client/hub-transport.ts";
import { type RemoteCalls, readAdmission, readStanding } from "../../client/remote-client.ts";
import type { PreparedTarget, RouterDialler } from "../../remote/router-dialler.ts";
import type { CommandContext } from "../command-context.ts";
import { connectKeptLink, type KeptLink } from "./kept-link.ts";
import { linkSocketPath, openLinkDirectory } from "./link-place.ts";
import type { LinkCall } from "./link-words.ts";
import { passedEnvironment, startKeeper } from "./start-keeper.ts";

/** How a command's sessions are admitted and joined: through a kept link where there is one, else by this process itself. */
export interface Way extends AsyncDisposable {
  readonly calls: RemoteCalls;
  readonly dialler: Pick<RouterDialler, "join">;
  /** Id of the box that a person means. */
  find(given: string, signal: AbortSignal): Promise<string>;
}

export interface WayOptions {
  readonly endpoint: HubEndpoint;
  /** 0: no link is kept or used. */
  readonly persistSeconds: number;
  /** Sessions are joined by this process even where a link is kept: their bytes are many. */
  readonly joinsItself: boolean;
  /** Told which way it is, for who asked. */
  readonly explain: (line: string) => void;
}

export interface WayDeps {
  /** Of the whole client of a hub: rarely needed, and slow to load. */
  readonly findBox: (given: string, signal: AbortSignal) => Promise<string>;
}

/** A command that takes longer leaves its link to others while it runs. */
const START_AFTER_MS = 1000;

export async function openWay(options: WayOptions, deps: WayDeps, context: CommandContext): Promise<Way> {
  const { endpoint, persistSeconds, explain } = options;
  const { clock, remote } = context;
  const place = persistSeconds === 0 ? undefined : placeOf(endpoint, context);
  const path = place?.path;
  let kept = path === undefined ? undefined : await connectKeptLink(path, { idleSeconds: persistSeconds, clock });
  if (place?.reason !== undefined) explain(`no link is kept: ${place.reason}`);
  else if (persistSeconds > 0)
    explain(kept === undefined ? "a new link to the hub" : `the link that process ${kept.pid} keeps`);

  const own = ownWay(endpoint, context);
  // Before the first request, so that nothing comes between that and its way out.
  if (kept === undefined) await own.calls();
  const next = new Map<string, PreparedTarget>();
  let start: Timer | undefined;
  const begin = async () => {
    start?.clear();
    start = undefined;
    if (path === undefined || next.size === 0) return;
    const input = { path, endpoint, hub: endpoint.hub, idleSeconds: persistSeconds, routers: [...next.values()] };
    next.clear();
    try {
      if (remote.links !== undefined) await startKeeper(input, context, remote.links);
    } catch (thrown) {
      explain(`no link is kept: ${messageOf(thrown)}`);
    }
  };
  const used = ({ router, traffic: given }: PreparedTarget) => {
    if (kept !== undefined || path === undefined) return;
    // A connection of what was piped carries nothing else; the next command wants another.
    const traffic = given === "piped" ? "bulk" : given;
    next.set(`${traffic} ${router.url}`, { router, traffic });
    start ??= clock.timer(START_AFTER_MS, () => void begin());
  };
  /** `undefined`: nobody keeps one who could answer. */
  const ask = async (call: LinkCall, signal: AbortSignal): Promise<unknown> => {
    const asked: KeptLink | undefined = kept;
    if (asked === undefined) return undefined;
    try {
      return await asked.call(call, signal);
    } catch (thrown) {
      // What the hub refuses the keeper for may be the keeper's own matter: its token is as old as it is.
      const isItsOwn = asked.isGone || (thrown instanceof AppError && thrown.code === "unauthorized");
      if (signal.aborted || !isItsOwn) throw thrown;
      leave(messageOf(thrown));
      return undefined;
    }
  };
  const leave = (why: string) => {
    if (kept === undefined) return;
    explain(`without the kept link from here on: ${why}`);
    kept.close();
    kept = undefined;
  };

  return {
    calls: {
      create: async (box, body, signal) =>
        readAdmission(await ask({ name: "create", box, body }, signal)) ??
        (await own.calls()).create(box, body, signal),
      rejoin: async (session, key, signal) =>
        readAdmission(await ask({ name: "rejoin", session, key }, signal)) ??
        (await own.calls()).rejoin(session, key, signal),
      get: async (session, signal) =>
        readStanding(await ask({ name: "get", session }, signal)) ?? (await own.calls()).get(session, signal),
    },
    dialler: {
      join: async (target, hooks, signal) => {
        if (kept !== undefined && !kept.isGone && !options.joinsItself) return kept.join(target, hooks, signal);
        if (kept?.isGone === true) leave("its keeper is gone");
        const carrier = await (await own.dialler()).join(target, hooks, signal);
        used(target);
        return carrier;
      },
    },
    find: async (given, signal) => {
      const id = await ask({ name: "find", given }, signal);
      return typeof id === "string" ? id : deps.findBox(given, signal);
    },
    [Symbol.asyncDispose]: async () => {
      await begin();
      kept?.close();
      own.close();
    },
  };
}

function placeOf(endpoint: HubEndpoint, { env, facts, remote }: CommandContext) {
  if (remote.links === undefined) return { path: undefined, reason: "this system has no place for one" };
  const { userId, program } = remote.links;
  const directory = openLinkDirectory({ env, homeDirectory: facts.homeDirectory, userId }, true);
  if (directory.path === undefined) return directory;
  const passed = Object.entries(passedEnvironment(env)).map(([name, value]) => `${name}=${value}`);
  const identity = [...program, endpoint.hub, endpoint.token, endpoint.ca, ...passed];
  return { path: linkSocketPath(directory.path, identity), reason: undefined };
}

/** What nobody needs is not loaded, and nothing twice. */
function ownWay(endpoint: HubEndpoint, { remote }: CommandContext) {
  let calls: Promise<RemoteCalls> | undefined;
  let dialler: ReturnType<typeof remote.createDialler> | undefined;
  let made: Awaited<typeof dialler>;
  const openDialler = () => {
    dialler ??= remote.createDialler({ ca: endpoint.ca }).then((opened) => {
      made = opened;
      return opened;
    });
    return dialler;
  };
  return {
    dialler: openDialler,
    calls: async (): Promise<RemoteCalls> => {
      calls ??= remote.connectRemote(endpoint);
      const { create, rejoin, get } = await calls;
      return {
        create: (...given) => {
          const answer = create(...given);
          // Read while the hub thinks.
          openDialler().catch(() => undefined);
          return answer;
        },
        rejoin,
        get,
      };
    },
    close: () => made?.close(),
  };
}
