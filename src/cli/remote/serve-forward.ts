import type { Channel } from "../../remote/channel.ts";
import type { OpenWhat } from "../../remote/open-what.ts";
import type { CommandContext } from "../command-context.ts";
import { printJsonLine } from "../output.ts";
import { createForwardKeeper, type ForwardKeeper } from "./forward-keeper.ts";
import { type Listener, listenTcp, listenUdp } from "./listen.ts";
import type { Voice } from "./reach-box.ts";
import type { RemoteLink } from "./remote-link.ts";
import { joinTcp } from "./tcp-forward.ts";
import { createUdpCounts, describeCounts, joinUdp, type UdpCounts } from "./udp-forward.ts";

/** One port of this machine, and what a connection to it asks of the box. */
export interface ForwardPort {
  /** Undefined: 127.0.0.1, and ::1 where it can be had. */
  readonly bind: string | undefined;
  /** 0: one that is free. */
  readonly local: number;
  readonly protocol: "tcp" | "udp";
  readonly host: string;
  readonly port: number;
}

export interface ForwardWish<Port extends ForwardPort> {
  readonly ports: readonly Port[];
  readonly isJson: boolean;
  readonly openLink: (signal: AbortSignal) => Promise<RemoteLink>;
  readonly open: (keeper: ForwardKeeper, what: OpenWhat) => Promise<Channel>;
  /** All ports listen, and the box is reached. */
  readonly onListening: (made: readonly MadePort<Port>[], link: RemoteLink) => void;
}

export interface MadePort<Port extends ForwardPort = ForwardPort> {
  readonly port: Port;
  readonly listener: Listener;
}

/** Listens before it connects: what is wrong here is said at once, and costs no session. Resolves when the signal aborts. */
export async function serveForward<Port extends ForwardPort>(
  { ports, isJson, openLink, open, onListening }: ForwardWish<Port>,
  { voice, context }: { readonly voice: Voice; readonly context: CommandContext },
): Promise<number> {
  const { io, clock, signal, remote } = context;
  const keeper = Promise.withResolvers<ForwardKeeper>();
  keeper.promise.catch(() => undefined);
  const openChannel = async (what: OpenWhat): Promise<Channel> => open(await keeper.promise, what);
  const counts = createUdpCounts();
  const made: MadePort<Port>[] = [];
  try {
    for (const port of ports) {
      made.push({ port, listener: await listenFor(port, { open: openChannel, counts, voice, context }) });
    }
    const link = await openLink(signal);
    const kept = createForwardKeeper(link, { open: openLink, clock, random: remote.random, tell: voice.tell }, signal);
    keeper.resolve(kept);
    onListening(made, link);
    await kept.run();
    return 0;
  } catch (thrown) {
    keeper.reject(thrown);
    if (signal.aborted) return 0;
    throw thrown;
  } finally {
    for (const { listener } of made) listener.close();
    const line = describeCounts(counts);
    if (isJson && line !== undefined) printJsonLine(io, { type: "ended", datagrams: counts });
    else if (line !== undefined) voice.tell(line);
  }
}

interface ListenDeps {
  readonly open: (what: OpenWhat) => Promise<Channel>;
  readonly counts: UdpCounts;
  readonly voice: Voice;
  readonly context: CommandContext;
}

function listenFor(
  { bind, local, protocol, host, port }: ForwardPort,
  { open, counts, voice, context }: ListenDeps,
): Promise<Listener> {
  const place = { host, port };
  if (protocol === "tcp") return listenTcp(bind, local, (socket) => void joinTcp(socket, place, open, voice.tell));
  return listenUdp(bind, local, (socket) =>
    joinUdp(socket, place, { open, clock: context.clock, tell: voice.tell, counts }),
  );
}
