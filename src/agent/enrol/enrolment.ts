import { AppError, messageOf } from "../../base/errors.ts";
import type { HttpFetch } from "../../base/http-fetch.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Service } from "../../base/service.ts";
import type { AgentStatus } from "../../contract/local-status.ts";
import { atLeastAsked, backoffDelayMs, longWaitMs } from "../link/retry-delay.ts";
import { type EnrolDeps, enrolBox } from "./enrol-box.ts";
import { rotateKey } from "./rotate-key.ts";

export interface EnrolmentOptions {
  readonly hub: string;
  readonly boxId: string;
  readonly name: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Age at which the key is changed. 0: never by itself. */
  readonly keyRotationMs: number;
}

export interface EnrolmentDeps extends EnrolDeps {
  readonly random: Random;
  readonly log: Log;
  /** Read for each attempt to enrol; `undefined`: there is none. */
  readonly token: () => Promise<string | undefined>;
}

/** This box's standing with its hub: becoming one of its boxes, and the key that opens it. */
export interface Enrolment extends Service {
  /** Resolves when this box has a key that the hub has taken; rejects with the signal's reason. */
  enrolled(signal: AbortSignal): Promise<void>;
  /** What opens the hub now; `undefined` before the enrolment. */
  key(): string | undefined;
  /** The authority that the enrolment token named, PEM; `undefined`: whom the system trusts. */
  ca(): string | undefined;
  /** Trusts that authority. */
  readonly fetch: HttpFetch;
  /** Changes the key now. */
  rotate(signal: AbortSignal): Promise<void>;
  status(): NonNullable<AgentStatus["enrolment"]>;
}

const RETRY_BASE_MS = 1000;
const ROTATION_RETRY_MS = 60_000;
/** The wall clock may be set meanwhile. */
const LOOK_AT_AGE_MS = 3_600_000;
/** The same token fails again, until somebody replaces it or undoes what stands against it. */
const HOPELESS: readonly string[] = ["invalid", "refused", "unauthorized", "conflict"];

export function createEnrolment(options: EnrolmentOptions, deps: EnrolmentDeps): Enrolment {
  const { clock, file, log, random } = deps;
  const ready = Promise.withResolvers<void>();
  let reason: string | undefined;
  let rotating: Promise<void> | undefined;

  const say = (text: string, message: string) => {
    if (message !== reason) log.warn(`${text}: ${message}. Attempts go on`);
    reason = message;
  };

  const enrolOnce = async (signal: AbortSignal) => {
    const token = await deps.token();
    if (token === undefined) throw new AppError("invalid", "there is no enrolment token any more");
    const state = await enrolBox({ ...options, token }, deps, signal);
    const approval = state === "pending" ? "; a person has to approve it before the hub lets it work" : "";
    log.info(`This box is enrolled as ${options.boxId}${approval}`);
  };

  const enrol = async (signal: AbortSignal) => {
    let failures = 0;
    let hopeless = 0;
    while (file.current().current === undefined) {
      try {
        await enrolOnce(signal);
      } catch (thrown) {
        signal.throwIfAborted();
        const isHopeless = thrown instanceof AppError && HOPELESS.includes(thrown.code);
        failures++;
        hopeless = isHopeless ? hopeless + 1 : 0;
        say("Not enrolled yet", messageOf(thrown));
        const ownMs = isHopeless ? longWaitMs(hopeless, random) : backoffDelayMs(failures, RETRY_BASE_MS, random);
        const askedMs = thrown instanceof AppError ? thrown.retryAfterMs : undefined;
        await clock.delay(atLeastAsked(ownMs, askedMs, random), signal);
      }
    }
    reason = undefined;
    ready.resolve();
  };

  const fetch: HttpFetch = (url, init) => deps.fetchTrusting(file.current().current?.ca)(url, init);

  const rotate = (signal: AbortSignal) => {
    rotating ??= rotateKey(options, { ...deps, fetch }, signal).finally(() => {
      rotating = undefined;
    });
    return rotating;
  };

  /** How long the key may still be used; 0: it is due, or a change of it was cut off. */
  const remainingMs = () => {
    const { current } = file.current();
    if (current?.nextKey !== undefined) return 0;
    if (current === undefined || options.keyRotationMs === 0) return Number.POSITIVE_INFINITY;
    return Math.max(0, current.keySinceMs + options.keyRotationMs - clock.wallMs());
  };

  const keepKeyYoung = async (signal: AbortSignal) => {
    let failures = 0;
    while (!signal.aborted) {
      const dueMs = remainingMs();
      if (dueMs > 0) {
        await clock.delay(Math.min(dueMs, LOOK_AT_AGE_MS), signal);
        continue;
      }
      try {
        await rotate(signal);
        failures = 0;
        reason = undefined;
        log.info("The key of this box was changed");
      } catch (thrown) {
        signal.throwIfAborted();
        say("The key of this box could not be changed", messageOf(thrown));
        failures++;
        await clock.delay(backoffDelayMs(failures, ROTATION_RETRY_MS, random), signal);
      }
    }
  };

  return {
    name: "enrolment",
    fetch,
    ca: () => file.current().current?.ca,
    rotate,
    key: () => {
      const { current } = file.current();
      return current?.nextKey ?? current?.key;
    },
    enrolled: (signal) =>
      new Promise((resolve, reject) => {
        const onAbort = () => reject(signal.reason);
        signal.addEventListener("abort", onAbort, { once: true });
        if (signal.aborted) onAbort();
        void ready.promise.then(() => {
          signal.removeEventListener("abort", onAbort);
          resolve();
        });
      }),
    run: async (signal) => {
      try {
        await enrol(signal);
        await keepKeyYoung(signal);
      } catch (thrown) {
        if (!signal.aborted) throw thrown;
      }
    },
    status: () => {
      const { current } = file.current();
      return {
        hub: options.hub,
        state: current === undefined ? "enrolling" : "enrolled",
        ...(reason === undefined ? {} : { reason }),
        ...(current === undefined ? {} : { keySince: new Date(current.keySinceMs).toISOString() }),
      };
    },
  };
}
