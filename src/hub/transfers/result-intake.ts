import type { TransferFailureCode } from "../../contract/transfer/failure-code.ts";
import type { ResultAnswer, TransferResult } from "../../contract/transfer/transfer-result.ts";
import { requireTransfer } from "./find-transfer.ts";
import { poolsOf, type TransferHall } from "./transfer-hall.ts";
import { leaseIdOf, parseLeaseId, type Step, type Transfer, type TransferRecord } from "./transfer-record.ts";
import { applyResult, FINAL, MAX_FAILED, PASSING, type ResultOutcome } from "./unit-states.ts";
import { barOf } from "./worker-shares.ts";

/** What fails sooner than this after it was given out has not been tried: its worker's storage is gone, or the like. */
const FAST_MS = 2000;
const BLOCKED_REST_MS = 5000;
/** Of who may not write where another one may: that one does it. */
const BARRED_REST_MS = 30_000;
const REST_MS = { first: 500, most: 30_000 } as const;
const STEP_FAILURES = 3;
const BLOCKED: readonly TransferFailureCode[] = ["no-space", "read-only", "no-storage"];
/** Takes what workers tell of their leases. Each is applied once: by one conditional write, of the present attempt only. */
export function createResultIntake(hall: TransferHall): (result: TransferResult) => Promise<ResultAnswer> {
  const { book, pieces, watch, told, senders, wake, mark, workers, rests, notes, ways, applied, clock, inTurn } = hall;
  const { resultDurability: durability } = hall;

  const take = async (result: TransferResult): Promise<ResultAnswer["status"]> => {
    const leaseId = result.lease_id;
    // Before anything is asked of the request: it may be over by now, or gone.
    if (leaseId !== undefined && applied.has(result.worker_id, leaseId)) return "duplicate";
    let transfer: Transfer;
    try {
      transfer = await requireTransfer(hall, result.request_id, leaseId);
    } catch (thrown) {
      // It has heard that it was cancelled, and has let go.
      if (leaseId !== undefined) watch.over(leaseId);
      // Its staging can be removed.
      wake.ring();
      throw thrown;
    }
    if (leaseId === undefined) return takePlain(transfer, result);
    const lease = parseLeaseId(leaseId);
    if (lease === undefined) return "stale";
    const { unit, attempt } = lease;
    switch (unit.kind) {
      case "serve":
        // All of it has been sent: who has it needs nobody any more.
        senders.over(leaseIdOf(transfer.uid, `${unit.piece}.${unit.index}`, attempt));
        if (result.dial_failed) await serveFailed(transfer, { ...unit, attempt }, result);
        return "ack";
      case "unit":
        return takeUnit(transfer, { ...unit, attempt, leaseId }, result);
      case "plain":
        return takePlain(transfer, result, unit.index);
      case "list":
      case "close":
      case "discard":
        return takeStep(transfer, { name: unit.kind, attempt, leaseId }, result);
    }
  };

  const takeUnit = async (
    known: Transfer,
    lease: { readonly piece: number; readonly index: number; readonly attempt: number; readonly leaseId: string },
    result: TransferResult,
  ): Promise<ResultAnswer["status"]> => {
    // It is whole, and what became of its units is not kept.
    if (known.phase === "completed") return "stale";
    // Another hub may have taken pages since.
    const transfer = lease.piece < known.list.pieces ? known : await book.get(known.id);
    if (transfer === undefined || transfer.uid !== known.uid || lease.piece >= transfer.list.pieces) return "stale";
    const seen = watch.of(transfer.uid).find(({ id }) => id === lease.leaseId);
    const apply = (isFresh: boolean) =>
      pieces.change(
        transfer,
        lease.piece,
        ({ piece, states }): { states: typeof states; answer: ResultOutcome } => {
          const { attempt, index } = lease;
          const { list, request } = transfer;
          const isVerify = request.mode === "verify";
          const told = applyResult(piece, states, { unit: index, attempt, round: list.round, isVerify, result });
          return { states: told.states, answer: told };
        },
        { isFresh, durability },
      );
    let outcome = await apply(false);
    // What this hub holds may be older than the lease, which another one gave.
    if (outcome.answer !== "ack") outcome = await apply(true);
    if (outcome.answer !== "ack") return outcome.answer;
    watch.over(lease.leaseId);
    senders.over(lease.leaseId);
    if (outcome.states.units[lease.index]?.state === "done") told.forget(transfer.uid, { kind: "unit", ...lease });
    const name = `${transfer.uid}:${lease.piece}.${lease.index}`;
    await noteWay(transfer, result);
    if (outcome.problem === undefined) await workers.succeeded(result.worker_id);
    else
      await afterProblem(
        transfer,
        { name, problem: outcome.problem, grantedMs: seen?.grantedMs, attempt: lease.attempt },
        result,
      );
    return "ack";
  };

  /** What came, and by which way: for people, and for the next choice. */
  const noteWay = async (transfer: Transfer, { way, worker_id: worker, ...told }: TransferResult): Promise<void> => {
    if (way === undefined || (told.items.length === 0 && told.item_hashes === undefined)) return;
    if (way !== "local" && transfer.source !== undefined) ways.worked(worker, transfer.source.storage, way);
    if (transfer.ways?.includes(way) === true) return;
    await book.change(transfer.id, (fresh) =>
      fresh.uid !== transfer.uid || fresh.ways?.includes(way) === true
        ? undefined
        : { ...fresh, ways: [...(fresh.ways ?? []), way] },
    );
  };

  const afterProblem = async (
    transfer: Transfer,
    what: {
      readonly name: string;
      readonly problem: NonNullable<ResultOutcome["problem"]>;
      readonly grantedMs: number | undefined;
      readonly attempt: number;
    },
    result: TransferResult,
  ): Promise<void> => {
    const { code, message, source, isAll } = what.problem;
    if (result.dial_failed) giveUp(transfer, result.worker_id, result);
    if (code === "cancelled") return;
    notes.say(transfer.id, `${source ?? result.worker_id}: ${code}${message === "" ? "" : `: ${message}`}`);
    if (source === undefined && (code === "no-space" || (code === "read-only" && isAlone(transfer, result)))) {
      // Nothing else would fit either.
      rests.rest(`${transfer.uid}:copy`, BLOCKED_REST_MS);
      return;
    }
    rests.rest(what.name, Math.min(REST_MS.most, REST_MS.first * 2 ** Math.min(10, what.attempt - 1)));
    if (source !== undefined) {
      if (!FINAL.includes(code)) ways.sourceFailed(result.worker_id, source);
      return;
    }
    // Of two that do not hear each other nobody knows whose fault it is.
    if (result.dial_failed || ["fenced", "source-changed", "unreachable"].includes(code)) return;
    // What anybody would meet there is said of what was asked for: a name that is gone or taken, and what the only one may not.
    if (FINAL.includes(code)) return;
    if (code === "denied") {
      const isCopy = transfer.request.mode !== "verify";
      if (isAll && isCopy && !isAlone(transfer, result)) rests.rest(barOf(transfer, result.worker_id), BARRED_REST_MS);
      return;
    }
    if (!isAll) {
      await workers.succeeded(result.worker_id);
      return;
    }
    const isFast = what.grantedMs !== undefined && clock.monotonicMs() - what.grantedMs < FAST_MS;
    await workers.failed(result.worker_id, { text: `${code}: ${message}`, isFast });
  };

  /** A storage that one worker may not write is a matter of that worker where another has it too, and may. */
  const isAlone = (transfer: Transfer, { worker_id: id }: TransferResult) =>
    !poolsOf(transfer, hall).destinations.some(
      ({ worker }) => worker.id !== id && rests.isOver(barOf(transfer, worker.id)),
    );

  const giveUp = (transfer: Transfer, destination: string, { way = "destination", message }: TransferResult) => {
    if (transfer.source === undefined || way === "local") return;
    ways.giveUp(destination, transfer.source.storage, { way, reason: message.slice(0, 300) });
  };

  /** The destination would wait in vain for who was to come to it: it is given the unit again, by another way. */
  const serveFailed = async (
    transfer: Transfer,
    unit: { readonly piece: number; readonly index: number; readonly attempt: number },
    result: TransferResult,
  ): Promise<void> => {
    if (unit.piece >= transfer.list.pieces) return;
    const { piece, states } = await pieces.load(transfer, unit.piece, { isFresh: true });
    const state = states.units[unit.index];
    const copied = piece.units[unit.index];
    if (copied === undefined || state?.worker === undefined || state.attempt !== unit.attempt) return;
    const name = `${unit.piece}.${unit.index}`;
    const message = result.message === "" ? `${result.worker_id} could not reach it` : result.message;
    const paths = copied.items.flatMap(({ entry }) => piece.entries[entry]?.path ?? []);
    const leaseId = leaseIdOf(transfer.uid, name, unit.attempt);
    await takeUnit(
      transfer,
      { ...unit, leaseId },
      {
        ...result,
        worker_id: state.worker,
        success: false,
        lease_id: leaseId,
        way: result.way ?? "source",
        message,
        items: [],
        item_hashes: undefined,
        failures: paths.map((path) => ({ path, code: "unreachable" as const, message: message.slice(0, 1000) })),
      },
    );
  };

  const takeStep = async (
    transfer: Transfer,
    lease: { readonly name: "list" | "close" | "discard"; readonly attempt: number; readonly leaseId: string },
    result: TransferResult,
  ): Promise<ResultAnswer["status"]> => {
    const { name } = lease;
    let answer = "stale" as ResultAnswer["status"];
    const after = await book.change(transfer.id, (fresh) => {
      const step = fresh[name];
      if (fresh.uid !== transfer.uid || step.attempt !== lease.attempt) {
        answer = "stale";
        return undefined;
      }
      if (step.isDone || step.worker !== result.worker_id) {
        answer = step.isDone ? "duplicate" : step.worker === undefined ? "duplicate" : "stale";
        return undefined;
      }
      answer = "ack";
      return { ...fresh, ...stepAfter(fresh, name, result) };
    });
    if (answer !== "ack") return answer;
    watch.over(lease.leaseId);
    const step = after?.[name];
    if (step !== undefined && !step.isDone) {
      const isBlocked = result.failures.some(({ code }) => BLOCKED.includes(code));
      const restMs = isBlocked ? BLOCKED_REST_MS : REST_MS.first * 2 ** Math.min(6, step.failed);
      rests.rest(`${transfer.uid}:${name}`, restMs);
      notes.say(transfer.id, `${result.worker_id} could not ${name} it: ${whyOf(result)}`);
    }
    return "ack";
  };

  /** By the forms of a worker that knows of no leases: what it has of this request. */
  const takePlain = async (
    transfer: Transfer,
    result: TransferResult,
    only?: number,
  ): Promise<ResultAnswer["status"]> => {
    let answer = "stale" as ResultAnswer["status"];
    let leaseId: string | undefined;
    await book.change(transfer.id, (fresh) => {
      const steps = fresh.plain ?? [];
      const mine = (step: (typeof steps)[number], index: number) =>
        step.worker === result.worker_id &&
        (only === undefined || (only === index && step.attempt === (result.attempt ?? step.attempt)));
      const index = steps.findIndex((step, at) => !step.isDone && mine(step, at));
      const step = steps[index];
      if (fresh.uid !== transfer.uid || step === undefined) {
        answer = steps.some(mine) ? "duplicate" : "stale";
        return undefined;
      }
      answer = "ack";
      leaseId = leaseIdOf(fresh.uid, `plain-${index}`, step.attempt);
      const { message } = result;
      const failure = {
        path: step.path,
        code: "io" as const,
        message: message === "" ? "the worker did not say why" : message.slice(0, 300),
      };
      return {
        ...fresh,
        plain: steps.map((other, at) =>
          at === index ? { ...step, isDone: true, failed: result.success ? 0 : 1, message } : other,
        ),
        failures: result.success ? fresh.failures : [...fresh.failures, failure],
      };
    });
    if (leaseId !== undefined) watch.over(leaseId);
    return answer;
  };

  const note = ({ lease_id: lease, worker_id: worker }: TransferResult) => {
    // One that serves may be told to once more under the same lease.
    if (lease !== undefined && parseLeaseId(lease)?.unit.kind !== "serve") applied.note(worker, lease);
  };

  return (result) =>
    // Of different leases they go on beside each other, and are written together.
    inTurn(`result/${result.request_id}/${result.lease_id ?? result.worker_id}`, async () => {
      const status = await take(result);
      if (status === "ack") {
        note(result);
        mark(result.request_id);
        wake.ring();
      }
      return { status };
    });
}

function whyOf({ message, failures: [first] }: TransferResult): string {
  if (first !== undefined) return `${first.code}: ${first.message}`;
  return message === "" ? "it did not say why" : message;
}

/** Pure. A step that failed is given out again, a few times; the removal of what was staged always. */
function stepAfter(
  transfer: Transfer,
  name: "list" | "close" | "discard",
  result: TransferResult,
): Partial<TransferRecord> {
  const step = transfer[name];
  const [failure] = result.failures;
  const isDone = result.success && name !== "list";
  if (isDone) return { [name]: { ...step, isDone: true } };
  const isLetGo =
    result.success || (failure !== undefined && result.failures.every(({ code }) => PASSING.includes(code)));
  const { worker: _, ...free } = step;
  const failed = isLetGo ? step.failed : step.failed + 1;
  const next: Step = { ...free, failed };
  if (name === "discard" || failed < (name === "list" ? STEP_FAILURES : MAX_FAILED)) return { [name]: next };
  const code = failure?.code ?? "io";
  const message = `${result.worker_id} could not ${name} it: ${whyOf(result)}`.slice(0, 300);
  return {
    [name]: { ...next, isDone: true },
    failures: [...transfer.failures, { path: failure?.path ?? "", code, message }],
  };
}
