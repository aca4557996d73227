import type { Command } from "commander";
import { AppError } from "../../base/errors.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { findSession } from "../find-session.ts";
import { addHubFlags, type HubFlags } from "../hub-session.ts";
import { printJsonLine } from "../output.ts";
import { type ChosenPort, chooseSessionPorts } from "../remote/choose-session-ports.ts";
import { createVoice, openReach } from "../remote/reach-box.ts";
import type { RemoteLink } from "../remote/remote-link.ts";
import { withRemoteExits } from "../remote/report-outcome.ts";
import { addSealFlags, parseSealFlags, type SealFlags } from "../remote/seal-flags.ts";
import { type ForwardPort, type MadePort, serveForward } from "../remote/serve-forward.ts";
import { createSessionReach } from "../remote/session-reach.ts";
import { stateText } from "../wait-for-session.ts";

interface Flags extends HubFlags, SealFlags {
  readonly wake?: boolean;
  readonly verbose?: boolean;
}

type SessionForwardPort = ForwardPort & Pick<ChosenPort, "name" | "scheme">;

export function addSessionForward(command: Command, context: CommandContext, finish: Finish): void {
  addSealFlags(addHubFlags(command.command("forward")))
    .description("reach ports of a session from here, wherever it runs, though its box listens to nobody")
    .argument("<session>")
    .argument("[port...]")
    .option("--wake", "wake it when a connection comes while it sleeps, and let that connection wait")
    .option("-v, --verbose", "say what is waited for")
    .addHelpText(
      "after",
      `
PORT is [[ADDRESS:]LOCAL:]PORT[/udp]: a port that the session declares, by number or name. Without any it is all of them; without
LOCAL a free one here, which is printed. Without ADDRESS it listens on 127.0.0.1 and ::1 alone. The box must allow it
(policy.remote.sessions). It goes on until Ctrl-C, through breaks, restarts, hibernation and a move to another box; with
--box-key not through a move, for the other box has another key.

Examples:
  sluice session forward browser                       all its ports, each on a free one
  sluice session forward browser 8080:web --wake       its port web as 127.0.0.1:8080; it wakes when somebody comes

Exit status: 0 after Ctrl-C; 250 lost, 252 unreachable, 253 not allowed, 254 wrong arguments, or the session was stopped.`,
    )
    .action(async (session: string, ports: string[], flags: Flags) =>
      finish(await withRemoteExits(context, () => runSessionForward(session, ports, flags, context))),
    );
}

export async function runSessionForward(
  given: string,
  texts: readonly string[],
  flags: Flags,
  context: CommandContext,
): Promise<number> {
  const { clock, signal, remote } = context;
  const sealed = parseSealFlags(flags);
  await using reach = await openReach(flags, { joinsItself: true }, context);
  const hub = await reach.hub();
  const { sessions } = hub;
  const found = await findSession(hub, given, signal);
  const { id } = found;
  const chosen = chooseSessionPorts(texts, { id, ports: found.wish.template.ports });
  const console = await remote.openConsole();
  const voice = createVoice(context, flags.verbose === true || console.isErrorTerminal);
  const isJson = flags.json === true;
  const ports = chosen.map(({ port, protocol }) => ({ port, protocol }));
  const operation = { kind: "session" as const, session: id, ports };
  const openLink = async (stop: AbortSignal): Promise<RemoteLink> => {
    const session = await sessions.get(id, stop);
    if (session.box === undefined) throw new AppError("unavailable", stateText(session));
    return reach.open({ box: session.box, create: { operation }, traffic: "piped", ...sealed }, voice, stop);
  };
  const sessionReach = createSessionReach(
    { id, mayWake: flags.wake === true },
    { sessions, clock, tell: voice.tell },
    signal,
  );
  return await serveForward<SessionForwardPort>(
    {
      ports: chosen.map((one) => ({ ...one, host: id })),
      isJson,
      openLink,
      open: sessionReach.open,
      onListening: (made, link) => {
        show(made, { id, link, isJson }, context);
        if (found.state === "hibernated" && flags.wake !== true) voice.tell(`${stateText(found)}; --wake wakes it`);
      },
    },
    { voice, context },
  );
}

function show(
  made: readonly MadePort<SessionForwardPort>[],
  { id, link, isJson }: { readonly id: string; readonly link: RemoteLink; readonly isJson: boolean },
  { io }: CommandContext,
): void {
  const shown = made.map(({ listener, port: { port, protocol, name, scheme } }) => {
    const [first = ""] = listener.places;
    const url = `${scheme ?? protocol}://${first}`;
    return { url, local: listener.places, port, protocol, ...(name === undefined ? {} : { name }) };
  });
  if (isJson) {
    printJsonLine(io, { type: "listening", remote: link.id, session: id, box: link.box, forwards: shown });
    return;
  }
  const lines = shown.map(({ url, port, protocol, name }) => {
    const label = name === undefined ? "" : `${name} `;
    return `${url} -> ${id} ${label}${port}/${protocol} on ${link.box}\n`;
  });
  io.write(lines.join(""));
}
