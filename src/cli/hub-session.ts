import type { Command } from "commander";
import { AppError, errnoOf, messageOf } from "../base/errors.ts";
import type { HubClient } from "../client/hub-client.ts";
import {
  type ChosenContext,
  type Contexts,
  chooseContext,
  contextsPath,
  formatContexts,
  NO_CONTEXTS,
  parseContexts,
} from "../config/contexts.ts";
import type { CommandContext } from "./command-context.ts";

/** Flags of every command that speaks with a hub. */
export interface HubFlags {
  readonly context?: string;
  readonly json?: boolean;
}

export function addHubFlags(command: Command): Command {
  return command
    .option("--json", "print JSON, in the shapes of the hub's API")
    .option("--context <name>", "the hub to speak with, of those that `sluice context ls` shows (SLUICE_CONTEXT)");
}

export async function readContexts({ env, facts, readTextFile }: CommandContext): Promise<Contexts> {
  const path = contextsPath(env, facts);
  try {
    return parseContexts(await readTextFile(path), path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return NO_CONTEXTS;
    if (error instanceof AppError) throw error;
    throw new AppError("config", `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

export async function writeContexts(contexts: Contexts, context: CommandContext): Promise<void> {
  const path = contextsPath(context.env, context.facts);
  try {
    await context.writePrivateFile(path, formatContexts(contexts));
  } catch (error) {
    throw new AppError("storage", `${path} cannot be written: ${messageOf(error)}`, { cause: error });
  }
}

/** The hub that flags, environment or the current context mean; undefined when none of them names one. */
export async function findHub(flags: HubFlags, context: CommandContext): Promise<ChosenContext | undefined> {
  return chooseContext(await readContexts(context), context.env, flags.context);
}

/** Throws `config` when no hub is known. */
export async function openHub(flags: HubFlags, context: CommandContext): Promise<HubClient> {
  return connect(await chooseHub(flags, context), context);
}

/** As `findHub`. Throws `config` when no hub is known. */
export async function chooseHub(flags: HubFlags, context: CommandContext): Promise<ChosenContext> {
  const chosen = await findHub(flags, context);
  if (chosen !== undefined) return chosen;
  throw new AppError(
    "config",
    "no hub is known here: log in with sluice login HUB, or set SLUICE_HUB and SLUICE_HUB_TOKEN",
  );
}

export async function connect(chosen: ChosenContext, context: CommandContext): Promise<HubClient> {
  return context.connectHub({ hub: chosen.hub, token: chosen.token, ca: await caOf(chosen, context) });
}

/** PEM of the authority that the hub's certificate must lead to. */
export async function caOf({ ca, caFile }: ChosenContext, context: CommandContext): Promise<string | undefined> {
  return caFile === undefined ? ca : readCa(caFile, context);
}

/** Throws `config` for a file that holds no certificates. */
export async function readCa(path: string, { readTextFile }: CommandContext): Promise<string> {
  const text = await readTextFile(path).catch((error: unknown) => {
    throw new AppError("config", `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  });
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw new AppError("config", `${path} holds no certificate; allowed: PEM`);
}
