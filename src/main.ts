#!/usr/bin/env node
import { randomUUID } from "node:crypto";
import { appendFileSync, closeSync, fstatSync, openSync, readFileSync, writeSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { homedir, hostname } from "node:os";
import { dirname } from "node:path";
import { systemClock } from "./base/clock.ts";
import { AppError, messageOf } from "./base/errors.ts";
import { fileIdentity } from "./base/file-identity.ts";
import { exitFlushed } from "./base/flushed.ts";
import { formatLogLine, type Log, type LogComponent } from "./base/log.ts";
import { systemRandom } from "./base/random.ts";
import { createRedactor } from "./base/redact.ts";
import type { Spawner } from "./base/spawn.ts";
import type { CommandContext, CommandIo } from "./cli/command-context.ts";
import { runProgram } from "./cli/program.ts";
import type { ForwardedSignal } from "./cli/remote/console.ts";
import type { RemoteTools } from "./cli/remote/remote-tools.ts";
import { ERROR_POLICY, toAppError } from "./contract/error-code.ts";
import { HOLDER_COMMAND } from "./contract/remote/holder-command.ts";
import { LINK_COMMAND } from "./contract/remote/link-command.ts";
import { WORKER_COMMAND } from "./contract/transfer/worker-command.ts";

/** Of one workload, while the journal does not read. */
const JOURNAL_QUEUE_BYTES = 262_144;

const clock = systemClock;
const redactor = createRedactor();

/** What a command does not need is not read for it: a person waits for each of them. */
const readSpawner = once(async () => {
  const { createSpawner } = await import("./base/spawn.ts");
  return createSpawner({ ambient: process.env }, { clock });
});
const spawner: Spawner = {
  spawnDetached: async (launch) => (await readSpawner()).spawnDetached(launch),
  runProgram: async (file, args, options) => (await readSpawner()).runProgram(file, args, options),
};

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

interface StopSignals {
  readonly signal: AbortSignal;
  /** They go to the listener instead, SIGQUIT too, and a reader that leaves is its own matter, until the returned function is called. */
  take(listener: (name: ForwardedSignal) => void): () => void;
}

/** The one signal of this process: the first SIGINT, SIGTERM or SIGHUP aborts it, the second ends the process at once. */
function createStopSignals(): StopSignals {
  const stop = new AbortController();
  let taken: ((name: ForwardedSignal) => void) | undefined;
  for (const name of ["INT", "TERM", "HUP"] as const) {
    process.on(`SIG${name}`, () => {
      if (taken !== undefined) return taken(name);
      if (stop.signal.aborted) process.exit(ERROR_POLICY.cancelled.exit);
      stop.abort(new AppError("cancelled", `received SIG${name}`));
    });
  }
  // A reader that left (`sluice status | head`) ends the command, and is no fault.
  process.stdout.on("error", () => {
    if (taken === undefined) stop.abort(new AppError("cancelled", "nobody reads the output"));
  });
  process.stderr.on("error", () => undefined);
  return {
    signal: stop.signal,
    take: (listener) => {
      const onQuit = () => listener("QUIT");
      taken = listener;
      process.on("SIGQUIT", onQuit);
      return () => {
        taken = undefined;
        process.off("SIGQUIT", onQuit);
      };
    },
  };
}

function createRemoteTools(stops: StopSignals): RemoteTools {
  const program = `sluice/${readVersion()}`;
  return {
    openConsole: async () => {
      const { createProcessConsole } = await import("./cli/remote/process-console.ts");
      const hasTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
      const runAtOnce = hasTerminal ? (await import("./base/run-at-once.ts")).runAtOnce : undefined;
      return createProcessConsole({ process, runAtOnce, terminalType: process.env["TERM"], takeSignals: stops.take });
    },
    createSession: async () => {
      const { createRemoteSession } = await import("./remote/remote-session.ts");
      const { createWindowLedger } = await import("./remote/receive-window.ts");
      return createRemoteSession(
        { side: "operator", program },
        { clock, newId: randomUUID, ledger: createWindowLedger() },
      );
    },
    createDialler: async ({ ca }) => {
      const { createRouterDialler } = await import("./remote/router-dialler.ts");
      // What a hub is trusted by may be its router's too.
      const authorities = ca === undefined ? [] : [ca];
      return createRouterDialler({ client: program }, { clock, authorities: () => authorities });
    },
    connectRemote: async (endpoint) => {
      redactor.addSecret(endpoint.token ?? "");
      const [{ createRemoteClient }, { createHttpFetch }] = await Promise.all([
        import("./client/remote-client.ts"),
        import("./base/http-fetch.ts"),
      ]);
      return createRemoteClient(endpoint, { fetch: createHttpFetch({ ca: endpoint.ca }), clock, random: systemRandom });
    },
    links: {
      userId: process.getuid?.() ?? 0,
      program: [process.execPath, process.version, ...fileIdentity(process.argv[1] ?? ""), readVersion()],
      startApart: async (launch) => (await import("./base/start-apart.ts")).startApart(launch),
    },
    // Later than all code of Node's own is loaded: what comes compiled with it is only taken as long as this is not set.
    moveBytes: () =>
      void import("node:v8").then(({ setFlagsFromString }) => setFlagsFromString("--heap-growing-percent=200")),
    random: systemRandom,
    self: [process.execPath, ...process.execArgv, ...process.argv.slice(1, 2)],
    runForeground: async (file, args, options) => {
      const { runForeground } = await import("./base/run-foreground.ts");
      return runForeground(file, args, options);
    },
    spawnDetached: spawner.spawnDetached,
    pid: process.pid,
  };
}

/**
 * What nobody foresaw ends the process with its reason on standard error, and in the agent's log where one is kept. The
 * service manager starts the next agent; streams do not notice.
 */
function endOnFault(crashLog: { path: string | undefined }): void {
  process.on("uncaughtException", (error) => {
    const text = `Unexpected fault, ending: ${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)}`;
    const line = `${formatLogLine(clock, "error", "INIT", redactor.redact(text))}\n`;
    const attempts = [
      () => writeSync(2, line),
      () => crashLog.path !== undefined && appendFileSync(crashLog.path, line, { mode: 0o600 }),
    ];
    for (const attempt of attempts) {
      try {
        attempt();
      } catch {
        // A closed terminal or a full disk: the exit status still tells.
      }
    }
    process.exit(ERROR_POLICY.internal.exit);
  });
}

function createIo(): CommandIo {
  const isTerminal = process.stdout.isTTY === true;
  const noColour = process.env["NO_COLOR"] ?? "";
  return {
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(redactor.redact(text)),
    isTerminal,
    hasColour: isTerminal && noColour === "" && process.env["TERM"] !== "dumb",
    // One that nobody has given a size says 0.
    columns: (isTerminal && process.stdout.columns) || undefined,
    ask:
      isTerminal && process.stdin.isTTY === true
        ? async (question, options) => (await import("./cli/terminal-input.ts")).askLine(question, options, process)
        : undefined,
    readInput: async () => (await import("./cli/terminal-input.ts")).readInput(process.stdin),
  };
}

/** Says on standard error what a helper of a command has to say. */
function createConsoleLog(io: CommandIo): Log {
  const say = (message: string) => io.writeError(`sluice: ${message}\n`);
  return { error: say, warn: say, info: () => undefined, debug: () => undefined };
}

function readVersion(): string {
  const parsed: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const version = typeof parsed === "object" && parsed !== null && "version" in parsed ? parsed.version : undefined;
  return typeof version === "string" ? version : "unknown";
}

/** systemd names the journal's socket by device and inode: only then do our lines go to the journal as they are. */
function isUnderJournal(): boolean {
  const [device, inode] = process.env["JOURNAL_STREAM"]?.split(":") ?? [];
  if (device === undefined || inode === undefined) return false;
  try {
    const { dev, ino } = fstatSync(1);
    return String(dev) === device && String(ino) === inode;
  } catch {
    return false;
  }
}

/** How this very program is started again: with Node's defaults, because what it is started for moves bytes. */
function ownProgram() {
  const names = ["NODE_COMPILE_CACHE", "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_"];
  const env = names.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { file: process.execPath, args: [process.argv[1] ?? ""], env: Object.fromEntries(env) };
}

/** For commands that are not for people: an agent starts them. */
async function runBeside(component: LogComponent, run: () => Promise<void>): Promise<number> {
  try {
    await run();
    return 0;
  } catch (thrown) {
    const error = toAppError(thrown);
    process.stderr.write(`${formatLogLine(clock, "error", component, messageOf(error))}\n`);
    return ERROR_POLICY[error.code].exit;
  }
}

async function runHolderCommand(config: string | undefined, signal: AbortSignal): Promise<number> {
  return runBeside("REMOTE", async () => {
    const { runHolder } = await import("./holder/holder.ts");
    await runHolder(config ?? "", { clock, pid: process.pid, runProgram: spawner.runProgram }, signal);
  });
}

async function runWorkerCommand(config: string | undefined, signal: AbortSignal): Promise<number> {
  return runBeside("TRANSFER", async () => {
    const { runTransferWorker } = await import("./worker/transfer-worker.ts");
    const { runProgram } = spawner;
    const deps = { clock, random: systemRandom, pid: process.pid, runProgram, input: process.stdin };
    await runTransferWorker(config ?? "", deps, signal);
  });
}

/** Of a link that stays behind commands: one of them has started it. */
async function runLinkCommand(signal: AbortSignal): Promise<number> {
  return runBeside("REMOTE", async () => {
    const { keepLink } = await import("./keep-link.ts");
    const input = readFileSync(0, "utf8");
    // What was read is gone with its last descriptor.
    closeSync(0);
    openSync("/dev/null", "r");
    process.umask(0o077);
    await keepLink(input, { clock, random: systemRandom, redactor, version: readVersion(), pid: process.pid }, signal);
  });
}

async function main(): Promise<number> {
  const crashLog: { path: string | undefined } = { path: undefined };
  endOnFault(crashLog);
  const stops = createStopSignals();
  const { signal } = stops;
  if (process.argv[2] === HOLDER_COMMAND) return runHolderCommand(process.argv[3], signal);
  if (process.argv[2] === LINK_COMMAND) return runLinkCommand(signal);
  if (process.argv[2] === WORKER_COMMAND) return runWorkerCommand(process.argv[3], signal);
  const io = createIo();
  const context: CommandContext = {
    version: readVersion(),
    io,
    signal,
    env: process.env,
    facts: {
      hostname: hostname(),
      isRoot: process.getuid?.() === 0,
      homeDirectory: homedir(),
      cwd: process.cwd(),
    },
    clock,
    readTextFile: (path) => readFile(path, "utf8"),
    writePrivateFile: async (path, text) => {
      const { replaceFile } = await import("./base/atomic-file.ts");
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await replaceFile(path, text, false);
    },
    connectHub: async (endpoint) => {
      redactor.addSecret(endpoint.token ?? "");
      const [{ createHubClient }, { createHttpFetch }] = await Promise.all([
        import("./client/hub-client.ts"),
        import("./base/http-fetch.ts"),
      ]);
      return createHubClient(endpoint, { fetch: createHttpFetch({ ca: endpoint.ca }), clock, random: systemRandom });
    },
    readCertificates: async (url, stop) => {
      const { readCertificateChain } = await import("./base/certificate-chain.ts");
      return readCertificateChain(url, stop);
    },
    connectAgent: async (socketPath) => (await import("./client/local-agent.ts")).createLocalAgent({ socketPath }),
    runAgent: async ({ options, warnings }, stop) => {
      crashLog.path = options.files.log;
      const { configuredSecrets } = await import("./config/configured-secrets.ts");
      const { httpFetch } = await import("./base/http-fetch.ts");
      const { createJournalStreams, JOURNAL_SOCKET } = await import("./base/journal-streams.ts");
      const { openNotifySocket } = await import("./base/notify-socket.ts");
      for (const secret of configuredSecrets(options)) redactor.addSecret(secret);
      for (const warning of warnings) createConsoleLog(io).warn(warning);
      const { runAgent } = await import("./agent/agent.ts");
      await runAgent(
        options,
        {
          clock,
          random: systemRandom,
          fetch: httpFetch,
          redactor,
          spawner,
          version: readVersion(),
          program: ownProgram(),
          pid: process.pid,
          userId: process.getuid?.() ?? 0,
          runtimeDirectory: process.env["RUNTIME_DIRECTORY"],
          xdgRuntimeDirectory: process.env["XDG_RUNTIME_DIR"],
          notifySocket: openNotifySocket(process.env, { runProgram: spawner.runProgram, pid: process.pid }),
          journal: isUnderJournal()
            ? createJournalStreams({ socketPath: JOURNAL_SOCKET, maxQueuedBytes: JOURNAL_QUEUE_BYTES }, { clock })
            : undefined,
          rssBytes: process.memoryUsage.rss,
          console: { form: isUnderJournal() ? "journal" : "plain", stream: process.stdout },
        },
        stop,
      );
    },
    runHub: async ({ options, warnings }, { newAdminToken }, stop) => {
      if (options.store.kind === "redis" && options.store.password !== undefined) {
        redactor.addSecret(options.store.password);
      }
      for (const warning of warnings) createConsoleLog(io).warn(warning);
      const { startHub } = await import("./start-hub.ts");
      await startHub(
        options,
        {
          clock,
          redactor,
          runProgram: spawner.runProgram,
          version: readVersion(),
          hostname: hostname(),
          console: { form: isUnderJournal() ? "journal" : "plain", stream: process.stdout },
          write: io.write,
          newAdminToken,
        },
        stop,
      );
    },
    runRouter: async ({ options }, stop) => {
      const { createWinstonLog } = await import("./base/winston-log.ts");
      const { runRouter } = await import("./router/run-router.ts");
      const form = isUnderJournal() ? "journal" : "plain";
      const sink = createWinstonLog(
        { level: options.log.level, maxFileBytes: 0, keepFiles: 0, console: form },
        { clock, redact: redactor.redact, stream: process.stdout },
      );
      const log = sink.for("REMOTE");
      const deps = { clock, random: systemRandom, log, version: readVersion(), addSecret: redactor.addSecret };
      try {
        await runRouter(options, { ...deps, announce: (port) => io.write(`Router: port ${port}\n`) }, stop);
      } finally {
        await sink.close();
      }
    },
    inspectBackup: async (path) => (await import("./hub/store/sqlite/inspect-backup.ts")).inspectBackup(path),
    restoreHub: async ({ options }, from) => {
      if (options.store.kind !== "sqlite") {
        throw new AppError(
          "unsupported",
          `--restore: the store is ${options.store.kind}; allowed: an SQLite file. Restore Redis by its own means`,
          { field: "--restore" },
        );
      }
      const { path } = options.store;
      const { restoreStore } = await import("./hub/store/sqlite/restore-store.ts");
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const nowIso = () => new Date(clock.wallMs()).toISOString();
      return { path, ...restoreStore({ from, path }, { newId: randomUUID, nowIso }) };
    },
    enrol: async ({ files, link }, wish, stop) => {
      const { enrolHere } = await import("./agent/enrol/enrol-here.ts");
      const log = createConsoleLog(io);
      const ca = link.caFile === undefined ? undefined : await readFile(link.caFile, "utf8");
      const { readsClientCertificate } = await import("./agent/enrol/client-certificate.ts");
      const { createHttpFetch } = await import("./base/http-fetch.ts");
      const clientCertificate = readsClientCertificate(link);
      const fetch = createHttpFetch({ ca, certificate: clientCertificate });
      const deps = { clock, fetch, clientCertificate, redactor, pid: process.pid, log };
      return enrolHere({ ...wish, stateDir: files.stateDir }, deps, stop);
    },
    cleanupWithoutAgent: async ({ files }, wanted) => {
      const { cleanUp } = await import("./clean-up.ts");
      return cleanUp(files, wanted, { clock, spawner, pid: process.pid, log: createConsoleLog(io), signal });
    },
    runProgram: spawner.runProgram,
    readFfmpeg: async (...given) => {
      const { readFfmpegCapabilities } = await import("./agent/workload/stream/ffmpeg-capabilities.ts");
      return readFfmpegCapabilities(...given);
    },
    remote: createRemoteTools(stops),
  };
  return runProgram(process.argv.slice(2), context);
}

await exitFlushed(process, await main());
