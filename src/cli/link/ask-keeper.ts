import { readdirSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { errnoOf } from "../../base/errors.ts";
import { isLinkName } from "./link-place.ts";
import { createLinkWire } from "./link-wire.ts";
import { type LinkStatus, type Told, toTold } from "./link-words.ts";

export interface FoundLink extends LinkStatus {
  /** Of its socket. */
  readonly path: string;
}

const ANSWER_MS = 1000;

/** Those whose keepers answer. A socket that nobody listens at is taken away. */
export async function findLinks(directory: string, clock: Clock): Promise<readonly FoundLink[]> {
  const found = await Promise.all(
    readdirSync(directory)
      .filter(isLinkName)
      .map(async (name) => {
        const path = join(directory, name);
        const told = await askKeeper(path, "status", clock);
        return told?.kind === "status" ? [{ ...told, path }] : [];
      }),
  );
  return found.flat();
}

/** `undefined`: nobody is there, or nobody answers. */
export function askKeeper(path: string, kind: "status" | "stop", clock: Clock): Promise<Told | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const leave = (told?: Told) => {
      limit.clear();
      socket.destroy();
      resolve(told);
    };
    const limit = clock.timer(ANSWER_MS, () => leave());
    const wire = createLinkWire(socket, { onWords: (words) => leave(toTold(words)), onFrame: () => leave() });
    socket.on("error", (thrown) => {
      if (errnoOf(thrown) === "ECONNREFUSED") forget(path);
      leave();
    });
    socket.once("close", () => leave());
    wire.say({ kind });
  });
}

function forget(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Another was sooner.
  }
}
