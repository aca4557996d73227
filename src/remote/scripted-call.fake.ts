import type { Carrier, CarrierEnd, CarrierHandlers } from "./carrier.ts";

/** A call at whose other end is the test: what is said on it, and what becomes of it. */
export function createScriptedCall() {
  let handlers: CarrierHandlers | undefined;
  const heard: string[] = [];
  const carrier: Carrier = {
    sessionId: "s-1",
    routerId: "router-1",
    peerClient: "other/1",
    listen: (given) => {
      handlers = given;
    },
    send: (pieces) => {
      heard.push(Buffer.concat(pieces).toString("hex"));
      return true;
    },
    finish: () => void heard.push("finish"),
    cut: () => void heard.push("cut"),
  };
  return {
    carrier,
    heard,
    hear: (pieces: readonly Uint8Array[]) => handlers?.onFrame(pieces),
    end: (end: CarrierEnd) => handlers?.onEnd(end),
  };
}
