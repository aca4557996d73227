import type { Clock } from "../../../base/clock.ts";
import type { HttpFetch } from "../../../base/http-fetch.ts";
import type { Log } from "../../../base/log.ts";
import type { LoopProgress } from "../../../base/progress-watch.ts";
import type { Random } from "../../../base/random.ts";

export interface ContainerEngineOptions {
  readonly engine: "docker" | "podman";
  /** `Docker Engine`, for people. */
  readonly title: string;
  readonly socketPath: string;
  /** Somebody set it, or its socket, in the configuration. */
  readonly isNamed: boolean;
  /** Real path. */
  readonly stateDir: string;
  /** Where ports can be reached that name no address. */
  readonly address: string;
}

export interface ContainerEngineDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** Over the engine's socket. */
  readonly fetch: HttpFetch;
  readonly log: Log;
  readonly progress: LoopProgress;
  /** Ends the watching, not the containers. */
  readonly signal: AbortSignal;
}
