import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { AppError, messageOf } from "../base/errors.ts";
import { createHttpFetch } from "../base/http-fetch.ts";
import type { LogComponent } from "../base/log.ts";
import { createMetricsServer } from "../base/metrics-server.ts";
import { createProcessTable } from "../base/process-table.ts";
import { createProgressWatch } from "../base/progress-watch.ts";
import { leaveRunDirectory, openRunDirectory } from "../base/run-directory.ts";
import { runServices } from "../base/service.ts";
import { acquireStateLock } from "../base/state-lock.ts";
import { createWinstonLog } from "../base/winston-log.ts";
import type { AgentOptions } from "../config/agent-options.ts";
import type { AgentContext, AgentDeps, Notices } from "./agent-context.ts";
import { createAgentView } from "./agent-view.ts";
import { createBadInputs } from "./bad-inputs.ts";
import { judgeBoot } from "./boot/boot-facts.ts";
import { createEngine } from "./engine.ts";
import { readsClientCertificate } from "./enrol/client-certificate.ts";
import { openUplink } from "./enrol/open-uplink.ts";
import { createLocalApi, LOCAL_API_SOCKET } from "./local-api/local-api.ts";
import { createLocalSource } from "./local-source.ts";
import { openSegmentMover } from "./open-segment-mover.ts";
import { openCommandJournal } from "./registry/command-journal.ts";
import { createCommandedFile } from "./registry/commanded-file.ts";
import { createExpectedFile } from "./registry/expected-file.ts";
import { createRegistry } from "./registry/registry.ts";
import { openVolumeRules } from "./registry/volume-rules.ts";
import { openRemote } from "./remote/open-remote.ts";
import { createLogLedger } from "./runtime/output/log-ledger.ts";
import { UNKNOWN_BOOT_ID } from "./runtime/process/linux-process-runtime.ts";
import { createServiceManager } from "./service-manager/service-manager.ts";
import { statusLine } from "./service-manager/status-line.ts";
import { cleanupWithAgent } from "./start-marks/cleanup-with-agent.ts";
import { createStartMarks } from "./start-marks/start-marks.ts";
import { openTransfer } from "./transfer/open-transfer.ts";
import { createUplinkLink, createUplinkReporter } from "./uplink.ts";
import type { WorkloadDriver } from "./workload/driver.ts";
import { createHostPorts } from "./workload/session/host-ports.ts";
import { createSessionDriver } from "./workload/session/session-driver.ts";
import type { SessionKeeper } from "./workload/session/session-keeper.ts";
import { systemStreamDisk } from "./workload/stream/stream-disk.ts";
import { createStreamDriver } from "./workload/stream/stream-driver.ts";
import { createTunnelDriver, type TunnelDriverDeps } from "./workload/tunnel/tunnel-driver.ts";
import { createTunnelFacts } from "./workload/tunnel/tunnel-facts.ts";

/** How late a loop may be on a busy machine before the watchdog goes hungry. */
const LOOP_GRACE_MS = 30_000;
/** The service manager is not kept waiting for a socket that a full disk does not allow. */
const READY_LIMIT_MS = 5000;

/**
 * Runs the agent until the signal, and resolves when it has let go of everything but its streams. Rejects with `conflict`
 * when another agent holds the state directory, and with `config` for what only a look at the disk can show to be wrong.
 */
export async function runAgent(options: AgentOptions, given: AgentDeps, signal: AbortSignal): Promise<void> {
  const { clock, redactor } = given;
  const certificate = readsClientCertificate(options.link);
  const deps: AgentDeps =
    certificate === undefined
      ? given
      : { ...given, clientCertificate: certificate, fetch: createHttpFetch({ certificate }) };
  const { stateDir } = options.files;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  await mkdir(dirname(options.files.log), { recursive: true, mode: 0o700 });
  trustAuthority(options.link.caFile);
  const sink = createWinstonLog(
    { ...options.log, filePath: options.files.log, console: deps.console.form },
    { clock, redact: redactor.redact, stream: deps.console.stream },
  );
  const logFor = (component: LogComponent) => sink.for(component);
  const table = createProcessTable();
  const life = new AbortController();
  try {
    const nowIso = () => new Date(clock.wallMs()).toISOString();
    const lock = await acquireStateLock(stateDir, { table, log: logFor("INIT"), pid: deps.pid, nowIso });
    try {
      const progress = createProgressWatch({ graceMs: LOOP_GRACE_MS }, { clock });
      const uplink = await openUplink(options, { ...deps, log: logFor("INIT") });
      await runLocked(
        { ...deps, ...uplink, table, progress, logFor, logLedger: createLogLedger(), life: life.signal },
        signal,
      );
    } finally {
      life.abort(new AppError("cancelled", "the agent has ended"));
      await lock.release();
    }
  } catch (thrown) {
    logFor("INIT").error(`The agent ends: ${messageOf(thrown)}`);
    throw thrown;
  } finally {
    await sink.close();
  }
}

