import { Command } from "commander";
import { AppError } from "../../base/errors.ts";
import type { Channel } from "../../remote/channel.ts";
import type { OpenWhat } from "../../remote/open-what.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { findBox } from "../find-box.ts";
import { addHubFlags, type HubFlags } from "../hub-session.ts";
import { printJsonLine } from "../output.ts";
import { createForwardKeeper, type ForwardKeeper } from "../remote/forward-keeper.ts";
import { type ForwardRule, formatPlace, parseForwardRule, parseStdioTarget } from "../remote/forward-spec.ts";
import { type Listener, listenTcp, listenUdp } from "../remote/listen.ts";
import { createVoice, openReach, type Reach, type Voice } from "../remote/reach-box.ts";
import { withRemoteExits } from "../remote/report-outcome.ts";
import { addSealFlags, parseSealFlags, type SealFlags, type SealWish } from "../remote/seal-flags.ts";
import { runStdio } from "../remote/stdio-forward.ts";
import { joinTcp } from "../remote/tcp-forward.ts";
import { createUdpCounts, describeCounts, joinUdp, type UdpCounts } from "../remote/udp-forward.ts";

interface Flags extends HubFlags, SealFlags {
  readonly stdio?: boolean;
  readonly verbose?: boolean;
}

export function forwardCommand(context: CommandContext, finish: Finish): Command {
  return addSealFlags(addHubFlags(new Command("forward")))
    .description("reach ports of a box, and what it can reach, from here")
    .argument("<box>")
    .argument("<forward...>")
    .option("--stdio", "join one TCP port with standard input and output, as for ProxyCommand of ssh")
    .option("-v, --verbose", "say what is waited for")
    .addHelpText(
      "after",
      `
FORWARD is [[ADDRESS:]LOCAL:][HOST:]PORT[/udp]. Without LOCAL the port is the same here; 0 takes a free one, and prints it. Ports may be
ranges. Without ADDRESS it listens on 127.0.0.1 and ::1 alone. HOST is looked up on the box, whose policy says what it may reach.
It goes on until Ctrl-C, through breaks of the network: local ports stay open meanwhile.

Examples:
  sluice forward north-1 8080                          port 8080 of the box, here as 127.0.0.1:8080
  sluice forward north-1 0:80 5540:10.0.0.20:554       the box's port 80 on a free one, and a camera behind it
  sluice forward north-1 8000-8010 5353:53/udp         eleven ports, and DNS
  ssh -o ProxyCommand='sluice forward --stdio north-1 22' admin@north-1

Exit status: 0 after Ctrl-C; 250 lost, 252 unreachable, 253 not allowed, 254 wrong arguments.`,
    )
    .action(async (box: string, forwards: string[], flags: Flags) =>
      finish(await withRemoteExits(context, () => runForward(box, forwards, flags, context))),
    );
}

async function runForward(
  given: string,
  forwards: readonly string[],
  flags: Flags,
  context: CommandContext,
): Promise<number> {
  const sealed = parseSealFlags(flags);
  if (flags.stdio === true) {
    const [only = "", ...more] = forwards;
    if (more.length > 0)
      throw new AppError("invalid", "--stdio: name one port; standard input and output are there once");
    const target = parseStdioTarget(only);
    using reach = await openReach(flags, context);
    return runStdio({ box: given, target, verbose: flags.verbose === true, ...sealed }, { reach, context });
  }
  const rules = forwards.map(parseForwardRule);
  using reach = await openReach(flags, context);
  const { id: box } = await findBox(reach.hub, given, context.signal);
  const console = await context.remote.openConsole();
  const voice = createVoice(context, flags.verbose === true || console.isErrorTerminal);
  return serveForward({ box, rules, isJson: flags.json === true, ...sealed }, { reach, voice, context });
}

interface ServeWish extends SealWish {
  readonly box: string;
  readonly rules: readonly ForwardRule[];
  readonly isJson: boolean;
}

/** Listens before it connects: what is wrong here is said at once, and costs no session. */
async function serveForward(
  { box, rules, isJson, isSealed, boxKey }: ServeWish,
  { reach, voice, context }: { readonly reach: Reach; readonly voice: Voice; readonly context: CommandContext },
): Promise<number> {
  const { io, clock, signal, remote } = context;
  const keeper = Promise.withResolvers<ForwardKeeper>();
  keeper.promise.catch(() => undefined);
  const open = async (what: OpenWhat): Promise<Channel> => (await (await keeper.promise).session()).open(what);
  const counts = createUdpCounts();
  const listeners: Listener[] = [];
  const operation = { kind: "forward" as const, targets: rules.map(({ target }) => target) };
  try {
    const shown: Shown[] = [];
    for (const rule of rules) {
      for (const made of await listenFor(rule, { open, counts, voice, context })) {
        listeners.push(made.listener);
        shown.push(made);
      }
    }
    const wish = { box, create: { operation }, lane: "bulk", isSealed, boxKey } as const;
    const openLink = (stop: AbortSignal) => reach.open(wish, voice, stop);
    const link = await openLink(signal);
    const kept = createForwardKeeper(link, { open: openLink, clock, random: remote.random, tell: voice.tell }, signal);
    keeper.resolve(kept);
    if (isJson) {
      const listening = shown.map(({ listener, target, protocol }) => ({ local: listener.places, target, protocol }));
      printJsonLine(io, { type: "listening", session: link.id, box, forwards: listening });
    } else {
      io.write(
        shown
          .map(({ listener, target, protocol }) => `${listener.places.join(", ")} -> ${box} ${target}/${protocol}\n`)
          .join(""),
      );
    }
    await kept.run();
    return 0;
  } catch (thrown) {
    keeper.reject(thrown);
    if (signal.aborted) return 0;
    throw thrown;
  } finally {
    for (const listener of listeners) listener.close();
    const line = describeCounts(counts);
    if (isJson && line !== undefined) printJsonLine(io, { type: "ended", datagrams: counts });
    else if (line !== undefined) voice.tell(line);
  }
}

interface Shown {
  readonly listener: Listener;
  readonly target: string;
  readonly protocol: "tcp" | "udp";
}

interface ListenDeps {
  readonly open: (what: OpenWhat) => Promise<Channel>;
  readonly counts: UdpCounts;
  readonly voice: Voice;
  readonly context: CommandContext;
}

async function listenFor(
  { target, bind, localFrom }: ForwardRule,
  { open, counts, voice, context }: ListenDeps,
): Promise<readonly Shown[]> {
  const { protocol, host, from, to } = target;
  const made: Shown[] = [];
  try {
    for (let port = from; port <= to; port++) {
      const place = { host, port };
      const local = localFrom === 0 ? 0 : localFrom + port - from;
      const listener =
        protocol === "tcp"
          ? await listenTcp(bind, local, (socket) => void joinTcp(socket, place, open, voice.tell))
          : await listenUdp(bind, local, (socket) =>
              joinUdp(socket, place, { open, clock: context.clock, tell: voice.tell, counts }),
            );
      made.push({ listener, target: formatPlace(host, port), protocol });
    }
  } catch (thrown) {
    for (const { listener } of made) listener.close();
    throw thrown;
  }
  return made;
}
