import { Command } from "commander";
import { parseFingerprint, type SeenCertificate } from "../../base/certificate-chain.ts";
import { AppError, errnoOf, messageOf } from "../../base/errors.ts";
import { isUntrusted } from "../../client/hub-error.ts";
import { CONTEXT_NAME_PATTERN, contextsPath, type HubLogin, toHubUrl } from "../../config/contexts.ts";
import type { Whoami } from "../../contract/fleet/token.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { confirm } from "../confirm.ts";
import { formatFingerprint } from "../format-fingerprint.ts";
import { readCa, readContexts, writeContexts } from "../hub-session.ts";
import { printJson } from "../output.ts";

export interface LoginFlags {
  readonly tokenFile?: string;
  readonly ca?: string;
  readonly fingerprint?: string;
  readonly name?: string;
  readonly json?: boolean;
}

export function loginCommand(context: CommandContext, finish: Finish): Command {
  return new Command("login")
    .description("keep the address and the token of a hub as a context, and make it the current one")
    .argument("<hub>", "its address: https://hub.example:8443")
    .option("--token-file <file>", "read the token from this file, not from standard input")
    .option("--ca <file>", "certificates (PEM) that the hub's must lead to")
    .option(
      "--fingerprint <sha256>",
      "the fingerprint of the hub's authority, as the hub printed it when it first started",
    )
    .option("--name <context>", "the name of the context; the hub's host when left out")
    .option("--json", "print what was kept as JSON, without the token")
    .addHelpText(
      "after",
      `
The token comes from a file, from standard input, or is asked for: never as an argument, which every user of the
machine could read. It is kept in ~/.config/sluice/contexts.json, for its owner only (mode 0600).

Examples:
  sluice login https://hub.example:8443 --token-file admin.token --fingerprint sha256:4f0c…
  sluice login http://127.0.0.1:8080 < admin.token`,
    )
    .action(async (hub: string, flags: LoginFlags) => finish(await runLogin({ ...flags, hub }, context)));
}

export async function runLogin(flags: LoginFlags & { readonly hub: string }, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const hub = toHubUrl(flags.hub, "HUB");
  const name = flags.name ?? defaultName(new URL(hub).hostname);
  if (!CONTEXT_NAME_PATTERN.test(name)) {
    throw new AppError("invalid", `--name: given ${JSON.stringify(name)}; allowed: letters, digits, dots and dashes`, {
      field: "--name",
    });
  }
  const known = await readContexts(context);
  const token = await readToken(flags, context);
  const given = flags.ca === undefined ? await pinned(hub, flags, context) : await readCa(flags.ca, context);
  const { who, ca } = await tryLogin({ hub, token, ca: given }, flags, context);
  const login: HubLogin = ca === undefined ? { hub, token } : { hub, token, ca };
  await writeContexts({ current: name, contexts: { ...known.contexts, [name]: login } }, context);
  if (signal.aborted) return 130;
  if (flags.json === true)
    printJson(io, { context: name, hub, role: who.role, user: who.name, hubVersion: who.hub.version });
  else {
    io.write(`Logged in to ${hub} as ${who.name} (${who.role}). The context ${name} is the current one.\n`);
    if (isOpen(hub)) io.writeError(`sluice: ${hub} is not encrypted: whoever is on the way can read the token\n`);
    if (!io.isTerminal) return 0;
    io.write(`Kept in ${contextsPath(context.env, context.facts)}. Next: sluice box ls\n`);
  }
  return 0;
}