async function runLocked(context: AgentContext, signal: AbortSignal): Promise<void> {
  const { clock, redactor, options, logFor, table } = context;
  const { stateDir } = options.files;
  const startedWallMs = clock.wallMs();
  logFor("INIT").info(
    `Sluice agent ${context.version} (pid ${context.pid}) for box ${options.box.id}, state in ${stateDir}`,
  );
  const runDirectory = openRunDirectory({
    stateDir,
    runtimeDirectory: context.runtimeDirectory,
    xdgRuntimeDirectory: context.xdgRuntimeDirectory,
    userId: context.userId,
  });
  const boot = judgeBoot(
    { stateDir, thresholdMs: options.boot.detectionThresholdMs },
    { table, clock, log: logFor("BOOT") },
  );
  const bootId = boot.today.bootId ?? UNKNOWN_BOOT_ID;
  const fileDeps = { clock, log: logFor("REGISTRY"), signal: context.life };
  const registry = createRegistry({ file: options.files.registry }, fileDeps);
  const expectedFile = createExpectedFile({ file: options.files.persistentState }, fileDeps);
  const commandedFile = createCommandedFile({ file: join(stateDir, "commanded_state.json") }, fileDeps);
  const volumeRules = openVolumeRules({ file: join(stateDir, "volume_rules.json") }, fileDeps);
  if (boot.verdict === "reboot") registry.clear();
  const isCleared = boot.verdict === "reboot" && options.boot.onReboot === "clear";
  const badInputs = createBadInputs();
  const tunnelFacts = createTunnelFacts(options.tunnels, { runProgram: context.spawner.runProgram, clock });
  badInputs.add(
    "stored-state",
    [registry, expectedFile, commandedFile, volumeRules].flatMap(({ problems }) => problems).length,
  );

  const driverOf = createDrivers(context, {
    tunnels: {
      runProgram: context.spawner.runProgram,
      healthOf: (id) => engine.tunnels.healthOf(id),
      onWritten: (id, spec) => engine.tunnels.written(id, spec),
    },
    sessions: () => engine.sessions,
  });
  const journal = openCommandJournal(join(stateDir, "commands.json"), fileDeps);
  const reporter = createUplinkReporter(context, { journal, picture: () => view.reportPicture() });
  const notices: Notices = {
    changed: reporter.changed,
    occurred: (occurrence) =>
      reporter.occurred({
        ...occurrence,
        text: redactor.redact(occurrence.text),
        ...(occurrence.incident === undefined
          ? {}
          : { incident: { ...occurrence.incident, cause: redactor.redact(occurrence.incident.cause) } }),
        at: new Date(clock.wallMs()).toISOString(),
      }),
  };
  const engine = createEngine(
    context,
    {
      runDirectory,
      bootId,
      registry,
      expectedFile,
      commandedFile,
      volumeRules,
      isCleared,
      driverOf,
      link: () => link.status(),
    },
    notices,
  );
  const { store, reconciler } = engine;
  const remote = await openRemote(context, { runDirectory, bootId, fileDeps });
  remote.onEnd(reporter.changed);
  const link = createUplinkLink(context, engine, {
    reporter,
    badInputs,
    journal,
    logFile: (id) => source.logFile(id),
    touch: engine.sessions.touch,
    remote,
  });
  const segmentMover = openSegmentMover(context, engine);
  const view = createAgentView(
    {
      agentVersion: context.version,
      boxId: options.box.id,
      boxName: options.box.name,
      pid: context.pid,
      startedWallMs,
      verdict: boot.verdict,
      bootId,
    },
    {
      clock,
      expected: store.state,
      stored: store.stored,
      commanded: engine.commanded.state,
      units: reconciler.units,
      refusals: reconciler.refusals,
      blocked: reconciler.blocked,
      driverOf,
      usageOf: engine.usage.of,
      link: link.status,
      registry: engine.durability,
      report: reporter.status,
      hold: link.hold,
      enrolment: () => context.enrolment?.status(),
      proofOf: engine.health.gaps.of,
      incidents: () =>
        engine.health.incidents.status().map((incident) => ({ ...incident, cause: redactor.redact(incident.cause) })),
      badInputs: badInputs.counts,
      guard: engine.guard,
      node: engine.node.latest,
      capabilities: link.capabilities,
      remoteKey: remote.key,
      remoteEnds: () => [...remote.ends()],
      remote: remote.status(),
      tunnelOf: engine.tunnels.statusOf,
      tunnelFacts: tunnelFacts.read,
      sessions: engine.sessions,
      segmentsOf: segmentMover.countsOf,
      sessionFacts: () => engine.sessions.facts(),
    },
  );
  // Loaded by the first reader: most boxes have none, and the library holds 3 MB.
  const metrics = async () => {
    const { renderMetrics } = await import("./telemetry/metrics.ts");
    return renderMetrics(view.status(), { rssBytes: context.rssBytes(), startedWallMs });
  };
  const marks = createStartMarks(stateDir);
  const startTicks = table.stat(context.pid)?.startTicks ?? 0;
  const at = new Date(startedWallMs).toISOString();
  await marks.open({ kind: "agent", id: "agent", at, pid: context.pid, startTicks, bootId });
  const isExpected = (id: string) => store.state().workloads.has(id);
  const source = createLocalSource({
    view,
    metrics,
    reconciler,
    sessions: engine.sessions,
    cleanup: (wish) => cleanupWithAgent({ reconciler, marks, isExpected, startTicks }, wish),
    filesOf: engine.filesOf,
    isExpected,
    agentLog: options.files.log,
  });
  const serving = Promise.withResolvers<void>();
  const localApi = createLocalApi(
    { socketPath: join(stateDir, LOCAL_API_SOCKET) },
    {
      source,
      redactor,
      ledger: context.logLedger,
      clock,
      random: context.random,
      log: logFor("INIT"),
      onListening: () => serving.resolve(),
    },
  );
  const metricsServer = createMetricsServer(options.metrics, {
    render: async () => redactor.redact(await metrics()),
    clock,
    random: context.random,
    log: logFor("INIT"),
  });
  const serviceManager = createServiceManager({
    clock,
    log: logFor("INIT"),
    pid: context.pid,
    socket: context.notifySocket,
    progress: context.progress,
    ready: Promise.race([serving.promise, clock.delay(READY_LIMIT_MS, context.life).catch(() => undefined)]),
    statusLine: () => statusLine(view.status()),
  });

  // What may be recorded is known before anything is compared with what runs.
  await engine.guard.look();
  await reconciler.adopt();
  const isUnsure = [...reconciler.units().values()].some(({ isUnexplained }) => isUnexplained);
  // Without a cursor the server names the whole set.
  if (isCleared || isUnsure) await store.moveCursor("");
  await boot.save();
  reconciler.wake({ reason: "boot", isLoud: true });
  const enrolment = context.enrolment === undefined ? [] : [context.enrolment];
  const uplink = [...enrolment, reporter, ...link.services, remote, link];
  const transfer = openTransfer(context, { runDirectory });
  const beside = transfer === undefined ? [] : [transfer];
  await runServices(
    [...engine.services, segmentMover, localApi, metricsServer, ...uplink, ...beside, serviceManager],
    signal,
  );
  await engine.commit();
  leaveRunDirectory(runDirectory);
  const { size } = reconciler.units();
  logFor("INIT").info(
    options.shutdown.streams === "stop"
      ? "Stopped, and every stream with it"
      : `Stopped; ${size} ${size === 1 ? "stream goes" : "streams go"} on for the next agent`,
  );
}

