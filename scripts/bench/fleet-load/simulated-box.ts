import { connect, type Socket } from "node:net";
import { systemClock, type Timer } from "../../../src/base/clock.ts";

/** What is the same for all boxes of a run. */
export interface BoxWorld {
  readonly host: string;
  port: number;
  readonly onUp: (box: SimulatedBox) => void;
  readonly onDown: (box: SimulatedBox) => void;
  /** `block`: the event as it came. */
  readonly onEvent: (box: SimulatedBox, name: string, block: string) => void;
  readonly onRefused: (status: number) => void;
}

/** A box as the hub sees one: an event stream that comes back as an agent's does. As little memory as can be. */
export interface SimulatedBox {
  readonly id: string;
  readonly key: string;
  isUp(): boolean;
  start(delayMs: number): void;
  stop(): void;
}

const FIRST_WAIT_MS = 5000;
const MAX_WAIT_MS = 60_000;

export function createSimulatedBox(
  { id, key, localAddress }: { readonly id: string; readonly key: string; readonly localAddress: string },
  world: BoxWorld,
): SimulatedBox {
  let socket: Socket | undefined;
  let timer: Timer | undefined;
  let cursor: string | undefined;
  let attempts = 0;
  let serverRetryMs = 0;
  let isUp = false;
  let isStopped = false;
  let rest = "";
  /** What the hub asked for when it turned the box away. */
  let askedMs = 0;
  let isHeadDone = false;

  const again = () => {
    if (isStopped) return;
    // Who was told when to come doubles nothing.
    const ceilingMs = askedMs > 0 ? FIRST_WAIT_MS : Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempts, 6));
    const ownMs = Math.max(250, Math.random() * ceilingMs);
    const leastMs = Math.max(askedMs, serverRetryMs) * (1 + Math.random() / 10);
    attempts++;
    timer = systemClock.timer(Math.max(ownMs, leastMs), dial);
  };

  const takeHead = (text: string): string | undefined => {
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    const status = Number(text.slice(9, 12));
    if (status === 200) return text.slice(end + 4);
    world.onRefused(status);
    const after = /^retry-after: (\d+)/im.exec(text)?.[1];
    socket?.destroy();
    askedMs = after === undefined ? 0 : Number(after) * 1000;
    return undefined;
  };
  const takeBlock = (block: string) => {
    const retry = /^retry: (\d+)/m.exec(block)?.[1];
    if (retry !== undefined) serverRetryMs = Number(retry);
    const name = /^event: (\S+)/m.exec(block)?.[1];
    if (name === undefined) return;
    cursor = /^id: (\S+)/m.exec(block)?.[1] ?? cursor;
    if (!isUp) {
      isUp = true;
      attempts = 0;
      world.onUp(box);
    }
    world.onEvent(box, name, block);
  };

  const dial = () => {
    timer = undefined;
    if (isStopped) return;
    isHeadDone = false;
    askedMs = 0;
    rest = "";
    const one = connect({ host: world.host, port: world.port, localAddress });
    socket = one;
    one.setEncoding("latin1");
    const last = cursor === undefined ? "" : `Last-Event-ID: ${cursor}\r\n`;
    one.write(
      `GET /v1/boxes/${id}/events HTTP/1.1\r\nHost: hub\r\nAccept: text/event-stream\r\nAuthorization: Bearer ${key}\r\n${last}\r\n`,
    );
    one.on("data", (piece: string) => {
      rest += piece;
      if (!isHeadDone) {
        const body = takeHead(rest);
        if (body === undefined) return;
        isHeadDone = true;
        rest = body;
      }
      for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
        takeBlock(rest.slice(0, end));
        rest = rest.slice(end + 2);
      }
    });
    one.on("error", () => undefined);
    one.on("close", () => {
      if (socket !== one) return;
      socket = undefined;
      if (isUp) {
        isUp = false;
        world.onDown(box);
      }
      again();
    });
  };

  const box: SimulatedBox = {
    id,
    key,
    isUp: () => isUp,
    start: (delayMs) => {
      timer = systemClock.timer(delayMs, dial);
    },
    stop: () => {
      isStopped = true;
      timer?.clear();
      socket?.destroy();
    },
  };
  return box;
}