/** A hub whose certificate no one vouches for is shown to a person, who may have another way to know it. */
async function tryLogin(
  login: { readonly hub: string; readonly token: string; readonly ca: string | undefined },
  flags: LoginFlags,
  context: CommandContext,
): Promise<{ readonly who: Whoami; readonly ca: string | undefined }> {
  const ask = async (ca: string | undefined) => {
    const client = await context.connectHub({ ...login, ca });
    return { who: await client.whoami(context.signal), ca };
  };
  try {
    return await ask(login.ca);
  } catch (error) {
    if (!isUntrusted(error) || login.ca !== undefined || flags.json === true) throw error;
    const authority = (await readChain(login.hub, context)).at(-1);
    if (authority === undefined) throw error;
    const shown = formatFingerprint(authority.fingerprint);
    const sight = `${login.hub} shows a certificate of "${authority.subject}" that this machine does not know,\nfingerprint ${shown}.`;
    if (context.io.ask === undefined) {
      throw new AppError("unavailable", `${sight}\nIf the hub printed the same, log in with --fingerprint ${shown}`, {
        cause: error,
      });
    }
    context.io.write(`${sight}\nThe hub printed its fingerprint when it first started.\n`);
    await confirm("Is it the same, and shall it be trusted from now on?", { yes: undefined, io: context.io });
    return ask(authority.pem);
  }
}

/** The certificate of the chain that has the fingerprint: nothing else is trusted from then on. */
async function pinned(hub: string, { fingerprint }: LoginFlags, context: CommandContext): Promise<string | undefined> {
  if (fingerprint === undefined) return undefined;
  const wanted = parseFingerprint(fingerprint);
  if (wanted === undefined) {
    throw new AppError(
      "invalid",
      `--fingerprint: given ${JSON.stringify(fingerprint)}; allowed: a SHA-256, 64 hexadecimal digits with or without colons`,
      {
        field: "--fingerprint",
      },
    );
  }
  const chain = await readChain(hub, context);
  const found = chain.find((certificate) => certificate.fingerprint === wanted);
  if (found !== undefined) return found.pem;
  const seen = chain.map((certificate) => `${formatFingerprint(certificate.fingerprint)} (${certificate.subject})`);
  throw new AppError(
    "refused",
    `${hub} shows no certificate with this fingerprint: another machine may stand between. It shows ${seen.join(", ")}`,
    { field: "--fingerprint" },
  );
}

async function readChain(hub: string, context: CommandContext): Promise<readonly SeenCertificate[]> {
  const url = new URL(hub);
  if (url.protocol !== "https:") {
    throw new AppError("invalid", "--fingerprint: an http:// address shows no certificate", { field: "--fingerprint" });
  }
  try {
    return await context.readCertificates(url, context.signal);
  } catch (error) {
    throw new AppError("unavailable", `cannot reach ${hub}: ${messageOf(error)}`, { cause: error });
  }
}

async function readToken({ tokenFile }: LoginFlags, { io, readTextFile }: CommandContext): Promise<string> {
  const read = async () => {
    if (tokenFile !== undefined) {
      return readTextFile(tokenFile).catch((error: unknown) => {
        const why = errnoOf(error) === "ENOENT" ? "there is no such file" : messageOf(error);
        throw new AppError("config", `--token-file: ${tokenFile} cannot be read: ${why}`, {
          field: "--token-file",
          cause: error,
        });
      });
    }
    return io.ask === undefined ? io.readInput() : io.ask("Token (it is not shown): ", { hidden: true });
  };
  const token = (await read()).trim();
  const field = tokenFile === undefined ? "standard input" : "--token-file";
  if (token === "")
    throw new AppError("invalid", `${field}: given nothing; allowed: the token of an operator`, { field });
  if (!/^[\x21-\x7e]{1,500}$/.test(token)) {
    throw new AppError("invalid", `${field}: given is no token; allowed: one line without spaces`, { field });
  }
  return token;
}

function defaultName(hostname: string): string {
  return (
    hostname
      .replace(/^\[|\]$/g, "")
      .replaceAll(":", "-")
      .slice(0, 63) || "hub"
  );
}

function isOpen(hub: string): boolean {
  const { protocol, hostname } = new URL(hub);
  return protocol === "http:" && !/^(localhost|127\.|\[::1\])/.test(hostname);
}
