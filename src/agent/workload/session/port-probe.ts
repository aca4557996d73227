import { connect } from "node:net";
import type { Clock } from "../../../base/clock.ts";
import { reachableFromHere } from "./session-endpoints.ts";

/** An engine accepts in the application's place and hangs up at once when nobody listens behind it. */
const HELD_MS = 30;
const LIMIT_MS = 1000;

/** Whether something accepts there, and holds the connection. Never rejects. */
export async function accepts(
  { address, port }: { readonly address: string; readonly port: number },
  clock: Clock,
): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: reachableFromHere(address), port });
    let timer = clock.timer(LIMIT_MS, () => finish(false));
    let isAccepted = false;
    const finish = (accepted: boolean) => {
      timer.clear();
      isAccepted = accepted;
      socket.destroy();
    };
    socket.once("error", () => finish(false));
    // Not before: a connection that still stands could be taken for use.
    socket.once("close", () => {
      timer.clear();
      resolve(isAccepted);
    });
    socket.once("data", () => finish(true));
    socket.once("connect", () => {
      timer.clear();
      timer = clock.timer(HELD_MS, () => finish(true));
    });
  });
}
