import type { AlertStore, DeliveryStore } from "./alerts.ts";
import type { AuditLog } from "./audit-log.ts";
import type { BoxStore, EnrolmentTokenStore } from "./boxes.ts";
import type { CommandStore } from "./commands.ts";
import type { EventLog } from "./event-log.ts";
import type { ExpectedStore } from "./expected.ts";
import type { HistoryStore } from "./history.ts";
import type { LeaseStore } from "./leases.ts";
import type { ObjectStore } from "./objects.ts";
import type { OperatorTokenStore } from "./operator-tokens.ts";
import type { ReportStore } from "./reports.ts";
import type { SetNews } from "./set-news.ts";
import type { StoreBackup } from "./store-backup.ts";
import type { TelemetryStore } from "./telemetry.ts";

/**
 * Everything that the hubs of a fleet hold, by verbs of which each is one atomic step. What holds for all of them:
 * - **Order.** Verbs are serializable: each sees all that were acknowledged before it began, on whichever hub. Pages and
 *   lists are read in pieces: what changes meanwhile may or may not be in.
 * - **Durability.** Acknowledged means durable: with SQLite the loss of power takes nothing back; with Redis as far as its
 *   `appendfsync` goes; in memory nothing outlives the process. A verb that says `relaxed` outlives the hub; a machine that
 *   dies may take back its last seconds.
 * - **Failure.** A verb that rejects with `store-unavailable` may have been carried out or not. All can be asked again:
 *   changes by the same request id, the others by what they are (the same holder, taker, command id or sequence).
 * - **Time** is what the caller passes. Expiry is judged by it alone, so no clock but the hubs' own matters.
 * - **Errors** are `AppError`s: `not-found`, `conflict` (with `currentRevision` where a condition on it failed), `invalid`,
 *   `store-unavailable`.
 * - **Secrets** are never given to it, only their hashes.
 * - **Bodies** are JSON: a field that is `undefined` is absent when it is read back.
 */
export interface Store {
  readonly boxes: BoxStore;
  readonly enrolmentTokens: EnrolmentTokenStore;
  readonly expected: ExpectedStore;
  readonly reports: ReportStore;
  readonly history: HistoryStore;
  readonly telemetry: TelemetryStore;
  readonly commands: CommandStore;
  readonly operatorTokens: OperatorTokenStore;
  readonly objects: ObjectStore;
  readonly alerts: AlertStore;
  readonly deliveries: DeliveryStore;
  readonly leases: LeaseStore;
  readonly events: EventLog;
  readonly audit: AuditLog;
  /**
   * Calls the listener for changes made through any hub of this store, this one included. A hint only: it may come late,
   * twice, or for nothing; whoever acts on one reads the truth with its cursor. `all`: some were missed. A step of a set that
   * was written through this very `Store` may come with its news: whoever stands exactly before that step need not read it.
   */
  onHint(listener: (hint: Hint) => void): () => void;
  /** Removes what has expired at `nowMs`, in small steps. Any hub may, at any time; once a minute is enough. */
  maintain(nowMs: number): Promise<{ readonly removed: number }>;
  /**
   * A copy of everything, while verbs go on. Absent where the store is not a file of this hub's own. `conflict`: another copy is
   * open; `storage`: it could not be written.
   */
  openBackup?(): Promise<StoreBackup>;
  /** Rejects with `store-unavailable` and the reason when verbs would. */
  ping(): Promise<void>;
  /** A verb under way is carried out or rejects; verbs after it reject with `store-unavailable`. */
  close(): Promise<void>;
}

/** `box`: its record or its commands; `expected`: what it should run; `tunnel-facts`, `session-facts`: it told something new of its ends of tunnels, of its sessions. */
export type Hint =
  | { readonly kind: "box"; readonly boxId: string }
  | { readonly kind: "expected"; readonly boxId: string; readonly news?: SetNews }
  | { readonly kind: "tunnel-facts"; readonly boxId: string }
  | { readonly kind: "session-facts"; readonly boxId: string }
  | { readonly kind: "objects"; readonly of: string }
  | { readonly kind: "operators" }
  | { readonly kind: "events" }
  | { readonly kind: "all" };
