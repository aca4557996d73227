import { basename, dirname } from "node:path";
import { messageOf } from "../base/errors.ts";
import { createPidLister } from "../base/process-sweep.ts";
import type { RunDirectory } from "../base/run-directory.ts";
import type { Service } from "../base/service.ts";
import type { Workload } from "../contract/workload.ts";
import type { AgentContext } from "./agent-context.ts";
import type { Guard } from "./guard/guard.ts";
import type { Unit } from "./reconcile/unit.ts";
import type { VolumeRules } from "./registry/volume-rules.ts";
import { type EngineParts, type OpenedEngines, openEngines } from "./runtime/open-engines.ts";
import { createFileStartFreer } from "./runtime/output/free-file-start.ts";
import type { OutputJournal } from "./runtime/output/output-owner.ts";
import { createProcessRuntime } from "./runtime/process/linux-process-runtime.ts";
import { createOutputPump, DEFAULT_PUMP_OPTIONS } from "./runtime/process/output-pump.ts";
import type { WorkloadFiles } from "./runtime/process/process-runtime.ts";
import { createProcessSession } from "./runtime/process/process-session.ts";
import { createSessionProcesses } from "./runtime/process/session-processes.ts";
import { discardLaneFiles, discardWorkloadFiles, filesOfWorkload } from "./runtime/process/workload-files.ts";
import type { Lane } from "./runtime/run-handle.ts";
import { createWorkloadRuntime, type WorkloadRuntime } from "./runtime/workload-runtime.ts";
import { settleVolumes } from "./workload/session/session-directories.ts";

export interface RuntimeParts extends Pick<EngineParts, "takeIn" | "isAwaited"> {
  readonly runDirectory: RunDirectory;
  readonly guard: Pick<Guard, "place" | "freezer">;
  readonly volumeRules: Pick<VolumeRules, "of">;
  readonly isExpectedConfirmed: () => boolean;
  readonly expectedConfirmed: Promise<void>;
  readonly expected: () => ReadonlyMap<string, Workload>;
  readonly units: () => ReadonlyMap<string, Unit>;
  readonly isRefused: (id: string) => boolean;
  /** An engine came, went, or tells another thing. */
  readonly onPlatform: () => void;
}

export interface OpenedRuntime {
  readonly runtime: WorkloadRuntime;
  readonly engines: OpenedEngines["engines"];
  readonly pump: ReturnType<typeof createOutputPump>;
  readonly filesOf: (workloadId: string, lane?: Lane) => WorkloadFiles;
  /** What a workload leaves behind beside its log, as far as nothing that is still expected needs it; with `lane`: what one process does. */
  readonly discardFiles: (workloadId: string, lane?: Lane) => void;
  /** All that it leaves behind beside its log, unless one of its processes is still there. */
  readonly discardUnlessHeld: (workloadId: string) => void;
  readonly services: readonly Service[];
}

const LANES: readonly Lane[] = [0, 1];

/** How workloads run on this box: as processes and in engines, with their files and what they write. */
export function openRuntime(context: AgentContext, parts: RuntimeParts): OpenedRuntime {
  const { clock, logFor, options, table, spawner } = context;
  const { guard, expected, units } = parts;
  const { stateDir, log } = options.files;
  const logDir = dirname(log);
  const filesOf = (id: string, lane?: Lane) =>
    filesOfWorkload({ stateDir, logDir, runDir: parts.runDirectory.path }, id, lane);
  const pump = createOutputPump(
    {
      ...DEFAULT_PUMP_OPTIONS,
      totalBytes: options.guard.logsBytes,
      logDirectory: logDir,
      agentLogName: basename(log),
    },
    {
      clock,
      log: logFor("STREAM"),
      redact: context.redactor.redact,
      progress: context.progress.loop("output pump"),
      journal: workloadJournal(context),
      ledger: context.logLedger,
      freeStart: createFileStartFreer(spawner.runProgram),
    },
  );
  const { engines, services } = openEngines(context, {
    takeIn: parts.takeIn,
    isAwaited: parts.isAwaited,
    onChange: parts.onPlatform,
    // Until the server has said what it expects, nothing is known to be discarded.
    volumeRules: parts.volumeRules.of,
    isKept: (id) => !parts.isExpectedConfirmed() || expected().has(id) || units().has(id),
  });
  const sessionProcesses = createSessionProcesses({ clock, table });
  const runtime = createWorkloadRuntime(
    createProcessRuntime(
      { stateDir },
      {
        clock,
        log: logFor("PID"),
        spawner,
        table,
        listPids: createPidLister({ table, clock, log: logFor("PID") }),
        place: guard.place,
        signal: context.life,
      },
    ),
    engines,
    (handle) => createProcessSession(handle, { clock, table, processes: sessionProcesses, freezer: guard.freezer }),
  );

  const discardAll = (id: string) => {
    try {
      settleVolumes(id, parts.volumeRules.of(id), { directory: filesOf(id).directory, stateDir });
    } catch (thrown) {
      // Rather too much is left than a volume lost.
      logFor("SESSION").error(`What ${id} left cannot be put in order, and stays: ${messageOf(thrown)}`);
      return;
    }
    for (const each of LANES) discardWorkloadFiles(filesOf(id, each));
    // What was taken away right after a start of this agent goes as soon as anything may.
    void parts.expectedConfirmed.then(() => {
      for (const engine of engines.values()) void engine.discard(id);
    });
  };
  return {
    runtime,
    engines,
    pump,
    filesOf,
    discardFiles: (id, lane) => {
      if (lane !== undefined) discardLaneFiles(filesOf(id, lane));
      // The keys of a tunnel that is still expected are known to its other end.
      // So is what a session has written, for as long as it is expected, refused or not.
      else if (isKeptWhole(expected().get(id), parts.isRefused(id))) discardLaneFiles(filesOf(id));
      else discardAll(id);
    },
    discardUnlessHeld: (id) => {
      if (!units().has(id)) discardAll(id);
    },
    services: [pump, ...services],
  };
}

/** Each workload speaks in the journal under its own name: `journalctl -t sluice-cam-1`. */
function workloadJournal({ journal }: AgentContext): OutputJournal | undefined {
  if (journal === undefined) return undefined;
  return {
    write: (id, lines) => journal.write(`sluice-${id}`, lines),
    release: (id) => journal.release(`sluice-${id}`),
  };
}

function isKeptWhole(workload: Workload | undefined, isRefused: boolean): boolean {
  return workload?.kind === "session" || (workload?.kind === "tunnel" && !isRefused);
}
