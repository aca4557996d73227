import { rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import { replaceFile } from "../../../base/atomic-file.ts";
import { messageOf } from "../../../base/errors.ts";
import type { RunProgram } from "../../../base/spawn.ts";
import { type OfferedTls, parseClientHello } from "./client-hello.ts";
import { reasonOf } from "./tls-probe.ts";
import type { StunnelService } from "./trust-check.ts";
import { rogueConfigPath, type TunnelFiles } from "./tunnel-files.ts";

export interface Rogue {
  /** Names its configuration file. */
  readonly name: string;
  readonly tls: TlsOptions;
}

export interface RogueRequest {
  readonly rogue: Rogue;
  /** Of the client end: what is tried is its own configuration, but for the address. */
  readonly service: StunnelService;
  readonly files: TunnelFiles;
  readonly stunnelPath: string;
  readonly limitMs: number;
}

export interface RogueOutcome {
  /** What the client end offers to every server; `undefined` when it did not come. */
  readonly offered: OfferedTls | undefined;
  /** It finished the handshake with the rogue, or a word of the rogue's came out of it. */
  readonly isTaken: boolean;
  /** The alert, or why it could not be tried. */
  readonly detail: string;
}

const WORD = "rogue";
const MAX_OUTPUT_BYTES = 16_384;
/** Addresses are the attack's own; a name that is looked up late would be too. */
const OWN_OPTIONS: ReadonlySet<string> = new Set(["accept", "connect", "client", "delay", "output", "debug"]);

/**
 * Leads a client end's own configuration to a server that is not its peer. stunnel runs without a listener, for one
 * connection between this rogue and its standard input and output (its inetd mode), and ends with it: nothing is left
 * behind even if this process is killed in between. Rejects only with the signal's reason.
 */
export async function offerRogue(
  { rogue, service, files, stunnelPath, limitMs }: RogueRequest,
  deps: { readonly runProgram: RunProgram; readonly signal: AbortSignal },
): Promise<RogueOutcome> {
  let offered: OfferedTls | undefined;
  let isTaken = false;
  let detail = "it did not connect";
  const judge = createTlsServer(rogue.tls);
  judge.on("secureConnection", (socket) => {
    isTaken = true;
    socket.on("error", () => undefined);
    socket.end(WORD);
  });
  judge.on("tlsClientError", (error) => {
    detail = reasonOf(error);
  });
  const gate = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("readable", () => {
      const first: unknown = socket.read();
      if (!Buffer.isBuffer(first)) return;
      offered ??= parseClientHello(first);
      socket.unshift(first);
      judge.emit("connection", socket);
    });
  });
  const path = rogueConfigPath(files, rogue.name);
  try {
    await new Promise<void>((resolve, reject) => {
      gate.once("error", reject);
      gate.listen({ host: "127.0.0.1", port: 0 }, resolve);
    });
    const address = gate.address() as AddressInfo;
    await replaceFile(path, towardsRogue(service, address.port), false);
    const result = await deps.runProgram(stunnelPath, [path], {
      timeoutMs: limitMs,
      maxOutputBytes: MAX_OUTPUT_BYTES,
      signal: deps.signal,
    });
    if (result.stdout.includes(WORD)) isTaken = true;
    if (offered === undefined) detail = `it did not connect: ${lastLine(result.stderr)}`;
    if (isTaken) detail = "it finished the handshake with the rogue";
  } catch (thrown) {
    deps.signal.throwIfAborted();
    detail = `it could not be tried: ${messageOf(thrown)}`;
  } finally {
    gate.close();
    await rm(path, { force: true });
  }
  return { offered, isTaken, detail };
}

function towardsRogue({ options }: StunnelService, port: number): string {
  const kept = options.filter(({ name }) => !OWN_OPTIONS.has(name.toLowerCase()));
  const lines = kept.map(({ name, value }) => `${name} = ${value}`);
  return `${[...lines, "client = yes", "debug = notice", `connect = 127.0.0.1:${port}`].join("\n")}\n`;
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.slice(0, 200) ?? "";
}
