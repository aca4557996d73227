import type { HubClient } from "../../client/hub-client.ts";
import type { CommandContext } from "../command-context.ts";
import { caOf, chooseHub, connect, type HubFlags } from "../hub-session.ts";
import { openRemoteLink, type RemoteLink, type RemoteWish } from "./remote-link.ts";

/** The way from here into boxes: the hub, and one connection to each router. */
export interface Reach extends Disposable {
  readonly hub: HubClient;
  /** Rejects with `RemoteFailure`. */
  open(wish: RemoteWish, voice: Voice, signal: AbortSignal): Promise<RemoteLink>;
}

/** Lines for a person, without their ends. */
export interface Voice {
  readonly tell: (line: string) => void;
  /** Of what only somebody who watches wants to know. */
  readonly hint: (line: string) => void;
}

export async function openReach(flags: HubFlags, context: CommandContext): Promise<Reach> {
  const { clock, remote } = context;
  const chosen = await chooseHub(flags, context);
  const [hub, ca] = await Promise.all([connect(chosen, context), caOf(chosen, context)]);
  const dialler = await remote.createDialler({ ca });
  return {
    hub,
    open: async (wish, voice, signal) => {
      const session = await remote.createSession();
      const deps = { hub: hub.remote, dialler, session, clock, random: remote.random, ...voice };
      return openRemoteLink(wish, deps, signal);
    },
    [Symbol.dispose]: () => dialler.close(),
  };
}

/** On standard error. `watches`: a person sits there. */
export function createVoice({ io }: CommandContext, watches: boolean): Voice {
  const tell = (line: string) => io.writeError(`sluice: ${line}\n`);
  return { tell, hint: watches ? tell : () => undefined };
}
