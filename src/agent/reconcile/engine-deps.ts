import type { Clock } from "../../base/clock.ts";
import type { Log, LogComponent } from "../../base/log.ts";
import type { LoopProgress } from "../../base/progress-watch.ts";
import type { Random } from "../../base/random.ts";
import type { Redactor } from "../../base/redact.ts";
import type { Occurrence } from "../../contract/report.ts";
import type { Workload } from "../../contract/workload.ts";
import type { RoomKeeper } from "../guard/room-keeper.ts";
import type { Restraint } from "../health/incident-book.ts";
import type { RegistryRecord } from "../registry/record.ts";
import type { OutputOwner } from "../runtime/output/output-owner.ts";
import type { WorkloadFiles } from "../runtime/process/process-runtime.ts";
import type { Lane } from "../runtime/run-handle.ts";
import type { WorkloadRuntime } from "../runtime/workload-runtime.ts";
import type { Awaiting, WorkloadDriver } from "../workload/driver.ts";
import type { Rest } from "./rest.ts";
import type { Unit } from "./unit.ts";

/** Where the engine writes down what it does. A cache of the truth in `/proc`, never the truth itself. */
export interface RunRecords {
  all(): Iterable<RegistryRecord>;
  put(record: RegistryRecord): void;
  remove(id: string, lane?: Lane): void;
  /** Resolves once everything put so far is durable, or once the disk has been given up on for now. Never rejects. */
  commit(): Promise<void>;
}

/** Carries a workload's own output to its log. */
export interface OutputPump {
  /** `name` tells the processes of one workload apart. */
  attach(name: string, files: WorkloadFiles, of?: OutputOwner): void;
  detach(name: string): void;
  /** Reads what is left, now. */
  flush(name: string): void;
  /** The last lines, secrets taken out. */
  tail(name: string): readonly string[];
}

export interface EngineDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logFor: (component: LogComponent) => Log;
  readonly redactor: Redactor;
  readonly runtime: WorkloadRuntime;
  readonly records: RunRecords;
  readonly pump: OutputPump;
  readonly driverOf: (kind: string) => WorkloadDriver | undefined;
  readonly filesOf: (workloadId: string, lane?: Lane) => WorkloadFiles;
  /** Removes what a workload leaves behind beside its log; with `lane`: what one of its processes does. */
  readonly discardFiles: (workloadId: string, lane?: Lane) => void;
  /** 128 random bits, hexadecimal. */
  readonly newNonce: () => string;
  readonly boxId: string;
  readonly bootId: string;
  /** The set of workloads that should run now. */
  readonly expected: () => ReadonlyMap<string, Workload>;
  /** What a workload waits for before it is started, beside what others have. Asked in each lap. */
  readonly awaits: (workload: Workload) => Awaiting | undefined;
  /** A workload that is expected and is not to run at the moment. Asked in each lap. */
  readonly rests: (workload: Workload) => Rest | undefined;
  /** It has ended by itself and said that it has done its work (`retry: "never"`). */
  readonly onFinished: (unit: Unit, text: string) => void;
  /** What hits the whole box is held against no workload. */
  readonly restraint: Restraint;
  /** Whether there is room for what is due, and what must give way. */
  readonly room: RoomKeeper;
  /** The stored set was read whole: what it leaves out was left out on purpose. */
  readonly isStoredSetWhole: boolean;
  /** The set is what the server wants now, or it has had its time to say so. */
  readonly isExpectedConfirmed: () => boolean;
  /** Something that a report would show has changed. */
  readonly onChange: () => void;
  readonly onOccurrence: (occurrence: Omit<Occurrence, "at">) => void;
  readonly progress?: LoopProgress | undefined;
}
