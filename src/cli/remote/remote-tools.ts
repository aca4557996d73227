import type { Random } from "../../base/random.ts";
import type { runForeground } from "../../base/run-foreground.ts";
import type { Spawner } from "../../base/spawn.ts";
import type { HubEndpoint } from "../../client/hub-transport.ts";
import type { RemoteCalls } from "../../client/remote-client.ts";
import type { RemoteSession } from "../../remote/remote-session.ts";
import type { RouterDialler } from "../../remote/router-dialler.ts";
import type { LinkTools } from "../link/link-tools.ts";
import type { Console } from "./console.ts";

/** What the commands that reach into boxes get from outside, beside what all commands get. */
export interface RemoteTools {
  readonly openConsole: () => Promise<Console>;
  readonly createSession: () => Promise<RemoteSession>;
  /** `ca`: PEM of the hub's authority, where the usual ones do not do. */
  readonly createDialler: (options: {
    readonly ca: string | undefined;
  }) => Promise<Pick<RouterDialler, "join" | "close">>;
  /** Asks what sessions need, and nothing else, of a hub. */
  readonly connectRemote: (endpoint: HubEndpoint) => Promise<RemoteCalls>;
  /** From here on it moves bytes, which are garbage a moment later: the heap may grow further before it is looked through. */
  readonly moveBytes: () => void;
  /** Absent: no link outlives its command. */
  readonly links?: LinkTools;
  readonly random: Random;
  /** How this very program is called again: program and arguments before the command's name. */
  readonly self: readonly string[];
  readonly runForeground: typeof runForeground;
  readonly spawnDetached: Spawner["spawnDetached"];
  /** PID of this process. */
  readonly pid: number;
}
