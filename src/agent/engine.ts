import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { createPidLister } from "../base/process-sweep.ts";
import type { RunDirectory } from "../base/run-directory.ts";
import type { Service } from "../base/service.ts";
import type { AgentStatus, LinkStatus } from "../contract/local-status.ts";
import type { Workload } from "../contract/workload.ts";
import type { AgentContext, Notices } from "./agent-context.ts";
import type { Guard } from "./guard/guard.ts";
import { openGuard } from "./guard/open-guard.ts";
import { createHealthWatch, type HealthWatch } from "./health/health-watch.ts";
import { type CommandedStore, createCommandedStore, withCommanded } from "./reconcile/commanded-store.ts";
import { createExpectedStore, type ExpectedStore } from "./reconcile/expected-store.ts";
import { createReconciler, type Reconciler } from "./reconcile/reconciler.ts";
import { awaitsLaterWord } from "./reconcile/session-memory.ts";
import { type Unit, unitsOf } from "./reconcile/unit.ts";
import type { CommandedFile } from "./registry/commanded-file.ts";
import type { ExpectedFile } from "./registry/expected-file.ts";
import type { Registry } from "./registry/registry.ts";
import { openEngines } from "./runtime/open-engines.ts";
import { createFileStartFreer } from "./runtime/output/free-file-start.ts";
import type { OutputJournal } from "./runtime/output/output-owner.ts";
import { createProcessRuntime } from "./runtime/process/linux-process-runtime.ts";
import { createOutputPump, DEFAULT_PUMP_OPTIONS } from "./runtime/process/output-pump.ts";
import type { WorkloadFiles } from "./runtime/process/process-runtime.ts";
import { createProcessSession } from "./runtime/process/process-session.ts";
import { createSessionProcesses } from "./runtime/process/session-processes.ts";
import { discardLaneFiles, discardWorkloadFiles, filesOfWorkload } from "./runtime/process/workload-files.ts";
import type { Lane } from "./runtime/run-handle.ts";
import { createWorkloadRuntime } from "./runtime/workload-runtime.ts";
import { createNodeSampler, type NodeSampler } from "./telemetry/node-sampler.ts";
import { createUsageSampler, type UsageSampler } from "./telemetry/usage-sampler.ts";
import type { WorkloadDriver } from "./workload/driver.ts";
import { createSecretKeeper, type SecretHolder } from "./workload/secret-keeper.ts";
import { openSessions } from "./workload/session/open-sessions.ts";
import type { SessionKeeper } from "./workload/session/session-keeper.ts";
import { createRecordingPruner } from "./workload/stream/recording-pruner.ts";
import { systemStreamDisk } from "./workload/stream/stream-disk.ts";
import { openTunnels } from "./workload/tunnel/open-tunnels.ts";
import type { TunnelKeeper } from "./workload/tunnel/tunnel-keeper.ts";

/** What makes expected streams run: the expected set, the reconciler, and what watches over both. */
export interface Engine {
  /** What the server expects, and what it has asked for by command. */
  readonly store: ExpectedStore;
  readonly commanded: CommandedStore;
  readonly reconciler: Reconciler;
  readonly usage: UsageSampler;
  readonly guard: Guard;
  readonly tunnels: TunnelKeeper;
  readonly sessions: SessionKeeper;
  readonly node: Pick<NodeSampler, "latest">;
  readonly health: Pick<HealthWatch, "incidents" | "gaps">;
  readonly services: readonly Service[];
  readonly filesOf: (workloadId: string) => WorkloadFiles;
  /** Whether what the agent knows would survive it. */
  durability(): AgentStatus["registry"];
  /** Resolves when everything is on disk, or the disk has been given up on. */
  commit(): Promise<void>;
}

export interface EngineParts {
  readonly runDirectory: RunDirectory;
  readonly bootId: string;
  readonly registry: Registry;
  readonly expectedFile: ExpectedFile;
  readonly commandedFile: CommandedFile;
  /** Start from an empty set, whatever the file says. */
  readonly isCleared: boolean;
  readonly driverOf: (kind: string) => WorkloadDriver | undefined;
  readonly link: () => LinkStatus;
}

/** As often as a report tells it. */
const USAGE_PERIOD_MS = 15_000;
const PRUNE_PERIOD_MS = 30_000;
const LANES: readonly Lane[] = [0, 1];

