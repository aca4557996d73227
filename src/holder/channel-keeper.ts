import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { toAppError } from "../contract/error-code.ts";
import type { CommandGrant, ForwardGrant, RemoteGrant, SessionGrant } from "../contract/remote/remote-grant.ts";
import type { Channel } from "../remote/channel.ts";
import type { KilledByName } from "../remote/exit-facts.ts";
import type { OpenWhat } from "../remote/open-what.ts";
import type { AskPlace } from "./ask-place.ts";
import type { AuditLog } from "./audit-log.ts";
import { DIAL_MS, dial, joinSocket } from "./forward-tcp.ts";
import { createUdpForward } from "./forward-udp.ts";
import { type CommandEnd, createHeldCommand, type HeldCommand, type HeldCommandDeps } from "./held-command.ts";
import type { ChannelKeeper } from "./held-session.ts";
import { type Place, type ResolveHost, requireDeclared, requireTarget, resolveTarget } from "./resolve-target.ts";
import type { TerminalSize } from "./running-command.ts";
import type { KeptChannel } from "./session-why.ts";
import { requireAsked, type StartDeps, startCommand } from "./start-command.ts";

export interface ChannelKeeperDeps extends HeldCommandDeps, StartDeps {
  readonly log: Log;
  readonly audit: AuditLog;
  readonly spoolDirectory: string;
  /** A command that goes on by itself, for whoever attaches to it. */
  readonly onDetached: (session: string, operator: string, command: HeldCommand) => void;
  readonly detachedOf: (session: string, operator: string) => HeldCommand | undefined;
  readonly resolveHost?: ResolveHost;
  readonly askPlace: AskPlace;
}

interface FoundPlace {
  readonly addresses: readonly string[];
  readonly port: number;
  /** Monotonic: until then it may be dialled. */
  readonly untilMs: number;
}
type FindPlace = () => Promise<FoundPlace>;

/** Connections and associations that one session may have at a time. */
export const MAX_CONNECTIONS = 1024;
/** Between two looks at where the port of a session is that datagrams go to. */
const FOLLOW_MS = 2000;
/** From a command's end until its operator has heard of it. */
const HEAR_MS = 5000;

interface ChannelsOf {
  readonly session: string;
  readonly operator: string;
  readonly grant: RemoteGrant;
  /** Nothing is started or dialled before; what it rejects with is told to whoever asks for it. */
  readonly mayStart: Promise<unknown>;
}

