import { connect, type Socket } from "node:net";
import { boundedWait } from "../../base/bounded-wait.ts";
import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { Carrier } from "../../remote/carrier.ts";
import { createCarrierInbox } from "../../remote/carrier-inbox.ts";
import type { JoinHooks, JoinTarget } from "../../remote/router-dialler.ts";
import { createLinkWire } from "./link-wire.ts";
import { fromLinkError, type LinkCall, type Told, toTold } from "./link-words.ts";

/** A command's end of a link that stays behind commands: the keeper asks the hub and joins sessions in its place. */
export interface KeptLink {
  /** PID of its keeper. */
  readonly pid: number;
  /** Nothing can be asked of it any more. */
  readonly isGone: boolean;
  /** What the hub answers. Rejects with the hub's own word, or with `unavailable` when the keeper is gone. */
  call(call: LinkCall, signal: AbortSignal): Promise<unknown>;
  /** As a `RouterDialler`. A session outlives its keeper: it only needs another carrier. */
  join(target: JoinTarget, hooks: JoinHooks, signal: AbortSignal): Promise<Carrier>;
  close(): void;
}

/** A keeper is on this machine and does nothing slow: one that takes longer is stopped, or about to end. */
const GREETING_MS = 1000;
/** As long as a hub's answer may take, and a little more. */
const ANSWER_MS = 35_000;
const GONE = "the keeper of the link is gone";

type Answer = Extract<Told, { kind: "answer" }>;

/** Resolves with `undefined` where nobody listens, or does not answer at once. */
export function connectKeptLink(
  path: string,
  { idleSeconds, clock }: { readonly idleSeconds: number; readonly clock: Clock },
): Promise<KeptLink | undefined> {
  return new Promise((resolve) => {
    const waiting = new Map<number, (told: Answer | undefined) => void>();
    let serial = 0;
    let isGone = false;
    const socket = connect({ path });
    const leave = () => {
      isGone = true;
      limit.clear();
      socket.destroy();
      for (const settle of [...waiting.values()]) settle(undefined);
      resolve(undefined);
    };
    const limit = clock.timer(GREETING_MS, leave);
    const wire = createLinkWire(socket, {
      onWords: (words) => {
        const told = toTold(words);
        if (told?.kind === "answer") waiting.get(told.id)?.(told);
        if (told?.kind !== "used") return;
        limit.clear();
        resolve(linkOf(told.pid));
      },
      onFrame: leave,
    });
    socket.on("error", () => undefined);
    socket.once("close", leave);
    wire.say({ kind: "use", idleSeconds });

    const linkOf = (pid: number): KeptLink => ({
      pid,
      get isGone() {
        return isGone;
      },
      call: async (call, signal) => {
        signal.throwIfAborted();
        if (isGone) throw new AppError("unavailable", GONE);
        const id = ++serial;
        const told = await boundedWait<Answer | undefined>(
          {
            ms: ANSWER_MS,
            begin: (settle) => {
              waiting.set(id, settle);
              wire.say({ kind: "call", id, call });
              return () => waiting.delete(id);
            },
            // Silent for so long it is stopped: a command does without it from here on.
            late: () => void leave(),
          },
          { clock, signal },
        );
        if (told === undefined) throw new AppError("unavailable", GONE);
        if (told.error !== undefined) throw fromLinkError(told.error);
        return told.value;
      },
      join: (target, hooks, signal) => joinThrough(path, { target, hooks }, signal),
      close: () => socket.destroy(),
    });
  });
}

/** On a connection of its own, which then is the session's: its back-pressure is that session's alone. */
function joinThrough(
  path: string,
  { target, hooks }: { readonly target: JoinTarget; readonly hooks: JoinHooks },
  signal: AbortSignal,
): Promise<Carrier> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const socket = connect({ path, allowHalfOpen: true });
    const inbox = createCarrierInbox();
    const onAbort = () => {
      reject(signal.reason);
      socket.destroy();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    const settled = () => signal.removeEventListener("abort", onAbort);
    const wire = createLinkWire(socket, {
      onWords: (words) => {
        const told = toTold(words);
        if (told?.kind === "waiting") hooks.onWaiting?.(told.message);
        else if (told?.kind === "joined") {
          settled();
          resolve(carrierOf(told));
        } else if (told?.kind === "failed") {
          settled();
          reject(fromLinkError(told.error));
          socket.destroy();
        } else if (told?.kind === "end") {
          inbox.onEnd(told.end);
          socket.end();
        } else socket.destroy();
      },
      onFrame: inbox.onFrame,
      onDrain: inbox.onDrain,
    });
    let problem: unknown;
    socket.on("error", (thrown) => {
      problem = thrown;
    });
    socket.once("end", () => socket.end());
    socket.once("close", () => {
      settled();
      const message = problem === undefined ? GONE : `${GONE}: ${messageOf(problem)}`;
      reject(new AppError("unavailable", message));
      inbox.onEnd({ reason: "broken", message });
    });
    wire.say({ kind: "join", target });

    const carrierOf = ({ sessionId, routerId, peerClient }: Extract<Told, { kind: "joined" }>): Carrier => ({
      sessionId,
      routerId,
      peerClient,
      listen: inbox.listen,
      send: wire.frame,
      finish: () => endOf(socket),
      cut: () => {
        inbox.onEnd({ reason: "broken", message: "this end cut it" });
        socket.destroy();
      },
    });
  });
}

function endOf(socket: Socket): void {
  if (!socket.writableEnded) socket.end();
}
