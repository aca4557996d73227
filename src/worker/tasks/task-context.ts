import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { RunProgram } from "../../base/spawn.ts";
import type { Assignment, WorkKind, WorkOf } from "../../contract/transfer/assignment.ts";
import type { ResultFailure, ResultItem } from "../../contract/transfer/transfer-result.ts";
import type { TransferWay } from "../../contract/transfer/worker-heartbeat.ts";
import { fault } from "../fault.ts";
import type { HubLink } from "../hub-link.ts";
import type { ServeDeps } from "../send/data-server.ts";
import type { BulkFiles } from "../storage/bulk-file.ts";
import { requireMounted, type Storage } from "../storage/storage.ts";
import type { Dialler } from "../wire/data-dial.ts";
import type { DataLink } from "../wire/data-link.ts";
import type { Pace } from "../wire/pace.ts";
import type { RoutedLinks } from "../wire/routed-link.ts";

/** What every kind of work may use. */
export interface TaskContext {
  readonly clock: Clock;
  readonly bulkFiles: BulkFiles;
  readonly log: Log;
  readonly pid: number;
  readonly runProgram: RunProgram;
  readonly workerId: string;
  readonly hub: HubLink;
  readonly dialler: Dialler;
  readonly routed: RoutedLinks;
  readonly storageOf: (id: string) => Storage | undefined;
  /** Resolves with the connection that the source of this lease opens. */
  readonly awaitPushed: (lease: string, attempt: number, signal: AbortSignal) => Promise<DataLink>;
  readonly receivePace: Pace;
  readonly serveDeps: Omit<ServeDeps, "signal" | "onSent">;
}

/** One lease, while it is worked on. */
export interface Task<Kind extends WorkKind> {
  readonly assignment: Omit<Assignment, "work">;
  readonly work: WorkOf<Kind>;
  /** Ends when the lease does. */
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
  /** Little is left to come: the next lease may be begun. Again: nothing. */
  readonly onNearlyDone: () => void;
  /** What the hub lets its request take here. */
  readonly pace: Pace;
}

/** What becomes the lease's result. Work adds to it as it goes on, so that what is done counts even where the rest fails. */
export interface TaskOutcome {
  readonly items: ResultItem[];
  readonly failures: ResultFailure[];
  bytesSent: number;
  isDialFailed: boolean;
  /** By which bytes come, once that is known. */
  way: TransferWay | undefined;
  message: string;
}

/** Throws `denied`, or `no-storage` where it is not there now. */
export function requireStorage({ storageOf }: TaskContext, id: string, access: "read" | "write"): Storage {
  const storage = storageOf(id);
  if (storage === undefined) throw fault("no-storage", `the storage ${id} is not here`);
  if (!storage[access]) {
    throw fault("denied", `${storage.path} may not be ${access === "read" ? "read" : "written"} by transfers`);
  }
  requireMounted(storage);
  return storage;
}
