import { connect } from "node:net";
import type { Timer } from "../../../base/clock.ts";
import { errnoOf, messageOf } from "../../../base/errors.ts";
import type { ProbeDeps } from "./tls-probe.ts";

export interface RawProbe {
  readonly host: string;
  readonly port: number;
  /** Sent as soon as the connection stands. Empty: only listen. */
  readonly bytes: Buffer;
  readonly limitMs: number;
  /** Whether what has come is enough. */
  readonly isEnough: (received: Buffer) => boolean;
}

export interface RawOutcome {
  readonly received: Buffer;
  /** `open`: when the time was over; `enough`: see `isEnough`; `unreachable`: there was no connection. */
  readonly end: "enough" | "closed" | "open" | "unreachable";
  readonly detail: string;
  /** Until the connection stood. */
  readonly connectedMs?: number;
}

const MAX_RECEIVED_BYTES = 16_384;

/** Sends bytes as they are and watches what comes back. Rejects only with the signal's reason. */
export function probeRaw(probe: RawProbe, { clock, signal }: ProbeDeps): Promise<RawOutcome> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const startMs = clock.monotonicMs();
    const chunks: Buffer[] = [];
    let connectedMs: number | undefined;
    let timer: Timer | undefined;
    const socket = connect({ host: probe.host, port: probe.port });
    const settle = (end: RawOutcome["end"], detail: string) => {
      timer?.clear();
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      const time = connectedMs === undefined ? {} : { connectedMs };
      resolve({ received: Buffer.concat(chunks), end, detail, ...time });
    };
    const onAbort = () => {
      timer?.clear();
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    timer = clock.timer(probe.limitMs, () => {
      const end = connectedMs === undefined ? "unreachable" : "open";
      settle(end, `${connectedMs === undefined ? "no connection" : "still open"} after ${probe.limitMs} ms`);
    });
    socket.once("connect", () => {
      connectedMs = clock.monotonicMs() - startMs;
      if (probe.bytes.length > 0) socket.write(probe.bytes);
    });
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      const received = Buffer.concat(chunks);
      if (probe.isEnough(received) || received.length > MAX_RECEIVED_BYTES) settle("enough", "answered");
    });
    socket.once("error", (error) => {
      // A reset may overtake the news that the connection stands.
      const wasThere = connectedMs !== undefined || errnoOf(error) === "ECONNRESET";
      settle(wasThere ? "closed" : "unreachable", errnoOf(error) ?? messageOf(error));
    });
    socket.once("close", () => settle("closed", "closed"));
  });
}
