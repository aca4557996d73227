import { Command } from "commander";
import { AppError } from "../../base/errors.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { addHubFlags, type HubFlags } from "../hub-session.ts";
import { addPersistFlag, type PersistFlags } from "../link/persist.ts";
import { printJsonLine } from "../output.ts";
import { type ForwardRule, formatPlace, parseForwardRule, parseStdioTarget } from "../remote/forward-spec.ts";
import { createVoice, openReach } from "../remote/reach-box.ts";
import type { RemoteLink } from "../remote/remote-link.ts";
import { withRemoteExits } from "../remote/report-outcome.ts";
import { addSealFlags, parseSealFlags, type SealFlags } from "../remote/seal-flags.ts";
import { type ForwardPort, type MadePort, serveForward } from "../remote/serve-forward.ts";
import { runStdio } from "../remote/stdio-forward.ts";

interface Flags extends HubFlags, SealFlags, PersistFlags {
  readonly stdio?: boolean;
  readonly verbose?: boolean;
}

export function forwardCommand(context: CommandContext, finish: Finish): Command {
  return addPersistFlag(addSealFlags(addHubFlags(new Command("forward"))))
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
    await using reach = await openReach(flags, { joinsItself: true }, context);
    return await runStdio({ box: given, target, verbose: flags.verbose === true, ...sealed }, { reach, context });
  }
  const rules = forwards.map(parseForwardRule);
  await using reach = await openReach(flags, { joinsItself: true }, context);
  const console = await context.remote.openConsole();
  const voice = createVoice(context, flags.verbose === true || console.isErrorTerminal);
  let box = given;
  const operation = { kind: "forward" as const, targets: rules.map(({ target }) => target) };
  return await serveForward(
    {
      ports: rules.flatMap(portsOf),
      isJson: flags.json === true,
      openLink: async (stop) => {
        const link = await reach.open({ box, create: { operation }, traffic: "piped", ...sealed }, voice, stop);
        // A name may come to mean another.
        ({ box } = link);
        return link;
      },
      open: async (keeper, what) => (await keeper.session()).open(what),
      onListening: (made, link) => show(made, { link, isJson: flags.json === true }, context),
    },
    { voice, context },
  );
}

/** Each port of a range has a local one of its own. */
function portsOf({ target: { protocol, host, from, to }, bind, localFrom }: ForwardRule): readonly ForwardPort[] {
  return Array.from({ length: to - from + 1 }, (_none, index) => {
    const local = localFrom === 0 ? 0 : localFrom + index;
    return { bind, local, protocol, host, port: from + index };
  });
}

function show(
  made: readonly MadePort[],
  { link, isJson }: { readonly link: RemoteLink; readonly isJson: boolean },
  { io }: CommandContext,
): void {
  const shown = made.map(({ listener, port: { host, port, protocol } }) => {
    return { local: listener.places, target: formatPlace(host, port), protocol };
  });
  if (isJson) {
    printJsonLine(io, { type: "listening", session: link.id, box: link.box, forwards: shown });
    return;
  }
  const lines = shown.map(
    ({ local, target, protocol }) => `${local.join(", ")} -> ${link.box} ${target}/${protocol}\n`,
  );
  io.write(lines.join(""));
}
