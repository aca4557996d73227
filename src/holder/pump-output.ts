import type { Readable, Writable } from "node:stream";
import type { Clock, Timer } from "../base/clock.ts";

/**
 * `ended`: the source has said its end. `cut`: its program has exited, and somebody else still holds it open. `unread`: nobody reads
 * at the other end.
 */
export type PumpEnd = "ended" | "cut" | "unread";

/** From the exit of a program until an output that stays open is given up. */
export const AFTER_EXIT_MS = 2000;
/** More than a pipe can hold: who has read this much after an exit has all that the program itself wrote. */
const AFTER_EXIT_BYTES = 2 * 1024 * 1024;

/**
 * Brings a program's output to where it is read, at the pace of the reader, and ends the target when the source has ended. After
 * the program's exit only time counts in which the reader was ready and nothing came: so a slow reader loses nothing, and what
 * the program has left running holds up nobody.
 */
export function pumpOutput(
  source: Readable,
  target: Writable,
  { clock, exited }: { readonly clock: Clock; readonly exited: Promise<unknown> },
): Promise<PumpEnd> {
  return new Promise((resolve) => {
    let timer: Timer | undefined;
    let isPaused = false;
    let exitMs: number | undefined;
    let movedMs = clock.monotonicMs();
    let bytesAfterExit = 0;
    let isOver = false;

    const finish = (end: PumpEnd) => {
      if (isOver) return;
      isOver = true;
      timer?.clear();
      source.removeListener("data", onData);
      target.removeListener("drain", onDrain);
      if (end !== "ended") source.destroy();
      target.end();
      resolve(end);
    };
    const onData = (bytes: Buffer) => {
      movedMs = clock.monotonicMs();
      if (exitMs !== undefined) bytesAfterExit += bytes.length;
      if (target.write(bytes)) return;
      isPaused = true;
      source.pause();
    };
    const onDrain = () => {
      isPaused = false;
      movedMs = clock.monotonicMs();
      if (!isOver) source.resume();
    };
    const look = () => {
      const nowMs = clock.monotonicMs();
      const isSilent = !isPaused && nowMs - movedMs >= AFTER_EXIT_MS;
      const isFlood = bytesAfterExit >= AFTER_EXIT_BYTES && nowMs - (exitMs ?? nowMs) >= AFTER_EXIT_MS;
      if (isSilent || isFlood) return finish("cut");
      timer = clock.timer(isPaused ? AFTER_EXIT_MS : Math.max(20, AFTER_EXIT_MS - (nowMs - movedMs)), look);
    };

    source.on("data", onData);
    source.once("end", () => finish("ended"));
    // A terminal whose last program is gone says EIO: that is its end.
    source.once("error", () => finish("ended"));
    source.once("close", () => finish("ended"));
    target.on("drain", onDrain);
    target.once("stopped", () => finish("unread"));
    target.once("close", () => finish("unread"));
    void exited.then(() => {
      if (isOver) return;
      exitMs = clock.monotonicMs();
      movedMs = exitMs;
      look();
    });
  });
}
