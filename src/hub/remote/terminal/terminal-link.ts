import type { KeyObject } from "node:crypto";
import { type BackoffOptions, fullJitterMs } from "../../../base/backoff.ts";
import type { Clock } from "../../../base/clock.ts";
import { AppError } from "../../../base/errors.ts";
import type { Random } from "../../../base/random.ts";
import { toAppError } from "../../../contract/error-code.ts";
import type { RemoteAdmission } from "../../../contract/fleet/remote.ts";
import type { CarrierEnd } from "../../../remote/carrier.ts";
import { proofTaskOf, proveToBox } from "../../../remote/proven-carrier.ts";
import type { RemoteSession } from "../../../remote/remote-session.ts";
import type { RouterDialler } from "../../../remote/router-dialler.ts";

/** With the key that its ticket names. */
export type ProvableAdmission = RemoteAdmission & { readonly privateKey: KeyObject };

export interface TerminalLinkDeps {
  readonly session: RemoteSession;
  readonly dialler: Pick<RouterDialler, "join">;
  readonly rejoin: () => Promise<ProvableAdmission>;
  /** Why the hub has ended the session; `undefined`: it has not. */
  readonly reasonOf: () => Promise<string | undefined>;
  /** One line for people, which holds until the next; empty: all is well. */
  readonly onNote: (text: string) => void;
  readonly clock: Clock;
  readonly random: Random;
}

const BACKOFF: BackoffOptions = { baseMs: 250, maxMs: 5000 };
/** The same attempt again, or another router, may do. */
const PASSING: ReadonlySet<string> = new Set([
  "unavailable",
  "store-unavailable",
  "exhausted",
  "rate-limited",
  "internal",
]);
const RESUMABLE: ReadonlySet<CarrierEnd["reason"]> = new Set([
  "peer-lost",
  "broken",
  "draining",
  "replaced",
  "rendezvous-timeout",
]);

/**
 * Carries a session between the hub, as its operator's end, and the box, through breaks, until it is over at both ends or the signal.
 * Rejects with what makes it impossible to go on.
 */
export async function carryTerminal(
  first: ProvableAdmission,
  deps: TerminalLinkDeps,
  signal: AbortSignal,
): Promise<void> {
  const { session, dialler, clock, random, onNote } = deps;
  const over = new AbortController();
  void session.closed.then(() => over.abort());
  const both = AbortSignal.any([signal, over.signal]);
  let admission: ProvableAdmission | undefined = first;
  let wasTogether = false;
  let brokenAtMs: number | undefined;

  /** Why it cannot go on, in the hub's words where the hub knows them. */
  const lost = async (error: AppError) => {
    const reason = await deps.reasonOf().catch(() => undefined);
    return reason === undefined ? error : new AppError("cancelled", reason, { cause: error });
  };

  for (let attempt = 0; !both.aborted; attempt++) {
    let why: string;
    try {
      admission ??= await deps.rejoin();
      const { router, ticket } = admission;
      const task = proofTaskOf(admission, { privateKey: admission.privateKey, isSealed: true });
      admission = undefined;
      const target = { router, ticket, traffic: "interactive", isSealed: true } as const;
      const joined = await dialler.join(target, { onWaiting: onNote }, both);
      const carrier = await proveToBox(joined, task, { clock });
      onNote("");
      wasTogether = true;
      brokenAtMs = undefined;
      attempt = 0;
      const end = await session.carry(carrier);
      // What was closed with the last frames is known after this turn.
      await Promise.resolve();
      if (both.aborted || end.reason === "peer-done") return;
      if (!RESUMABLE.has(end.reason)) throw new AppError("cancelled", end.message);
      why = end.message;
    } catch (thrown) {
      if (both.aborted) return;
      const error = toAppError(thrown);
      if (!PASSING.has(error.code) && !(wasTogether && error.code === "timeout")) throw await lost(error);
      why = error.message;
    }
    brokenAtMs ??= clock.monotonicMs();
    const { resumeSeconds } = first.limits;
    if (clock.monotonicMs() - brokenAtMs > resumeSeconds * 1000) {
      throw await lost(new AppError("timeout", `the box did not come back within ${resumeSeconds} s: ${why}`));
    }
    if (attempt === 0)
      onNote(`${wasTogether ? "the connection to the box is lost" : "the box was not reached"} (${why}); trying again`);
    await clock.delay(fullJitterMs(attempt, BACKOFF, random), both).catch(() => undefined);
  }
}
