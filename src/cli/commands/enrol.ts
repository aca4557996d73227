import { Command, InvalidArgumentError } from "commander";
import { AppError } from "../../base/errors.ts";
import { loadAgentOptions } from "../../config/load-agent-options.ts";
import { hubOfEvents, isServerAddress } from "../../contract/hub-address.ts";
import { boxIdSchema } from "../../contract/identifier.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { addPlaceFlags, type PlaceFlags, toSources } from "../find-agent.ts";

export interface EnrolFlags extends PlaceFlags {
  readonly hub?: string;
  readonly id?: string;
  readonly name?: string;
  readonly label?: readonly string[];
  readonly json?: boolean;
}

export function enrolCommand(context: CommandContext, finish: Finish): Command {
  return addPlaceFlags(new Command("enrol"))
    .description("make this box one of a hub's: it makes its own key, and the hub learns that it may open the door")
    .argument("<token>", "what the hub printed (sluice1.…), or - to read it from standard input")
    .option("--hub <url>", "where the hub is, when not where the token says")
    .option("--id <id>", "by which the hub knows this box (box.id; else the host's name)")
    .option("--name <name>", "name for people (box.name)")
    .option("--label <name=value>", "a label, again for each (box.labels)", collectLabel, [])
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
The key stays in the state directory (identity.json, mode 0600). Cut off or without an answer: run it again with the same token.
A box that is copied must be enrolled anew: two machines with one key are put in quarantine.

Example:
  sudo sluice enrol sluice1.eyJodWIiOi… --label site=north`,
    )
    .action(async (token: string, flags: EnrolFlags) => finish(await runEnrol({ ...flags, token }, context)));
}

export async function runEnrol(
  flags: EnrolFlags & { readonly token: string },
  context: CommandContext,
): Promise<number> {
  const { io, signal } = context;
  const { options } = await loadAgentOptions(toSources(flags, context));
  const boxId = flags.id ?? options.box.id;
  if (!boxIdSchema.safeParse(boxId).success) {
    throw new AppError("invalid", `--id: given ${JSON.stringify(boxId)}; allowed: ${ID_ALLOWED}`, { field: "id" });
  }
  if (options.box.isIdGiven && boxId !== options.box.id) {
    throw new AppError("invalid", `--id: given ${boxId}; the configuration names this box ${options.box.id} (box.id)`, {
      field: "id",
    });
  }
  const wish = {
    token: flags.token === "-" ? await context.readTextFile("/dev/stdin") : flags.token,
    hub: flags.hub ?? hubIn(options.link.endpoint),
    boxId,
    name: flags.name ?? options.box.name,
    labels: { ...options.box.labels, ...labelsOf(flags.label ?? []) },
  };
  const result = await context.enrol(options, wish, signal);
  if (flags.json === true) {
    io.write(`${JSON.stringify({ boxId, ...result })}\n`);
    return 0;
  }
  io.write(`This box is enrolled as ${boxId} with ${result.hub}\n`);
  if (result.state === "pending")
    io.write(`A person has to approve it before it may work: sluice box approve ${boxId}\n`);
  io.write(
    result.mustRestartAgent
      ? "The agent that runs here takes it up when it is started again: sudo systemctl restart sluice-agent. Streams go on\n"
      : startHint(flags),
  );
  return 0;
}

/** Who named another place starts the agent there, too. */
function startHint({ stateDir, config }: PlaceFlags): string {
  const place = [
    ...(config === undefined ? [] : ["--config", config]),
    ...(stateDir === undefined ? [] : ["--state-dir", stateDir]),
  ];
  const start = ["sluice agent", ...place].join(" ");
  return `Start the agent: ${place.length === 0 ? `sudo systemctl start sluice-agent, or ${start}` : start}\n`;
}

const ID_ALLOWED = "1 to 63 letters, digits, dots, dashes or underscores, not starting with . or -";

/** The configuration may name a hub, one of its boxes' event streams, or a server that is no hub. */
function hubIn(endpoint: string | undefined): string | undefined {
  if (endpoint === undefined) return undefined;
  return isServerAddress(endpoint) ? endpoint : hubOfEvents(endpoint)?.hub;
}

function collectLabel(text: string, before: readonly string[]): readonly string[] {
  if (/^[A-Za-z0-9_][A-Za-z0-9_./-]{0,62}=[^\p{Cc}]{0,200}$/u.test(text)) return [...before, text];
  throw new InvalidArgumentError("It must be name=value.");
}

function labelsOf(pairs: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
}
