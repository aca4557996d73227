import type { SeenCertificate } from "../base/certificate-chain.ts";
import type { Clock } from "../base/clock.ts";
import type { RunProgram } from "../base/spawn.ts";
import type { HubClient } from "../client/hub-client.ts";
import type { HubEndpoint } from "../client/hub-transport.ts";
import type { LocalAgent } from "../client/local-agent.ts";
import type { AgentOptions } from "../config/agent-options.ts";
import type { LoadedOptions } from "../config/load-agent-options.ts";
import type { LoadedHubOptions } from "../config/load-hub-options.ts";
import type { LoadedRouterOptions } from "../config/load-router-options.ts";
import type { Environment, HostFacts } from "../config/state-directory.ts";
import type { CleanupResult, CleanupWish } from "../contract/local-status.ts";
import type { ReadFfmpeg } from "./doctor/check-media-tools.ts";
import type { RemoteTools } from "./remote/remote-tools.ts";

/** Where a command writes, and what the other end can show. */
export interface CommandIo {
  write(text: string): void;
  writeError(text: string): void;
  readonly isTerminal: boolean;
  readonly hasColour: boolean;
  /** Width of the terminal; undefined when it is none, or has none. */
  readonly columns: number | undefined;
  /** Resolves with one line that a person types, without its end. Undefined when none sits at the terminal. */
  readonly ask: ((question: string, options?: { readonly hidden?: boolean }) => Promise<string>) | undefined;
  /** Everything on standard input, to its end. */
  readonly readInput: () => Promise<string>;
}

export interface EnrolWish {
  /** As a person carried it here. */
  readonly token: string;
  /** Where the hub is, when not where the token says. */
  readonly hub: string | undefined;
  readonly boxId: string;
  readonly name: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

export interface EnrolResult {
  readonly state: "pending" | "approved" | "revoked";
  readonly hub: string;
  /** It runs, and knows nothing of this until it is started again. */
  readonly mustRestartAgent: boolean;
}

export interface RestoreResult {
  readonly path: string;
  readonly boxes: number;
  /** The store that was there before. */
  readonly keptAs: string | undefined;
}

/** Everything that commands get from outside. `main.ts` hands in the real ones. */
export interface CommandContext {
  readonly version: string;
  readonly io: CommandIo;
  /** Aborts on SIGINT and SIGTERM, and when nobody reads our output any more. */
  readonly signal: AbortSignal;
  readonly env: Environment;
  readonly facts: HostFacts;
  readonly clock: Clock;
  readonly readTextFile: (path: string) => Promise<string>;
  /** Puts `text` in the place of the file, whole or not at all; file and directory are for their owner only. */
  readonly writePrivateFile: (path: string, text: string) => Promise<void>;
  readonly connectHub: (endpoint: HubEndpoint) => Promise<HubClient>;
  /** What a server shows of itself, unjudged. Rejects with the system's error. */
  readonly readCertificates: (url: URL, signal: AbortSignal) => Promise<readonly SeenCertificate[]>;
  readonly connectAgent: (socketPath: string) => Promise<LocalAgent>;
  /** Resolves when the agent was told to stop and has. */
  readonly runAgent: (loaded: LoadedOptions, signal: AbortSignal) => Promise<void>;
  /** Resolves when the hub was told to stop and has. */
  readonly runHub: (
    loaded: LoadedHubOptions,
    wish: { readonly newAdminToken: boolean },
    signal: AbortSignal,
  ) => Promise<void>;
  /** Resolves when the router was told to stop, and its sessions have gone elsewhere. */
  readonly runRouter: (loaded: LoadedRouterOptions, signal: AbortSignal) => Promise<void>;
  /** Proves that a file is a whole backup of a hub. Rejects with `storage` or `config`. */
  readonly inspectBackup: (path: string) => Promise<{ readonly boxes: number }>;
  /** Puts a backup in the place of the store that the options name, while no hub runs there. */
  readonly restoreHub: (loaded: LoadedHubOptions, from: string) => Promise<RestoreResult>;
  /** Ends every process that proves to be ours while no agent runs, and clears the records. */
  readonly cleanupWithoutAgent: (
    options: AgentOptions,
    wanted: CleanupWish,
    signal: AbortSignal,
  ) => Promise<CleanupResult>;
  /** Makes this machine a box of a hub: see `EnrolWish`. Rejects with `conflict` while an enrolled agent runs here. */
  readonly enrol: (options: AgentOptions, wish: EnrolWish, signal: AbortSignal) => Promise<EnrolResult>;
  /** Runs short helper programs. */
  readonly runProgram: RunProgram;
  /** Rejects with `not-found` or `unavailable`. */
  readonly readFfmpeg: ReadFfmpeg;
  readonly remote: RemoteTools;
}

/** Tells the program which exit status the command ended with. */
export type Finish = (exitCode: number) => void;
