import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { SecretBox } from "./auth/secret-box.ts";
import type { Store } from "./store/store.ts";

/** What every part of a hub works with. */
export interface HubContext {
  /** Of this hub process; new for each start. */
  readonly hubId: string;
  readonly version: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** A secret of at least 256 bits, as base64url. */
  readonly newSecret: () => string;
  /** Absent: hubs share the store and no key; secrets are not taken. */
  readonly secrets: SecretBox | undefined;
  /** Ends with the hub. */
  readonly life: AbortSignal;
}
