import type { HubClient } from "../../client/hub-client.ts";
import type { CommandContext } from "../command-context.ts";
import { caOf, chooseHub, type HubFlags } from "../hub-session.ts";
import { openWay } from "../link/open-way.ts";
import { type PersistFlags, parsePersist } from "../link/persist.ts";
import { openRemoteLink, type RemoteLink, type RemoteWish } from "./remote-link.ts";

/** The way from here into boxes: the hub, and one connection to each router, or a link that is kept. */
export interface Reach extends AsyncDisposable {
  /** For what is no session: lists, applications. */
  readonly hub: () => Promise<HubClient>;
  /** Rejects with `RemoteFailure`. */
  open(wish: RemoteWish, voice: Voice, signal: AbortSignal): Promise<RemoteLink>;
}

export interface ReachFlags extends HubFlags, PersistFlags {
  readonly verbose?: boolean;
}

export interface ReachOptions {
  /** Sessions are joined by this process even where a link is kept: their bytes are many. */
  readonly joinsItself: boolean;
}

/** Lines for a person, without their ends. */
export interface Voice {
  readonly tell: (line: string) => void;
  /** Of what only somebody who watches wants to know. */
  readonly hint: (line: string) => void;
}

const MOVES_AFTER_MS = 200;

export async function openReach(
  flags: ReachFlags,
  { joinsItself }: ReachOptions,
  context: CommandContext,
): Promise<Reach> {
  const { clock, io, remote } = context;
  const persistSeconds = parsePersist(flags, context.env);
  const chosen = await chooseHub(flags, context);
  const endpoint = { hub: chosen.hub, token: chosen.token, ca: await caOf(chosen, context) };
  let connected: Promise<HubClient> | undefined;
  const hub = () => {
    connected ??= context.connectHub(endpoint);
    return connected;
  };
  const explain = (line: string) => {
    if (flags.verbose === true) io.writeError(`sluice: ${line}\n`);
  };
  const findBox = async (given: string, signal: AbortSignal) =>
    (await (await import("../find-box.ts")).findBox(await hub(), given, signal)).id;
  const way = await openWay({ endpoint, persistSeconds, joinsItself, explain }, { findBox }, context);
  return {
    hub,
    open: async (wish, voice, signal) => {
      const { calls, dialler, find } = way;
      const openSession = () => remote.createSession();
      const deps = { hub: calls, dialler, findBox: find, openSession, clock, random: remote.random, ...voice };
      const link = await openRemoteLink(wish, deps, signal);
      // A command that ends sooner moves none that count.
      const moves = clock.timer(MOVES_AFTER_MS, remote.moveBytes);
      void link.over.then(() => moves.clear());
      return link;
    },
    [Symbol.asyncDispose]: () => way[Symbol.asyncDispose](),
  };
}

/** On standard error. `watches`: a person sits there. */
export function createVoice({ io }: CommandContext, watches: boolean): Voice {
  const tell = (line: string) => io.writeError(`sluice: ${line}\n`);
  return { tell, hint: watches ? tell : () => undefined };
}
