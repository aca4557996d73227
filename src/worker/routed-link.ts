import type { Duplex } from "node:stream";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import type { Meeting } from "../contract/transfer/assignment.ts";
import { createCarrierDuplex } from "../remote/carrier-duplex.ts";
import type { RouterDialler } from "../remote/router-dialler.ts";
import { createDataLink, type DataLink } from "./data-link.ts";
import { fingerprintOf, type Identity, startTlsServer } from "./data-server.ts";
import { fault, type TransferFault } from "./fault.ts";

/** Connections to other workers through routers, sealed from worker to worker. */
export interface RoutedLinks {
  /**
   * Resolves when both are there and the other has proved that it is who the hub says. `sender`: it waits for a hello. Rejects with
   * `unreachable`; `isAlone` of it: the router was reached, and nobody came.
   */
  meet(meeting: Meeting, as: "receiver" | "sender", signal: AbortSignal): Promise<DataLink>;
  close(): void;
}

export interface RoutedLinksDeps {
  readonly clock: Clock;
  readonly identity: () => Identity;
  /** Asked for once, when the first meeting is to be had. */
  readonly openDialler: () => Promise<RouterDialler>;
}

/** What is on its way at once: 40 MB/s over 100 ms, and lost where the router dies. */
const WINDOW_BYTES = 4 * 1024 * 1024;
const MEET_MS = 30_000;
const HANDSHAKE_MS = 10_000;

/** The router was reached, and the other worker did not come. */
export class NobodyCame extends AppError<"unreachable"> {}

export function createRoutedLinks({ clock, identity, openDialler }: RoutedLinksDeps): RoutedLinks {
  /** Each has a connection to the router of its own: many at once go faster over a long way, and none waits behind another. */
  const slots = new Set<number>();
  let dialler: Promise<RouterDialler> | undefined;

  const takeSlot = () => {
    let slot = 0;
    while (slots.has(slot)) slot += 1;
    slots.add(slot);
    return slot;
  };

  const seal = (duplex: Duplex, as: "receiver" | "sender"): Promise<TLSSocket> => {
    if (as === "sender") return startTlsServer(duplex, identity());
    return new Promise((resolve, reject) => {
      const secure = connectTls({
        socket: duplex,
        ...identity(),
        minVersion: "TLSv1.3",
        // No authority vouches for it: its certificate is the one that the hub names, or it is nobody.
        rejectUnauthorized: false,
        checkServerIdentity: () => undefined,
      });
      // It stays: what goes wrong after that is heard by whoever listens then.
      secure.on("error", reject);
      secure.once("secureConnect", () => resolve(secure));
    });
  };

  const open = async (meeting: Meeting, as: "receiver" | "sender", signal: AbortSignal, slot: number) => {
    const { router, ticket, worker_id: worker, certificate_sha256: pin } = meeting;
    const limit = new AbortController();
    const timer = clock.timer(MEET_MS, () =>
      limit.abort(new AppError("timeout", `${worker} did not come within ${MEET_MS / 1000} s`)),
    );
    let duplex: Duplex;
    try {
      dialler ??= openDialler();
      const carrier = await (await dialler).join(
        { router, ticket, traffic: `bulk-${slot}`, isSealed: true },
        {},
        AbortSignal.any([signal, limit.signal]),
      );
      duplex = createCarrierDuplex(carrier, {
        side: as === "receiver" ? "operator" : "box",
        windowBytes: WINDOW_BYTES,
      });
    } finally {
      timer.clear();
    }
    const onAbort = () => duplex.destroy(signal.reason instanceof Error ? signal.reason : undefined);
    const late = clock.timer(HANDSHAKE_MS, () =>
      duplex.destroy(new AppError("timeout", `${worker} did not say who it is within ${HANDSHAKE_MS / 1000} s`)),
    );
    signal.addEventListener("abort", onAbort, { once: true });
    duplex.once("close", () => slots.delete(slot));
    try {
      const broken = Promise.withResolvers<never>();
      duplex.once("error", broken.reject);
      duplex.once("close", () => broken.reject(new AppError("unavailable", "the other side left")));
      broken.promise.catch(() => undefined);
      const secure = await Promise.race([seal(duplex, as), broken.promise]);
      if (fingerprintOf(secure) !== pin) {
        throw new AppError(
          "refused",
          `another than ${worker} is met there: its certificate is not the one that the hub knows`,
        );
      }
      secure.once("close", () => duplex.destroy());
      duplex.on("error", (error) => secure.destroy(error));
      return createDataLink(secure, clock, (error) => toUnreachable(meeting, error));
    } catch (thrown) {
      duplex.on("error", () => undefined);
      duplex.destroy(thrown instanceof Error ? thrown : undefined);
      throw thrown;
    } finally {
      late.clear();
      signal.removeEventListener("abort", onAbort);
    }
  };

  return {
    meet: async (meeting, as, signal) => {
      const slot = takeSlot();
      try {
        return await open(meeting, as, signal, slot);
      } catch (thrown) {
        slots.delete(slot);
        signal.throwIfAborted();
        throw toUnreachable(meeting, thrown);
      }
    },
    close: () => {
      dialler?.then(
        (one) => one.close(),
        () => undefined,
      );
    },
  };
}

function toUnreachable({ router, worker_id: worker }: Meeting, thrown: unknown): TransferFault {
  const message = `${worker} through the router ${router.id}: ${messageOf(thrown)}`;
  const isAlone = thrown instanceof AppError && thrown.code === "timeout";
  return isAlone ? new NobodyCame("unreachable", message, { cause: thrown }) : fault("unreachable", message, thrown);
}
