import type { KeyObject } from "node:crypto";
import { type BackoffOptions, fullJitterMs } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { RemoteCalls } from "../../client/remote-client.ts";
import type { RemoteAdmission, RemoteCreate } from "../../contract/fleet/remote.ts";
import { IDENTIFIER_PATTERN } from "../../contract/identifier-pattern.ts";
import { fingerprintOf, newRemoteKey, publicTextOf } from "../../contract/remote/remote-key.ts";
import type { Carrier } from "../../remote/carrier.ts";
import type { RemoteSession } from "../../remote/remote-session.ts";
import type { RouterDialler, Traffic } from "../../remote/router-dialler.ts";
import { formatDuration } from "../duration.ts";
import { judgeCarrierEnd, judgeRejoin } from "./judge-carrier-end.ts";
import { failure, failureOf, lostOf, type RemoteFailure } from "./remote-failure.ts";
import { checkBoxKey, type SealWish } from "./seal-flags.ts";

/** One session with a box, through all its carriers. */
export interface RemoteLink {
  readonly id: string;
  readonly box: string;
  readonly session: RemoteSession;
  /** `undefined`: closed in order, by us or by the box, or left. Never rejects. */
  readonly over: Promise<RemoteFailure | undefined>;
  /** Ends it in order and resolves when it is over. */
  close(): Promise<void>;
}

export interface RemoteLinkDeps {
  readonly hub: RemoteCalls;
  readonly dialler: Pick<RouterDialler, "join">;
  /** Id of the box that a person means. Rejects with `not-found` or `invalid`. */
  readonly findBox: (given: string, signal: AbortSignal) => Promise<string>;
  /** Asked for once the hub has been: what it takes to load is done while the hub and the box are at work. */
  readonly openSession: () => Promise<RemoteSession>;
  readonly clock: Clock;
  readonly random: Random;
  /** One line for a person, without its end. */
  readonly tell: (line: string) => void;
  /** As `tell`, of what only somebody who watches wants to know. */
  readonly hint: (line: string) => void;
}

export interface RemoteWish extends SealWish {
  /** Its id, or what a person calls it. */
  readonly box: string;
  readonly create: Omit<RemoteCreate, "key" | "seal">;
  readonly traffic: Traffic;
}

const BACKOFF: BackoffOptions = { baseMs: 250, maxMs: 5000 };
/** A break that mends sooner is not worth a line. */
const SILENT_MS = 2000;
/** A box that refuses tells the hub, and the router need not know of it. */
const ASK_HUB_MS = 1000;
const CLOSE_MS = 3000;
/** A box that comes sooner is not worth a line. */
const WAIT_UNTOLD_MS = 1000;
/** Before each further attempt at a router that was not reached. */
const TRY_AGAIN_MS = [50, 150, 400];

/**
 * Opens a session and resolves when the box is there. Rejects with `RemoteFailure`. Afterwards it comes back by itself as often as it
 * is cut off, until both ends agree that it is over or the box no longer waits for it.
 */
export async function openRemoteLink(wish: RemoteWish, deps: RemoteLinkDeps, signal: AbortSignal): Promise<RemoteLink> {
  const { clock } = deps;
  let admission: RemoteAdmission;
  let session: RemoteSession;
  let first: Carrier;
  const isSealed = wish.isSealed === true;
  try {
    const privateKey = newRemoteKey();
    const create = { ...wish.create, key: publicTextOf(privateKey), seal: isSealed };
    const admitted = admit(wish.box, create, deps, signal);
    const opened = Promise.all([deps.openSession(), import("../../remote/proven-carrier.ts")]);
    opened.catch(() => undefined);
    admission = await admitted;
    if (admission.warning !== undefined) deps.tell(admission.warning);
    checkBoxKey(admission, wish);
    if (isSealed)
      deps.hint(`sealed end to end, for the key ${fingerprintOf(admission.boxKey ?? "")} of ${admission.box}`);
    first = await joinAnywhere({ admission, privateKey }, wish, deps, signal);
    [session] = await opened;
  } catch (thrown) {
    throw failureOf(thrown);
  }
  const life = new AbortController();
  const over = keepCarried(first, { wish, admission, session, deps, signal: life.signal }).then((ended) => {
    // Whoever still holds a channel hears that nothing comes any more.
    session.close(ended);
    return ended;
  });
  return {
    id: admission.id,
    box: admission.box,
    session,
    over,
    close: async () => {
      session.close();
      const limit = clock.timer(CLOSE_MS, () => life.abort());
      await over;
      limit.clear();
    },
  };
}

