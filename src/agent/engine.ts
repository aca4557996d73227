import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { RunDirectory } from "../base/run-directory.ts";
import type { Service } from "../base/service.ts";
import type { AgentStatus, LinkStatus } from "../contract/local-status.ts";
import type { AgentContext, Notices } from "./agent-context.ts";
import type { Guard } from "./guard/guard.ts";
import { openGuard } from "./guard/open-guard.ts";
import { createHealthWatch, type HealthWatch } from "./health/health-watch.ts";
import { openExpected } from "./open-expected.ts";
import { openRuntime } from "./open-runtime.ts";
import type { CommandedStore } from "./reconcile/commanded-store.ts";
import type { ExpectedStore } from "./reconcile/expected-store.ts";
import { createReconciler, type Reconciler } from "./reconcile/reconciler.ts";
import { awaitsLaterWord } from "./reconcile/session-memory.ts";
import { unitsOf } from "./reconcile/unit.ts";
import type { CommandedFile } from "./registry/commanded-file.ts";
import type { ExpectedFile } from "./registry/expected-file.ts";
import type { Registry } from "./registry/registry.ts";
import type { VolumeRules } from "./registry/volume-rules.ts";
import type { WorkloadFiles } from "./runtime/process/process-runtime.ts";
import { createNodeSampler, type NodeSampler } from "./telemetry/node-sampler.ts";
import { createUsageSampler, type UsageSampler } from "./telemetry/usage-sampler.ts";
import type { WorkloadDriver } from "./workload/driver.ts";
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
  readonly volumeRules: VolumeRules;
  /** Start from an empty set, whatever the file says. */
  readonly isCleared: boolean;
  readonly driverOf: (kind: string) => WorkloadDriver | undefined;
  readonly link: () => LinkStatus;
}

/** As often as a report tells it. */
const USAGE_PERIOD_MS = 15_000;
const PRUNE_PERIOD_MS = 30_000;

export function createEngine(context: AgentContext, parts: EngineParts, notices: Notices): Engine {
  const { clock, random, redactor, logFor, options } = context;
  const { registry, expectedFile, commandedFile, volumeRules, driverOf } = parts;
  const units = () => reconciler.units();
  const isRefused = (id: string) => reconciler.refusals().has(id);
  const pokeKeepers = () => {
    tunnels.poke();
    sessions.poke();
    notices.changed();
  };
  const { store, commanded, secrets } = openExpected(context, {
    ...parts,
    units,
    onChange: () => {
      // The lap has judged what the keepers look after.
      reconciler.wake({ reason: "expected", isLoud: true });
      pokeKeepers();
    },
    onStored: notices.changed,
  });
  const guard = openGuard(context, {
    expected: () => store.state().workloads,
    units,
    usageOf: (pid) => usage.of(pid),
    isAtRest: (id) => sessions.isAtRest(id),
    wake: () => reconciler.wake({ reason: "guard", isLoud: false }),
    notices,
  });
  const expected = () => guard.effective(store.state().workloads);
  const { runtime, engines, pump, filesOf, discardFiles, discardUnlessHeld, ...opened } = openRuntime(context, {
    runDirectory: parts.runDirectory,
    volumeRules,
    guard,
    isExpectedConfirmed: store.isConfirmed,
    expectedConfirmed: store.confirmed,
    expected: () => store.state().workloads,
    units,
    isRefused,
    takeIn: (found) => reconciler.takeIn(found),
    isAwaited: (platform) => sessions.isAwaited(platform),
    onPlatform: () => {
      reconciler.wake({ reason: "platform", isLoud: false });
      sessions.poke();
      notices.changed();
    },
  });
  // A process is started only after what expects it is on disk: one that is recorded and not expected was given up.
  const commit = async () => {
    await Promise.all([registry, expectedFile, commandedFile, volumeRules].map((document) => document.commit()));
  };
  const reconciler = createReconciler(
    { intervalMs: options.reconcile.intervalMs, updateDeadlineMs: options.streams.updateDeadlineMs },
    {
      clock,
      random,
      logFor,
      redactor,
      room: guard,
      runtime,
      records: { ...registry, commit: () => commit() },
      pump,
      driverOf,
      filesOf,
      discardFiles,
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
      onChange: pokeKeepers,
      onOccurrence: notices.occurred,
      progress: context.progress.loop("reconciler"),
    },
  );

  const tunnels = openTunnels(
    context,
    {
      expected,
      isRefused,
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
      isRefused,
      reconciler: () => reconciler,
      engines,
      directoryOf: (id) => filesOf(id).directory,
      discard: discardUnlessHeld,
    },
    notices,
  );

  const durability = () => {
    const statuses = [registry, expectedFile, commandedFile, volumeRules].map((document) => document.status());
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
      units,
      isRefused,
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
      workloads: () => [...store.state().workloads.values()].filter(({ id }) => units().get(id)?.handle),
    },
  );
  const usage = createUsageSampler(
    { periodMs: USAGE_PERIOD_MS },
    { clock, pids: () => [...units().values()].flatMap(unitsOf).flatMap(({ handle }) => handle?.identity?.pid ?? []) },
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
      ...opened.services,
      health,
      guard,
      tunnels,
      sessions,
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
