import { Command, Option } from "commander";
import { AppError } from "../../base/errors.ts";
import type { HubClient } from "../../client/hub-client.ts";
import { TUNNEL_PHASES, TUNNEL_SECURITIES, type TunnelView } from "../../contract/fleet/tunnel.ts";
import { TLS_VERSIONS } from "../../contract/tunnel-spec.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { findBox, notOne, orNothing } from "../find-box.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { collect, printJson } from "../output.ts";
import { gather, parseDurationSeconds } from "../parse-values.ts";
import { resolveName } from "../resolve-name.ts";
import { show, type WatchFlags } from "../show.ts";
import { type TunnelFlags, tunnelFromFlags } from "../tunnel-from-flags.ts";
import { formatMs, renderTunnel, renderTunnels, renderWays } from "../tunnel-views.ts";
import { waitForTunnel } from "../wait-for-tunnel.ts";

interface UpFlags extends HubFlags, TunnelFlags {
  readonly producer: string;
  readonly consumer: string;
  readonly uid?: string;
  /** False with `--no-wait`. */
  readonly wait: string | boolean;
}

interface ListFlags extends WatchFlags {
  readonly box?: string;
  readonly phase?: string;
}

interface TurnFlags extends HubFlags {
  readonly wait: string | boolean;
}

const DEFAULT_WAIT = "60s";
const WAIT = ["--wait <duration>", "how long to wait for it", DEFAULT_WAIT] as const;
const NO_WAIT = ["--no-wait", "return as soon as the hub has taken it"] as const;

export function tunnelCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("tunnel").description(
    "two boxes joined by verified encryption: up, look, change keys, down",
  );
  addUp(command, context, finish);
  addHubFlags(command.command("ls"))
    .description("list tunnels with their phase, entry points and rate")
    .option("-b, --box <box>", "only those that end at this box")
    .addOption(new Option("--phase <phase>", "only those in this phase").choices([...TUNNEL_PHASES]))
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (flags: ListFlags) => finish(await runTunnelList(flags, context)));
  addHubFlags(command.command("show"))
    .description("show a tunnel with the evidence: cipher, keys, attacks refused, when")
    .argument("<tunnel>")
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (tunnel: string, flags: WatchFlags) => finish(await runTunnelShow(tunnel, flags, context)));
  addHubFlags(command.command("down"))
    .description("take tunnels down at both ends")
    .argument("<tunnel...>")
    .option(...WAIT)
    .option(...NO_WAIT)
    .action(async (tunnels: string[], flags: TurnFlags) => finish(await runTunnelDown(tunnels, flags, context)));
  addHubFlags(command.command("rotate"))
    .description("give both ends new keys; connections go on")
    .argument("<tunnel>")
    .option(...WAIT)
    .option(...NO_WAIT)
    .action(async (tunnel: string, flags: TurnFlags) => finish(await runTunnelRotate(tunnel, flags, context)));
  return command.addHelpText(
    "after",
    `
TUNNEL is a uid or a name, and may be shortened as those of boxes. How tunnels work: docs/tunnels.md.`,
  );
}

function addUp(command: Command, context: CommandContext, finish: Finish): void {
  addHubFlags(command.command("up"))
    .description("join two boxes by a tunnel, and wait until bytes are proved to go through")
    .requiredOption("--producer <box>", "the box beside the sources")
    .requiredOption("--consumer <box>", "the box whose entry points the consumers use")
    .requiredOption(
      "--source <host:port>",
      "where the producer's box takes connections to; may be given several times",
      gather,
    )
    .option(
      "--entry <[address:]port>",
      "where the consumer's box takes connections; several times; else from its range",
      gather,
    )
    .option("--via <host[:port]>", "where the consumer's box reaches the producer's; else what that box declares")
    .option("--via-listen <address>", "the producer's own address, where --via is a name or is translated")
    .option("--connections <number>", "ways through; sources take turns, further entries come from the range")
    .addOption(new Option("--security <kind>", "a certificate each, or one shared key").choices([...TUNNEL_SECURITIES]))
    .addOption(new Option("--min-tls <version>", "least version of TLS; 1.3 when left out").choices([...TLS_VERSIONS]))
    .option("--rate <mbit>", "Mbit/s that it may take of each box's uplink")
    .option("--lifetime <duration>", "ends by itself after it, as in 8h")
    .option("--name <name>", "a name for people")
    .option("--uid <uid>", "a uid of one's own; one that is there is changed to this form")
    .option(...WAIT)
    .option(...NO_WAIT)
    .addHelpText(
      "after",
      `
Examples:
  sluice tunnel up --producer north-1 --consumer studio --source 10.0.0.20:554 --entry 5540
  sluice tunnel up --producer north-1 --consumer studio --source 10.0.0.20:1935 --connections 11 --security psk --lifetime 8h --json`,
    )
    .action(async (flags: UpFlags) => finish(await runTunnelUp(flags, context)));
}