/** A whole id is the usual case: what is none is found out, without a request of its own before each session. */
async function admit(
  given: string,
  create: RemoteCreate,
  { hub, findBox }: RemoteLinkDeps,
  signal: AbortSignal,
): Promise<RemoteAdmission> {
  if (IDENTIFIER_PATTERN.test(given)) {
    try {
      return await hub.create(given, create, signal);
    } catch (thrown) {
      // What is not there may be what the session is for, as well: then the hub says so again.
      if (!(thrown instanceof AppError && thrown.code === "not-found")) throw thrown;
    }
  }
  return hub.create(await findBox(given, signal), create, signal);
}

interface Kept {
  readonly wish: RemoteWish;
  readonly admission: RemoteAdmission;
  readonly session: RemoteSession;
  readonly deps: RemoteLinkDeps;
  readonly signal: AbortSignal;
}

/** Resolves when the session is over for this end. */
async function keepCarried(first: Carrier, kept: Kept): Promise<RemoteFailure | undefined> {
  const { session } = kept;
  const closing = new AbortController();
  const closed = session.closed.then(({ code, message }) => {
    closing.abort();
    return code === undefined ? undefined : lostOf(code, message);
  });
  let carrier: Carrier | undefined = first;
  try {
    while (carrier !== undefined) {
      const current: Carrier = carrier;
      const cut = () => current.cut();
      kept.signal.addEventListener("abort", cut, { once: true });
      const end = await session.carry(current).catch((thrown: unknown) => {
        throw failure("lost", "conflict", messageOf(thrown));
      });
      kept.signal.removeEventListener("abort", cut);
      // A `close` that came with the last frames settles in this turn.
      await Promise.resolve();
      if (closing.signal.aborted) return await closed;
      if (kept.signal.aborted) return undefined;
      const verdict = judgeCarrierEnd(end);
      if (verdict.kind === "over") return verdict.failure;
      carrier = await comeBack(verdict.reason, kept, closing.signal);
    }
    return closing.signal.aborted ? await closed : undefined;
  } catch (thrown) {
    return failureOf(thrown);
  }
}

/** Tries until the box no longer waits. `undefined`: the session was closed or left meanwhile. Rejects with `RemoteFailure`. */
async function comeBack(reason: string, kept: Kept, closing: AbortSignal): Promise<Carrier | undefined> {
  const { deps, admission, wish } = kept;
  const { box } = admission;
  const { clock, random, tell } = deps;
  const { resumeSeconds } = admission.limits;
  const brokenMs = clock.monotonicMs();
  const patience = new AbortController();
  const signal = AbortSignal.any([kept.signal, closing, patience.signal]);
  let last = reason;
  let hasTold = false;
  const silence = clock.timer(SILENT_MS, () => {
    hasTold = true;
    tell(`the connection to ${box} is lost (${last}); trying again for up to ${formatDuration(resumeSeconds)}`);
  });
  const limit = clock.timer(resumeSeconds * 1000, () => patience.abort());
  try {
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const carrier = await join(await rejoin(admission, deps, signal), wish, deps, signal);
        const seconds = (clock.monotonicMs() - brokenMs) / 1000;
        if (hasTold) tell(`connected to ${box} again after ${formatDuration(seconds)}`);
        return carrier;
      } catch (thrown) {
        if (signal.aborted) break;
        const verdict = judgeRejoin(thrown);
        if (verdict.kind === "over") throw verdict.failure;
        last = verdict.reason;
      }
      await clock.delay(fullJitterMs(attempt, BACKOFF, random), signal).catch(() => undefined);
    }
  } finally {
    silence.clear();
    limit.clear();
  }
  if (!patience.signal.aborted) return undefined;
  const waited = formatDuration(resumeSeconds);
  throw failure("lost", "timeout", `the connection to ${box} did not come back in ${waited}: ${last}`);
}