export function createChannelKeeper(
  { session, operator, grant, mayStart }: ChannelsOf,
  deps: ChannelKeeperDeps,
): ChannelKeeper {
  const { clock, audit, log } = deps;
  const ledger = createAuditor(session, audit, clock);
  let command: HeldCommand | undefined;
  let isBegun = false;
  /** The session is over, and takes its command with it: one that is about to begin, too. */
  let endedBy: KilledByName | undefined;
  let connections = 0;
  /** Another session's, to which this one is attached: it is shown, and never ended. */
  let attached: HeldCommand | undefined;
  const kept = new Map<number, Kept>();
  const keep = (channel: Channel, what: string): Kept => {
    const mine: Kept = { what, sinceMs: clock.monotonicMs() };
    kept.set(channel.id, mine);
    void channel.closed.then(() => kept.delete(channel.id));
    return mine;
  };

  const exec = async (channel: Channel, what: Extract<OpenWhat, { kind: "exec" }>, mine: CommandGrant) => {
    requireAsked(what, mine);
    if (isBegun) throw new AppError("conflict", "the command of this session was begun already");
    isBegun = true;
    const late = lateHandlers(channel, ledger);
    await mayStart;
    if (endedBy !== undefined) throw new AppError("cancelled", "the session ended before its command was begun");
    const running = await startCommand(what, { grant: mine, session }, deps);
    const held = createHeldCommand(
      running,
      { spoolDirectory: mine.detach ? deps.spoolDirectory : undefined, name: session },
      deps,
    );
    command = held;
    if (mine.detach) deps.onDetached(session, operator, held);
    keep(channel, what.pty === undefined ? "command" : "terminal");
    ledger.opened(channel, what.pty === undefined ? "command" : "terminal", held.pid);
    late(held);
    held.serve(channel);
    if (endedBy !== undefined) void held.end(endedBy);
    void held.over.then((end) => ledger.closed(channel, describeEnd(end)));
  };

  const attach = async (channel: Channel, id: string) => {
    const found = deps.detachedOf(id, operator);
    if (found === undefined) {
      throw new AppError("not-found", `there is no detached command of ${operator} by the name ${id} on this box`);
    }
    const late = lateHandlers(channel, ledger);
    await mayStart;
    attached = found;
    keep(channel, "command");
    late(found);
    ledger.opened(channel, `attach to ${id}`, found.pid);
    found.serve(channel);
    void channel.closed.then(({ error }) => ledger.closed(channel, undefined, error?.message));
  };

  const forward = async (
    channel: Channel,
    what: Extract<OpenWhat, { kind: "dial" | "associate" }>,
    mine: ForwardGrant | SessionGrant,
  ) => {
    const findPlace = mine.kind === "session" ? sessionFinder(what, mine) : targetFinder(what, mine);
    const find = () => mayStart.then(findPlace);
    if (connections >= MAX_CONNECTIONS) {
      throw new AppError("exhausted", `a session has at most ${MAX_CONNECTIONS} connections at once`);
    }
    connections += 1;
    void channel.closed.then(({ error }) => {
      connections -= 1;
      ledger.closed(channel, undefined, error?.message);
    });
    const host = what.host.includes(":") ? `[${what.host}]` : what.host;
    const place = `${what.kind === "dial" ? "tcp" : "udp"} ${host}:${what.port}`;
    const shown = keep(channel, place);
    ledger.opened(channel, place);
    if (what.kind === "associate") return associate({ channel, shown }, find);
    const { addresses, port, untilMs } = await find();
    const socket = await dial({ host: what.host, port }, addresses, { clock, untilMs });
    channel.accept();
    const facts = joinSocket(channel, socket, clock);
    shown.facts = () => ({ target: facts() });
  };

  const targetFinder = (what: Place & { readonly kind: "dial" | "associate" }, mine: ForwardGrant): FindPlace => {
    const target = requireTarget(what, what.kind === "dial" ? "tcp" : "udp", mine);
    return async () => {
      const untilMs = clock.monotonicMs() + DIAL_MS;
      const addresses = await within(resolveTarget(target, deps.resolveHost), untilMs, clock, target.host);
      return { addresses, port: what.port, untilMs };
    };
  };

  const sessionFinder = (what: Place & { readonly kind: "dial" | "associate" }, mine: SessionGrant): FindPlace => {
    const declared = requireDeclared(what, what.kind === "dial" ? "tcp" : "udp", mine);
    return async () => {
      const { address, port } = await deps.askPlace(mine.session, declared);
      return { addresses: [address], port, untilMs: clock.monotonicMs() + DIAL_MS };
    };
  };

  /** A session that was woken or started anew may have another port: its operator's side then opens another association. */
  const followPlace = (channel: Channel, first: FoundPlace, find: FindPlace) => {
    let askedMs = clock.monotonicMs();
    return () => {
      if (clock.monotonicMs() - askedMs < FOLLOW_MS) return;
      askedMs = clock.monotonicMs();
      void find().then(
        ({ addresses: [address], port }) => {
          if (address === first.addresses[0] && port === first.port) return;
          channel.reset(new AppError("unavailable", "its port on the box is another now"));
        },
        (thrown: unknown) => channel.reset(toAppError(thrown)),
      );
    };
  };

  const associate = async (
    { channel, shown }: { readonly channel: Channel; readonly shown: Kept },
    find: FindPlace,
  ) => {
    const early: [number, Uint8Array, number][] = [];
    let take = (...datagram: [number, Uint8Array, number]): void => {
      if (early.length < 64) early.push(datagram);
    };
    channel.on({ onDatagram: (flow, bytes, dropped) => take(flow, bytes, dropped) });
    const found = await find();
    const { addresses, port } = found;
    const [address = ""] = addresses;
    const udp = createUdpForward(channel, { address, port }, clock);
    const follow = grant.kind === "session" ? followPlace(channel, found, find) : () => undefined;
    take = (...datagram) => {
      follow();
      udp.take(...datagram);
    };
    shown.facts = () => ({ drops: { ...udp.counts } });
    for (const datagram of early) udp.take(...datagram);
    channel.accept();
    channel
      .readable("in")
      .resume()
      .once("end", () => channel.writable("out").end());
    void channel.closed.then(() => {
      udp.close();
      const { lostBefore, notSent, evicted } = udp.counts;
      if (lostBefore + notSent + evicted > 0) {
        log.info(
          `Remote session ${session}, UDP to port ${port}: ${lostBefore} datagrams were lost on the way here, ${notSent} could not be sent on, ${evicted} flows gave way`,
        );
      }
    });
  };

  const open = async (channel: Channel, what: OpenWhat): Promise<void> => {
    if (what.kind === "exec" && grant.kind === "command") return exec(channel, what, grant);
    if (what.kind === "attach" && grant.kind === "attach") return attach(channel, grant.session);
    const isForward = grant.kind === "forward" || grant.kind === "session";
    if ((what.kind === "dial" || what.kind === "associate") && isForward) {
      return forward(channel, what, grant);
    }
    throw new AppError("refused", `this session was opened for ${grant.kind}, not for ${what.kind}`);
  };

  return {
    get pid() {
      return command?.pid;
    },
    facts: () => {
      const nowMs = clock.monotonicMs();
      const channels = [...kept].map(([id, { what, sinceMs, facts }]): [number, KeptChannel] => [
        id,
        { what, openMs: nowMs - sinceMs, ...facts?.() },
      ]);
      return { command: (command ?? attached)?.facts(), channels: new Map(channels) };
    },
    take: (channel, what) => {
      open(channel, what).catch((thrown: unknown) => {
        const error = toAppError(thrown);
        audit.note({ event: "refuse", session, operator, operation: what.kind, reason: error.message });
        log.warn(`Remote session ${session}: refused ${what.kind}: ${messageOf(error)}`);
        channel.refuse(error);
      });
    },
    end: async (by) => {
      const mine = command;
      const goesOn = grant.kind === "command" && grant.detach && by !== "terminated" && by !== "max-age";
      if (!goesOn) endedBy ??= by;
      if (mine === undefined || goesOn) return;
      await mine.end(by);
      let timer: { clear(): void } | undefined;
      const late = new Promise<void>((resolve) => {
        timer = clock.timer(HEAR_MS, resolve);
      });
      await Promise.race([mine.over, late]);
      // Without a link nobody hears it.
      await Promise.race([by === "disconnect" ? undefined : mine.told, late]);
      timer?.clear();
    },
  };
}