export function createEngine(context: AgentContext, parts: EngineParts, notices: Notices): Engine {
  const { clock, random, redactor, logFor, options, life } = context;
  const { registry, expectedFile, commandedFile, driverOf } = parts;
  const logDir = dirname(options.files.log);
  const filesOf = (id: string, lane?: Lane) =>
    filesOfWorkload({ stateDir: options.files.stateDir, logDir, runDir: parts.runDirectory.path }, id, lane);

  const secrets = createSecretKeeper({
    clock,
    redactor,
    isExpected: (id) => store.state().workloads.has(id),
    holders: () => [...reconciler.units().values()].flatMap(unitsOf).flatMap(secretHolderOf),
  });
  const learnSecrets = (workloads: Iterable<Workload>) => {
    for (const workload of workloads) {
      const learnt = driverOf(workload.kind)?.secrets(workload);
      if (learnt !== undefined) secrets.learn(workload.id, learnt);
    }
  };
  const expectedChanged = () => {
    // The lap has judged what the keepers look after.
    reconciler.wake({ reason: "expected", isLoud: true });
    tunnels.poke();
    sessions.poke();
    notices.changed();
  };
  const server = createExpectedStore(
    { shrinkHoldMs: options.reconcile.shrinkHoldMs, isConfirmed: parts.isCleared },
    parts.isCleared ? { workloads: [] } : expectedFile.loaded,
    {
      clock,
      log: logFor("RECONCILE"),
      running: () => new Set(processes().flatMap(({ id }) => (commanded.state().sessions.has(id) ? [] : [id]))),
      save: (document) => {
        expectedFile.save(document);
        // What is told of it waits for this.
        return expectedFile.commit().then(notices.changed);
      },
      onPut: learnSecrets,
      onChange: () => {
        commanded.expectedChanged();
        expectedChanged();
      },
    },
  );
  const commanded = createCommandedStore(
    { isCleared: parts.isCleared },
    {
      file: commandedFile,
      expected: server,
      admit: (workload) => driverOf(workload.kind)?.admit(workload),
      onPut: learnSecrets,
      onChange: expectedChanged,
    },
  );
  const store = withCommanded(server, commanded);

  const guard = openGuard(context, {
    expected: () => store.state().workloads,
    units: () => reconciler.units(),
    usageOf: (pid) => usage.of(pid),
    isAtRest: (id) => sessions.isAtRest(id),
    wake: () => reconciler.wake({ reason: "guard", isLoud: false }),
    notices,
  });
  const expected = () => guard.effective(store.state().workloads);

  // A process is started only after what expects it is on disk: one that is recorded and not expected was given up.
  const commit = async () => {
    await Promise.all([registry.commit(), expectedFile.commit(), commandedFile.commit()]);
  };
  const pump = createOutputPump(
    {
      ...DEFAULT_PUMP_OPTIONS,
      totalBytes: options.guard.logsBytes,
      logDirectory: logDir,
      agentLogName: basename(options.files.log),
    },
    {
      clock,
      log: logFor("STREAM"),
      redact: redactor.redact,
      progress: context.progress.loop("output pump"),
      journal: workloadJournal(context),
      freeStart: createFileStartFreer(context.spawner.runProgram),
    },
  );
  const { engines, services: engineServices } = openEngines(context, {
    takeIn: (found) => reconciler.takeIn(found),
    onChange: () => {
      reconciler.wake({ reason: "platform", isLoud: false });
      sessions.poke();
      notices.changed();
    },
    // Until the server has said what it expects, nothing is known to be discarded.
    isKept: (id) => !store.isConfirmed() || store.state().workloads.has(id) || reconciler.units().has(id),
  });
  const discardRuns = (id: string) => {
    for (const engine of engines.values()) void engine.discard(id);
  };
  const sessionProcesses = createSessionProcesses({ clock, table: context.table });
  const discardUnlessHeld = (id: string) => {
    if (reconciler.units().has(id)) return;
    for (const each of LANES) discardWorkloadFiles(filesOf(id, each));
    discardRuns(id);
  };
  const reconciler = createReconciler(
    { intervalMs: options.reconcile.intervalMs, updateDeadlineMs: options.streams.updateDeadlineMs },
    {
      clock,
      random,
      logFor,
      redactor,
      room: guard,
      runtime: createWorkloadRuntime(
        createProcessRuntime(
          { stateDir: options.files.stateDir },
          {
            clock,
            log: logFor("PID"),
            spawner: context.spawner,
            table: context.table,
            listPids: createPidLister({ table: context.table, clock, log: logFor("PID") }),
            place: guard.place,
            signal: life,
          },
        ),
        engines,
        (handle) =>
          createProcessSession(handle, {
            clock,
            table: context.table,
            processes: sessionProcesses,
            freezer: guard.freezer,
          }),
      ),
      records: { ...registry, commit: () => commit() },
      pump,
      driverOf,
      filesOf,
      discardFiles: (id, lane) => {
        if (lane !== undefined) discardLaneFiles(filesOf(id, lane));
        // The keys of a tunnel that is still expected are known to its other end.
        // So is what a session has written, for as long as it is expected, refused or not.
        else if (isKeptWhole(store.state().workloads.get(id), reconciler.refusals().has(id)))
          discardLaneFiles(filesOf(id));
        else {
          for (const each of LANES) discardWorkloadFiles(filesOf(id, each));
          discardRuns(id);
        }
      },
      newNonce: () => randomBytes(16).toString("hex"),
      boxId: options.box.id,
      bootId: parts.bootId,
      expected,
      awaits: (workload) =>
        awaitsLaterWord(store.state().sessions, workload.id) ?? tunnels.awaits(workload) ?? sessions.awaits(workload),
      rests: (workload) => sessions.rests(workload),
      onFinished: ({ id, kind }, text) => {
        if (kind === "session") sessions.finished(id, text);
      },
      restraint: {
        failed: (failure) => tunnels.explainsFailure(failure.id) || health.incidents.failed(failure),
        turnInMs: (id) => health.incidents.turnInMs(id),
      },
      isStoredSetWhole:
        expectedFile.loaded !== undefined && expectedFile.problems.length + commandedFile.problems.length === 0,
      isExpectedConfirmed: store.isConfirmed,
      onChange: () => {
        tunnels.poke();
        sessions.poke();
        notices.changed();
      },
      onOccurrence: notices.occurred,
      progress: context.progress.loop("reconciler"),
    },
  );

  const tunnels = openTunnels(
    context,
    {
      expected,
      isRefused: (id) => reconciler.refusals().has(id),
      reconciler: () => reconciler,
      pump,
      driverOf,
      directoryOf: (id) => filesOf(id).directory,
      discard: discardUnlessHeld,
    },
    notices,
  );

  const sessions = openSessions(
    context,
    {
      expected,
      isRefused: (id) => reconciler.refusals().has(id),
      reconciler: () => reconciler,
      engines,
      directoryOf: (id) => filesOf(id).directory,
      discard: discardUnlessHeld,
    },
    notices,
  );

  const processes = () => [...reconciler.units().values()].flatMap(unitsOf).filter(hasProcess);
  const durability = () => {
    const statuses = [registry.status(), expectedFile.status(), commandedFile.status()];
    return statuses.find(({ durable }) => !durable) ?? { durable: true };
  };
  const health = createHealthWatch(
    context,
    {
      bootId: parts.bootId,
      gapFile: join(options.files.stateDir, "gaps.json"),
      driverOf,
      filesOf,
      expected,
      units: reconciler.units,
      isRefused: (id) => reconciler.refusals().has(id),
      blockOf: (id) => {
        const block = reconciler.blocked().get(id);
        if (block === undefined) return undefined;
        return "text" in block ? "waiting" : "resource-taken";
      },
      link: parts.link,
      disk: durability,
      wake: () => reconciler.wake({ reason: "health", isLoud: false }),
      hasten: reconciler.hasten,
      isAtRest: sessions.isAtRest,
      holdOf: (id) => guard.holdOf(id)?.by,
      breachOf: guard.breachOf,
    },
    notices,
  );
  const pruner = createRecordingPruner(
    { intervalMs: PRUNE_PERIOD_MS },
    {
      clock,
      log: logFor("STREAM"),
      disk: systemStreamDisk,
      // Only what was admitted ever gets a process.
      workloads: () => [...store.state().workloads.values()].filter(({ id }) => reconciler.units().get(id)?.handle),
    },
  );
  const usage = createUsageSampler(
    { periodMs: USAGE_PERIOD_MS },
    { clock, pids: () => processes().flatMap(({ handle }) => handle?.identity?.pid ?? []) },
  );
  const node = createNodeSampler(
    { periodMs: USAGE_PERIOD_MS, diskPaths: [options.files.stateDir, ...options.policy.fileRoots] },
    { clock },
  );

  const runReconciler = async (signal: AbortSignal) => {
    await reconciler.run(signal);
    if (options.shutdown.streams === "stop") await reconciler.stopAll();
  };

  return {
    store,
    commanded,
    reconciler,
    usage,
    node,
    filesOf,
    guard,
    tunnels,
    sessions,
    services: [
      pump,
      health,
      guard,
      tunnels,
      sessions,
      ...engineServices,
      { name: "usage", run: usage.run },
      { name: "node", run: node.run },
      pruner,
      secrets,
      { name: "reconciler", run: runReconciler },
    ],
    health,
    durability,
    commit: async () => {
      await Promise.all([commit(), health.gaps.commit()]);
    },
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

function hasProcess({ handle }: Unit): boolean {
  return handle !== undefined;
}

function secretHolderOf({ id, phase, handle, launchedAtMs }: Unit): readonly SecretHolder[] {
  if (phase === "launching") return [{ id, launchedAtMs: undefined }];
  return handle === undefined ? [] : [{ id, launchedAtMs }];
}
