import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { RunProgram } from "../base/spawn.ts";
import { createWake } from "../base/wake.ts";
import type { Assignment } from "../contract/transfer/assignment.ts";
import type { TransferResultInput } from "../contract/transfer/transfer-result.ts";
import type { WorkerConfig, WorkerCredentials } from "../contract/transfer/worker-config.ts";
import type { WorkerHeartbeatInput } from "../contract/transfer/worker-heartbeat.ts";
import { createAbilities } from "./abilities.ts";
import { fault, toFault } from "./fault.ts";
import { createHubLink } from "./hub-link.ts";
import { createHubRetry } from "./hub-retry.ts";
import { packItemHashes } from "./pack-hashes.ts";
import { createRequestPaces } from "./request-paces.ts";
import { startDataServer } from "./send/data-server.ts";
import { createBulkFiles } from "./storage/bulk-file.ts";
import { createStorages } from "./storage/storages.ts";
import { streamsFor } from "./stream-count.ts";
import { runWork } from "./tasks/run-work.ts";
import type { TaskContext, TaskOutcome } from "./tasks/task-context.ts";
import { createTicketChecker } from "./wire/check-ticket.ts";
import { createDialler } from "./wire/data-dial.ts";
import { createEndpointTurns } from "./wire/endpoint-turns.ts";
import { createPace } from "./wire/pace.ts";
import { createPushedLinks } from "./wire/pushed-links.ts";
import { createRoutedLinks } from "./wire/routed-link.ts";

export interface WorkerDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly pid: number;
  readonly bootId: string;
  readonly runProgram: RunProgram;
  readonly credentials: () => WorkerCredentials;
  /** Of the certificate in the credentials. */
  readonly certificateSha256: () => string;
  readonly endpoints: (port: number) => WorkerHeartbeatInput["data_plane_endpoints"];
}

interface Running {
  readonly assignment: Assignment;
  readonly outcome: TaskOutcome;
  readonly stop: AbortController;
  readonly done: Promise<void>;
  bytes: number;
  /** Little is left to come, or to be told: another may have its stream. */
  isNearlyDone: boolean;
  /** For the rate: what it had at the last heartbeat. */
  beatBytes: number;
}

const FIRST_BEAT_MS = 3000;
/** The hub gives out what is under way here: it has not heard of it yet. */
const TOLD_AGAIN_MS = 500;
const LOOK_MS = 1000;
/** So long a key may open nothing before that is believed: while it is changed, the old one goes a little before the new one comes. */
const STRANGER_MS = 10_000;
/** Of what is told meanwhile. */
const STRANGER_ATTEMPTS = 8;
/** So often at most the same work is done for a hub that does not take its result. */
const UNTAKEN_MS = 10_000;
/** At a time, beside the streams. */
const MAX_SERVES = 64;