export async function runTunnelUp(flags: UpFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const waitSeconds = waitOf(flags.wait);
  const hub = await openHub(flags, context);
  const [producer, consumer] = await Promise.all([
    findBox(hub, flags.producer, signal),
    findBox(hub, flags.consumer, signal),
  ]);
  const body = tunnelFromFlags(flags, { producer: producer.id, consumer: consumer.id });
  const made =
    flags.uid === undefined
      ? await hub.tunnels.create(body, signal)
      : await hub.tunnels.put(flags.uid, { body }, signal);
  const { uid } = made;
  const isForPeople = flags.json !== true;
  if (isForPeople) io.write(`tunnel ${uid} from ${producer.id} to ${consumer.id}\n`);
  const tell = stepTeller(made, (line) => isForPeople && io.write(line));
  const look = (tunnel: TunnelView | undefined) => {
    if (tunnel === undefined || tunnel.phase === "ending") {
      throw new AppError("conflict", `tunnel ${uid} was taken down meanwhile: ${tunnel?.reason ?? "it is gone"}`);
    }
    tell(tunnel);
    return tunnel.phase === "up";
  };
  const rest = `it stays declared, and goes up when it can; sluice tunnel down ${uid} ends it`;
  const tunnel =
    waitSeconds === undefined
      ? made
      : await waitForTunnel({ uid, limitSeconds: waitSeconds, look, rest }, hub, context);
  if (flags.json === true) printJson(io, tunnel);
  else io.write(renderWays(tunnel ?? made));
  return 0;
}

/** Tells each phase once, with how long it took from the request. Of a tunnel that was there already only what is new. */
function stepTeller(made: TunnelView, write: (line: string) => unknown): (tunnel: TunnelView) => void {
  const told = new Set<TunnelView["phase"]>(made.steps.length === 1 ? [] : made.steps.map(({ phase }) => phase));
  return ({ steps }) => {
    for (const { phase, afterMs } of steps) {
      if (told.has(phase)) continue;
      told.add(phase);
      write(`  ${phase.padEnd(10)} ${formatMs(afterMs).padStart(8)}\n`);
    }
  };
}

export async function runTunnelList(flags: ListFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const box = flags.box === undefined ? undefined : (await findBox(hub, flags.box, context.signal)).id;
  return show(flags, { hub, context }, async (signal) => {
    const items = await collect(hub.tunnels.list({ box, phase: flags.phase }, signal));
    return { json: { items }, text: (view) => renderTunnels(items, view) };
  });
}

export async function runTunnelShow(given: string, flags: WatchFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const { uid } = await findTunnel(hub, given, context.signal);
  return show(flags, { hub, context }, async (signal) => {
    const tunnel = await hub.tunnels.get(uid, signal);
    return { json: tunnel, text: (view) => renderTunnel(tunnel, view) };
  });
}

export async function runTunnelDown(
  given: readonly string[],
  flags: TurnFlags,
  context: CommandContext,
): Promise<number> {
  const { io, signal } = context;
  const limitSeconds = waitOf(flags.wait);
  const hub = await openHub(flags, context);
  const found: TunnelView[] = [];
  for (const text of given) found.push(await findTunnel(hub, text, signal));
  for (const { uid } of found) await hub.tunnels.remove(uid, {}, signal).catch(orNothing);
  if (limitSeconds !== undefined) {
    const look = (tunnel: TunnelView | undefined) => tunnel === undefined;
    const rest = "it is ended where it can be; the rest follows when its box is heard, or forgotten";
    for (const { uid } of found) await waitForTunnel({ uid, limitSeconds, look, rest }, hub, context);
  }
  const done = limitSeconds === undefined ? "is being taken down" : "is down";
  if (flags.json === true)
    printJson(io, { items: found.map(({ uid }) => ({ uid, removed: limitSeconds !== undefined })) });
  else io.write(found.map(({ uid }) => `tunnel ${uid} ${done}\n`).join(""));
  return 0;
}

export async function runTunnelRotate(given: string, flags: TurnFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const limitSeconds = waitOf(flags.wait);
  const hub = await openHub(flags, context);
  const { uid } = await findTunnel(hub, given, signal);
  const asked = await hub.tunnels.rotate(uid, signal);
  const rest = "the old keys are used until both ends have the new ones";
  const look = (tunnel: TunnelView | undefined) => tunnel !== undefined && !tunnel.keys.isRotating;
  const tunnel =
    limitSeconds === undefined ? asked : await waitForTunnel({ uid, limitSeconds, look, rest }, hub, context);
  if (flags.json === true) printJson(io, tunnel);
  else if (tunnel?.keys.isRotating === true) io.write(`tunnel ${uid} is being given new keys\n`);
  else io.write(`tunnel ${uid} has keys of generation ${tunnel?.keys.generation}\n`);
  return 0;
}

export async function findTunnel(hub: HubClient, given: string, signal: AbortSignal): Promise<TunnelView> {
  const tunnels = await collect(hub.tunnels.list({}, signal));
  const items = tunnels.map((tunnel) => ({ id: tunnel.uid, name: tunnel.name, tunnel }));
  const resolution = resolveName(given, items);
  if (resolution.kind === "found") return resolution.item.tunnel;
  const candidates = resolution.kind === "several" ? resolution.candidates : [];
  throw notOne("tunnel", given, candidates, "sluice tunnel ls shows all");
}

/** Seconds; `undefined`: not at all. */
function waitOf(wait: string | boolean): number | undefined {
  if (wait === false) return undefined;
  return parseDurationSeconds(typeof wait === "string" ? wait : DEFAULT_WAIT, "--wait");
}