type OwnAdmission = { readonly admission: RemoteAdmission; readonly privateKey: KeyObject };

/** Each attempt is proved with a key of its own. */
async function rejoin(
  first: RemoteAdmission,
  { hub }: Pick<RemoteLinkDeps, "hub">,
  signal: AbortSignal,
): Promise<OwnAdmission> {
  const privateKey = newRemoteKey();
  const admission = await hub.rejoin(first.id, publicTextOf(privateKey), signal);
  // Whoever had the box's key when the session began has it still: the hub cannot send us to another.
  if (admission.boxKey === first.boxKey) return { admission, privateKey };
  throw new AppError("conflict", `${first.box} has another key than when the session began`);
}

/** Nothing was begun yet: where one router cannot be reached another may do, or the same one on another way through a balancer. */
async function joinAnywhere(
  first: OwnAdmission,
  wish: RemoteWish,
  deps: RemoteLinkDeps,
  signal: AbortSignal,
): Promise<Carrier> {
  const tried = new Set<string>();
  let own = first;
  let again = 0;
  for (;;) {
    try {
      return await join(own, wish, deps, signal);
    } catch (thrown) {
      if (signal.aborted || !(thrown instanceof AppError) || thrown.code !== "unavailable") throw thrown;
      tried.add(own.admission.router.id);
      const next = await rejoin(first.admission, deps, signal).catch(() => undefined);
      if (next === undefined) throw thrown;
      const isAgain = tried.has(next.admission.router.id);
      if (isAgain && again === TRY_AGAIN_MS.length) throw thrown;
      deps.hint(`${thrown.message}; trying router ${next.admission.router.id}${isAgain ? " again" : ""}`);
      if (isAgain) await deps.clock.delay(TRY_AGAIN_MS[again++] ?? 0, signal);
      own = next;
    }
  }
}

/** Waits at the router for the box, and proves itself to it. Rejects with the hub's word where the session ends meanwhile. */
async function join(
  { admission, privateKey }: OwnAdmission,
  { traffic, isSealed = false }: RemoteWish,
  { dialler, hub, clock, hint }: RemoteLinkDeps,
  signal: AbortSignal,
): Promise<Carrier> {
  const { id, router, ticket } = admission;
  const { proofTaskOf, proveEarly, proveToBox } = await import("../../remote/proven-carrier.ts");
  const task = proofTaskOf(admission, { privateKey, isSealed });
  const early = admission.takesEarlyProof === true && traffic !== "piped" && !isSealed ? proveEarly(task) : undefined;
  const first = early === undefined ? {} : { firstFrame: Buffer.from(early.frame).toString("base64") };
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const watched = watchForEnd({ id, hub, clock }, both).then((ended) => {
    if (ended !== undefined) stop.abort(ended);
  });
  let waiting: string | undefined;
  let isTold = false;
  const late = clock.timer(WAIT_UNTOLD_MS, () => {
    isTold = true;
    if (waiting !== undefined) hint(waiting);
  });
  const onWaiting = (text: string) => {
    waiting = text;
    if (isTold) hint(text);
  };
  try {
    const joined = await dialler.join({ router, ticket, traffic, isSealed, ...first }, { onWaiting }, both);
    return await proveToBox(joined, task, { clock }, early);
  } catch (thrown) {
    if (both.aborted) throw both.reason;
    // The router only says that it was told to end it; the hub knows why.
    const view = await hub.get(id, signal).catch(() => undefined);
    if (view?.state === "ended") throw new AppError("refused", view.reason, { cause: thrown });
    throw thrown;
  } finally {
    late.clear();
    stop.abort();
    await watched;
  }
}

async function watchForEnd(
  { id, hub, clock }: { readonly id: string } & Pick<RemoteLinkDeps, "hub" | "clock">,
  signal: AbortSignal,
): Promise<AppError | undefined> {
  while (!signal.aborted) {
    await clock.delay(ASK_HUB_MS, signal).catch(() => undefined);
    if (signal.aborted) return undefined;
    const view = await hub.get(id, signal).catch(() => undefined);
    if (view?.state === "ended") return new AppError("refused", view.reason);
  }
  return undefined;
}