/** Works for the hub until the signal; then what is under way ends, and its journals say how far it was. */
export async function runWorker(config: WorkerConfig, deps: WorkerDeps, signal: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  const hub = createHubLink(config.workerId, deps);
  const tickets = createTicketChecker({ workerId: config.workerId, nowSeconds: hub.nowSeconds });
  const storages = createStorages(config.storages, { log, clock });
  const identity = () => deps.credentials().identity;
  const changes = createWake({ clock });
  const endpoints = createEndpointTurns(clock);
  const dialler = createDialler({ clock, identity, endpoints, onRoundTrip: changes.ring });
  const routed = createRoutedLinks({
    clock,
    identity,
    // Most workers never need it, and it takes memory.
    openDialler: async () => {
      const { createRouterDialler } = await import("../remote/router-dialler.ts");
      const authorities = () => [deps.credentials().ca].filter((ca) => ca !== undefined);
      return createRouterDialler({ client: `sluice/${config.version}` }, { clock, authorities });
    },
  });
  const sendPace = createPace(() => config.maxBytesPerSecond, clock);
  const pushed = createPushedLinks(clock);
  const paces = createRequestPaces(clock);
  const bulkFiles = createBulkFiles(clock);
  const serveDeps = { clock, bulkFiles, tickets, storageOf: storages.of, pace: sendPace };
  const running = new Map<string, Running>();
  const retry = createHubRetry(deps);
  const context: TaskContext = {
    clock,
    bulkFiles,
    log,
    pid: deps.pid,
    runProgram: deps.runProgram,
    workerId: config.workerId,
    hub,
    dialler,
    routed,
    storageOf: storages.of,
    awaitPushed: pushed.wait,
    receivePace: createPace(() => config.maxBytesPerSecond, clock),
    serveDeps,
  };
  let port = config.listen?.port ?? 0;
  if (config.listen !== undefined) {
    const server = await startDataServer(
      { ...config.listen, allowsPlain: config.endpoints.some(({ trusted }) => trusted === true) },
      { ...serveDeps, log, identity, takePushed: pushed.take, onSent: () => undefined, signal },
    );
    const address = server.address();
    if (typeof address === "object" && address !== null) port = address.port;
    log.info(`The data plane listens on ${config.listen.host}:${port}`);
  }

  const abilities = createAbilities(deps);
  let sequence = 0;
  let beatMs = clock.monotonicMs();
  const heard = Promise.withResolvers<void>();
  const beat = async (): Promise<number> => {
    storages.reopen();
    const nowMs = clock.monotonicMs();
    const seconds = Math.max(0.001, (nowMs - beatMs) / 1000);
    beatMs = nowMs;
    const answer = await hub.heartbeat(
      {
        worker_id: config.workerId,
        status: running.size > 0 ? "TRANSFERRING" : "IDLE",
        timestamp: new Date(clock.wallMs()).toISOString(),
        data_plane_endpoints: config.listen === undefined ? [] : deps.endpoints(port),
        ways: [...config.ways],
        storages: [...storages.views()],
        storage_problems: [...storages.problems()],
        certificate_sha256: deps.certificateSha256(),
        abilities: [...(await abilities())],
        boot_id: deps.bootId,
        sequence: sequence++,
        version: config.version,
        leases: [...running.values()].map((one) => {
          const rate = (one.bytes - one.beatBytes) / seconds;
          one.beatBytes = one.bytes;
          const { lease_id, attempt } = one.assignment;
          const { way } = one.outcome;
          return { lease_id, attempt, transferred_bytes: one.bytes, rate, ...(way === undefined ? {} : { way }) };
        }),
      },
      signal,
    );
    tickets.keys(answer.ticket_keys);
    for (const { lease_id: lease, reason } of answer.revoked) {
      running.get(lease)?.stop.abort(fault("fenced", `the hub has taken the lease back: ${reason}`));
    }
    paces.told(answer.rates);
    heard.resolve();
    retry.answered();
    return answer.heartbeat_seconds * 1000;
  };

  const beatOn = async () => {
    let waitMs = FIRST_BEAT_MS;
    let failures = 0;
    let strangerSinceMs: number | undefined;
    while (!signal.aborted) {
      try {
        waitMs = await beat();
        if (failures > 0) log.info("The hub answers again");
        failures = 0;
        strangerSinceMs = undefined;
      } catch (thrown) {
        if (signal.aborted) return;
        if (isStranger(thrown)) strangerSinceMs ??= clock.monotonicMs();
        // Revoked, or of a store that was emptied: nobody waits for any of this, and others may be given the same.
        if (strangerSinceMs !== undefined && clock.monotonicMs() - strangerSinceMs >= STRANGER_MS) {
          for (const { stop } of running.values()) {
            stop.abort(fault("fenced", "the hub does not know this box any more", thrown));
          }
        }
        if (failures++ === 0) log.warn(`The hub does not take the heartbeat: ${messageOf(thrown)}. Attempts go on`);
      }
      await clock.delay(failures === 0 ? waitMs : Math.min(waitMs, FIRST_BEAT_MS), signal).catch(() => undefined);
    }
  };

  const tell = async (result: TransferResultInput) => {
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await hub.result(result, signal);
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        const isWorthIt = isStranger(thrown)
          ? attempt < STRANGER_ATTEMPTS
          : thrown instanceof AppError && thrown.code === "unavailable";
        if (!isWorthIt) {
          log.error(`The hub does not take a result of ${result.request_id}: ${messageOf(thrown)}`);
          // As long as this is among what the worker has, nobody is given the same again.
          await clock.delay(UNTAKEN_MS, signal).catch(() => undefined);
          return;
        }
      }
      await retry.pause(attempt, signal);
    }
  };

  const work = async (one: Running) => {
    const { assignment, outcome } = one;
    let error: ReturnType<typeof toFault> | undefined;
    const stop = AbortSignal.any([signal, one.stop.signal]);
    const borrowed = storages.borrow();
    const onBytes = (bytes: number) => {
      one.bytes += bytes;
    };
    try {
      const rate = assignment.work.kind === "copy" ? assignment.work.rate_bytes_s : undefined;
      const pace = paces.granted({ id: assignment.lease_id, request: assignment.request_id, rate });
      await runWork(assignment, outcome, {
        context: { ...context, storageOf: borrowed.of },
        signal: stop,
        onBytes,
        onNearlyDone: () => {
          if (one.isNearlyDone) return;
          one.isNearlyDone = true;
          changes.ring();
        },
        pace,
      });
    } catch (thrown) {
      error = toFault(one.stop.signal.aborted ? one.stop.signal.reason : thrown);
    } finally {
      borrowed.giveBack();
      paces.over(assignment.lease_id);
    }
    if (signal.aborted) return;
    if (error !== undefined) {
      log.warn(
        `${assignment.work.kind} of ${assignment.request_id} (attempt ${assignment.attempt}): ${messageOf(error)}`,
      );
      failRest(assignment, outcome, error);
    }
    // A walk has done its work where it could; what it left out it tells.
    const mayLeaveOut = assignment.work.kind === "list";
    await tell({
      request_id: assignment.request_id,
      worker_id: config.workerId,
      success: error === undefined && (mayLeaveOut || outcome.failures.length === 0),
      message: (error === undefined ? outcome.message : messageOf(error)).slice(0, 4000),
      completed_at: new Date(clock.wallMs()).toISOString(),
      lease_id: assignment.lease_id,
      attempt: assignment.attempt,
      ...doneOf(assignment, outcome),
      failures: outcome.failures,
      bytes_sent: outcome.bytesSent,
      dial_failed: outcome.isDialFailed,
      ...(outcome.way === undefined ? {} : { way: outcome.way }),
    });
  };

  const begin = (assignment: Assignment) => {
    const stop = new AbortController();
    const done = Promise.withResolvers<void>();
    const one: Running = {
      assignment,
      outcome: { items: [], failures: [], bytesSent: 0, isDialFailed: false, way: undefined, message: "" },
      stop,
      done: done.promise,
      bytes: 0,
      isNearlyDone: false,
      beatBytes: 0,
    };
    running.set(assignment.lease_id, one);
    changes.ring();
    void work(one)
      .catch((thrown: unknown) => log.error(`A lease ended in a fault of ours: ${messageOf(thrown)}`))
      .finally(() => {
        running.delete(assignment.lease_id);
        done.resolve();
        changes.ring();
      });
  };

  const isServing = ({ assignment }: Running) => assignment.work.kind === "serve";
  /** The farthest source that bytes are brought from now, over connections of ours. */
  const roundTripMs = () => {
    const farMs = [...running.values()].flatMap(({ assignment: { work } }) => {
      if (work.kind !== "copy" || work.local || work.dial !== "destination") return [];
      const ms = work.sources.flatMap((source) => dialler.roundTripMs(source.worker_id) ?? []);
      return ms.length === 0 ? [] : [Math.min(...ms)];
    });
    return farMs.length === 0 ? undefined : Math.max(...farMs);
  };
  /** Those that serve are not counted: a worker waits elsewhere for each, and two full ones would wait for each other. */
  const freeStreams = () => {
    const streams = streamsFor(config.maxStreams, roundTripMs());
    const held = [...running.values()].filter((one) => !isServing(one));
    const busy = held.filter(({ isNearlyDone }) => !isNearlyDone);
    // A hub that takes no results does not make it take more and more.
    return Math.max(0, Math.min(streams - busy.length, 2 * streams - held.length));
  };
  const hasRoomToServe = () => [...running.values()].filter(isServing).length < MAX_SERVES;
  /** Of `what`: work while there is a stream free for it, or, while there is none, what others wait for. */
  const takeOn = async (what: "work" | "serves") => {
    await Promise.race([
      heard.promise,
      new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true })),
    ]);
    let failures = 0;
    while (!signal.aborted) {
      const free = freeStreams();
      if ((what === "work") !== free > 0 || !hasRoomToServe()) {
        await changes.wait(LOOK_MS, signal).catch(() => undefined);
        continue;
      }
      try {
        const ask =
          what === "work" ? { free, boot_id: deps.bootId, leases: [...running.keys()] } : ({ free: 0 } as const);
        const assignment = await hub.assignment(ask, signal);
        failures = 0;
        if (assignment !== undefined && !running.has(assignment.lease_id)) begin(assignment);
        else if (assignment !== undefined || what === "serves") await clock.delay(TOLD_AGAIN_MS, signal);
      } catch (thrown) {
        if (signal.aborted) break;
        if (failures++ === 0) log.debug(`The hub gives no work: ${messageOf(thrown)}`);
        await retry.pause(failures, signal);
      }
    }
  };

  try {
    await Promise.all([beatOn(), takeOn("work"), takeOn("serves")]);
    await Promise.all([...running.values()].map(({ done }) => done));
  } finally {
    dialler.close();
    routed.close();
    storages.close();
  }
}

function isStranger(thrown: unknown): boolean {
  return thrown instanceof AppError && thrown.code === "unauthorized";
}

/** As hashes alone where the hub takes them: what it gave out it knows. */
function doneOf({ work }: Assignment, { items }: TaskOutcome): Pick<TransferResultInput, "items" | "item_hashes"> {
  const isPacked = work.kind === "copy" && work.takes_hashes && items.length > 0;
  const packed = isPacked ? packItemHashes(work.items, items) : undefined;
  return packed === undefined ? { items } : { item_hashes: packed };
}

/** What is neither done nor told is told with the lease's own failure: it is not the fault of any one file. */
function failRest({ work }: Assignment, outcome: TaskOutcome, { code, message }: ReturnType<typeof toFault>): void {
  const told = new Set([...outcome.items, ...outcome.failures].map(({ path }) => path));
  const paths =
    work.kind === "copy"
      ? work.items.map(({ entry }) => entry.path)
      : work.kind === "finish"
        ? [work.entry.path]
        : [""];
  for (const path of paths) {
    if (!told.has(path)) outcome.failures.push({ path, code, message: message.slice(0, 1000) });
  }
}
