import type { Writable } from "node:stream";
import type { Clock } from "../base/clock.ts";
import type { ClientCertificate, HttpFetch } from "../base/http-fetch.ts";
import type { JournalStreams } from "../base/journal-streams.ts";
import type { Log, LogComponent } from "../base/log.ts";
import type { NotifySocket } from "../base/notify-socket.ts";
import type { ProcessTable } from "../base/process-table.ts";
import type { ProgressWatch } from "../base/progress-watch.ts";
import type { Random } from "../base/random.ts";
import type { Redactor } from "../base/redact.ts";
import type { Spawner } from "../base/spawn.ts";
import type { AgentOptions } from "../config/agent-options.ts";
import type { Occurrence } from "../contract/report.ts";
import type { Enrolment } from "./enrol/enrolment.ts";
import type { OwnProgram } from "./remote/holders.ts";
import type { LogLedger } from "./runtime/output/log-ledger.ts";

/** What the agent is given of the world. */
export interface AgentDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly fetch: HttpFetch;
  /** Of this box, for a hub that asks for one; read anew for each request. */
  readonly clientCertificate?: (() => ClientCertificate) | undefined;
  readonly redactor: Redactor;
  readonly spawner: Spawner;
  readonly version: string;
  readonly program: OwnProgram;
  readonly pid: number;
  readonly userId: number;
  /** systemd's `RUNTIME_DIRECTORY`. */
  readonly runtimeDirectory: string | undefined;
  readonly xdgRuntimeDirectory: string | undefined;
  /** Absent: no service manager listens. */
  readonly notifySocket: NotifySocket | undefined;
  /** Absent: the agent's own lines do not go to the journal, and workload output does not either. */
  readonly journal: JournalStreams | undefined;
  /** Bytes of memory that this process holds. */
  readonly rssBytes: () => number;
  /** Where log lines go beside the file; `journal` adds priorities and leaves the time to journald. */
  readonly console: { readonly form: "plain" | "journal"; readonly stream: Writable };
}

/** What every part of a running agent is wired with. */
export interface AgentContext extends AgentDeps {
  readonly options: AgentOptions;
  /** Absent: this box goes to its server with what the configuration gives it. */
  readonly enrolment: Enrolment | undefined;
  readonly table: ProcessTable;
  readonly progress: ProgressWatch;
  readonly logFor: (component: LogComponent) => Log;
  readonly logLedger: LogLedger;
  /** Ends after everything else of this agent. */
  readonly life: AbortSignal;
}

/** How parts tell that something worth reporting has happened. */
export interface Notices {
  changed(): void;
  occurred(occurrence: Omit<Occurrence, "at">): void;
}