interface DriverParts {
  readonly tunnels: TunnelDriverDeps;
  readonly sessions: () => SessionKeeper;
}

function createDrivers(
  { options, spawner }: AgentContext,
  { tunnels, sessions }: DriverParts,
): (kind: string) => WorkloadDriver | undefined {
  const { address, ports } = options.sessions;
  const hostPorts = createHostPorts({ address, ports }, { taken: (exceptId) => sessions().hostPorts(exceptId) });
  const drivers: readonly WorkloadDriver[] = [
    createStreamDriver(
      { streams: options.streams, policy: options.policy },
      { runProgram: spawner.runProgram, disk: systemStreamDisk },
    ),
    createTunnelDriver({ stunnelPath: options.tunnels.stunnelPath, policy: options.policy }, tunnels),
    createSessionDriver(
      { stateDir: options.files.stateDir, policy: options.policy, address },
      { disk: systemStreamDisk, keeper: sessions, placePorts: hostPorts.place },
    ),
  ];
  return (kind) => drivers.find((driver) => driver.kind === kind);
}

/** Every connection of this process trusts the configured authority beside the system's. */
function trustAuthority(caFile: string | undefined): void {
  if (caFile === undefined) return;
  try {
    setDefaultCACertificates([...getCACertificates("default"), readFileSync(caFile, "utf8")]);
  } catch (cause) {
    throw new AppError(
      "config",
      `link.caFile: ${caFile} cannot be used: ${messageOf(cause)}; allowed: PEM certificates`,
      {
        field: "link.caFile",
        cause,
      },
    );
  }
}