interface Kept {
  readonly what: string;
  readonly sinceMs: number;
  facts?: () => Partial<KeptChannel>;
}

/** Handlers must be there at once, and the command comes later: what is said meanwhile is not lost. */
function lateHandlers(channel: Channel, ledger: ReturnType<typeof createAuditor>): (command: HeldCommand) => void {
  let command: HeldCommand | undefined;
  let size: TerminalSize | undefined;
  const signals: string[] = [];
  const send = (to: HeldCommand, name: string) => {
    if (to.signal(name)) ledger.signalled(channel, name);
  };
  channel.on({
    onResize: (next) => {
      size = next;
      command?.resize(next);
    },
    onSignal: (name) => {
      if (command !== undefined) send(command, name);
      else if (signals.length < 16) signals.push(name);
    },
  });
  return (begun) => {
    command = begun;
    if (size !== undefined) begun.resize(size);
    for (const name of signals) send(begun, name);
  };
}

function createAuditor(session: string, audit: AuditLog, clock: Clock) {
  const openedMs = new Map<number, number>();
  return {
    opened: ({ id: channel }: Channel, what: string, pid?: number) => {
      openedMs.set(channel, clock.monotonicMs());
      audit.note({ event: "open", session, channel, what, ...(pid === undefined ? {} : { pid }) });
    },
    signalled: ({ id: channel }: Channel, signal: string) => audit.note({ event: "signal", session, channel, signal }),
    closed: ({ id: channel }: Channel, exit?: string, reason?: string) => {
      const fromMs = openedMs.get(channel);
      openedMs.delete(channel);
      audit.note({
        event: "close",
        session,
        channel,
        ...(exit === undefined ? {} : { exit }),
        ...(reason === undefined ? {} : { reason }),
        seconds: fromMs === undefined ? 0 : Math.round(clock.monotonicMs() - fromMs) / 1000,
      });
    },
  };
}

function describeEnd({ status, killedBy, outputOpenAfterExit }: CommandEnd): string {
  const how = status.signal === null ? `code ${status.code ?? 0}` : status.signal;
  return `${how}${killedBy === undefined ? "" : `, ended by ${killedBy}`}${outputOpenAfterExit ? ", its output is still open" : ""}`;
}

async function within<T>(work: Promise<T>, untilMs: number, clock: Clock, host: string): Promise<T> {
  let timer: { clear(): void } | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = clock.timer(untilMs - clock.monotonicMs(), () =>
      reject(new AppError("timeout", `${host} was not looked up within ${DIAL_MS / 1000} s`)),
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    timer?.clear();
  }
}
