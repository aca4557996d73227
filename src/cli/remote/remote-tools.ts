import type { Random } from "../../base/random.ts";
import type { runForeground } from "../../base/run-foreground.ts";
import type { Spawner } from "../../base/spawn.ts";
import type { RemoteSession } from "../../remote/remote-session.ts";
import type { RouterDialler } from "../../remote/router-dialler.ts";
import type { Console } from "./console.ts";

/** What the commands that reach into boxes get from outside, beside what all commands get. */
export interface RemoteTools {
  readonly openConsole: () => Promise<Console>;
  readonly createSession: () => Promise<RemoteSession>;
  /** `ca`: PEM of the hub's authority, where the usual ones do not do. */
  readonly createDialler: (options: { readonly ca: string | undefined }) => Promise<RouterDialler>;
  readonly random: Random;
  /** How this very program is called again: program and arguments before the command's name. */
  readonly self: readonly string[];
  readonly runForeground: typeof runForeground;
  readonly spawnDetached: Spawner["spawnDetached"];
  /** PID of this process. */
  readonly pid: number;
}
