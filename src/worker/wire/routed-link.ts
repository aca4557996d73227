import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import { withinLimit } from "../../base/within-limit.ts";
import type { Meeting } from "../../contract/transfer/assignment.ts";
import type { RouterDialler } from "../../remote/router-dialler.ts";
import { fault, type TransferFault } from "../fault.ts";
import { createDataLink, type DataLink } from "./data-link.ts";
import { sealMeeting } from "./sealed-meeting.ts";
import { fingerprintOf, type Identity, startTlsClient, startTlsServer } from "./worker-tls.ts";

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

const MEET_MS = 30_000;
/** With the time for a lane that comes to nothing. */
const HANDSHAKE_MS = 30_000;

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

  const sealWith =
    ({ worker_id: worker, certificate_sha256: pin }: Meeting, as: "receiver" | "sender") =>
    async (stream: Duplex): Promise<TLSSocket> => {
      const secure = await (as === "sender" ? startTlsServer(stream, identity()) : startTlsClient(stream, identity()));
      if (fingerprintOf(secure) === pin) return secure;
      throw new AppError(
        "refused",
        `another than ${worker} is met there: its certificate is not the one that the hub knows`,
      );
    };

  const open = async (meeting: Meeting, as: "receiver" | "sender", signal: AbortSignal, slot: number) => {
    const { router, ticket, worker_id: worker } = meeting;
    const within = <Value>(ms: number, did: string, work: (stop: AbortSignal) => Promise<Value>) => {
      const late = () => new AppError("timeout", `${worker} did not ${did} within ${ms / 1000} s`);
      return withinLimit({ ms, late, signal }, clock, work);
    };
    const target = { router, ticket, traffic: `bulk-${slot}`, isSealed: true } as const;
    const carrier = await within(MEET_MS, "come", async (stop) => {
      dialler ??= openDialler();
      return (await dialler).join(target, {}, stop);
    });
    const task = { carrier, as, seal: sealWith(meeting, as) };
    const secure = await within(HANDSHAKE_MS, "say who it is", (stop) => sealMeeting(task, { clock }, stop));
    secure.once("close", () => slots.delete(slot));
    const link = createDataLink(secure, clock, (error) => toUnreachable(meeting, error));
    secure.resume();
    return link;
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
