import { AppError, messageOf } from "../base/errors.ts";
import { formatWallTime } from "../base/log.ts";
import type { HubClient } from "../client/hub-client.ts";
import type { CommandContext } from "./command-context.ts";
import type { HubFlags } from "./hub-session.ts";
import { printJson, printJsonLine, type View, viewOf } from "./output.ts";

export interface WatchFlags extends HubFlags {
  readonly watch?: boolean;
}

/** One look at something: for programs and for people. */
export interface Shown {
  readonly json: unknown;
  readonly text: (view: View) => string;
}

/** However many events come: no more looks than this. */
const LEAST_PERIOD_MS = 1000;
/** What changes without an event (ages, figures) is looked at this often. */
const LONGEST_PERIOD_MS = 5000;
const CLEAR_SCREEN = "\u001b[H\u001b[2J\u001b[3J";

/** Shows it once or, with `--watch`, again whenever the hub tells of a change, until Ctrl-C. */
export async function show(
  flags: WatchFlags,
  { hub, context }: { readonly hub: HubClient; readonly context: CommandContext },
  look: (signal: AbortSignal) => Promise<Shown>,
): Promise<number> {
  const { io, clock, signal } = context;
  if (flags.watch !== true) {
    const { json, text } = await look(signal);
    if (flags.json === true) printJson(io, json);
    else io.write(text(viewOf(context)));
    return 0;
  }
  const bell = createBell();
  const events = ringOnEvents(hub, bell.ring, context);
  while (!signal.aborted) {
    const rang = bell.wait();
    // A hub that goes away is shown as such: it may be about to come back.
    const shown = await look(signal).catch((error: unknown) => {
      if (!(error instanceof AppError) || error.code === "unauthorized" || error.code === "invalid") throw error;
      return error;
    });
    if (signal.aborted) break;
    if (shown instanceof AppError) io.writeError(`${formatWallTime(clock.wallMs())}  ${messageOf(shown)}\n`);
    else if (flags.json === true) printJsonLine(io, shown.json);
    else io.write(`${io.isTerminal ? CLEAR_SCREEN : ""}${shown.text(viewOf(context))}`);
    await clock.delay(LEAST_PERIOD_MS, signal).catch(() => undefined);
    const pause = new AbortController();
    await Promise.race([
      rang,
      clock.delay(LONGEST_PERIOD_MS - LEAST_PERIOD_MS, AbortSignal.any([signal, pause.signal])).catch(() => undefined),
    ]);
    pause.abort();
  }
  await events;
  return 0;
}

interface Bell {
  readonly ring: () => void;
  /** Resolves with the next ring after this call. */
  readonly wait: () => Promise<void>;
}

function createBell(): Bell {
  let next = Promise.withResolvers<void>();
  return {
    ring: () => {
      next.resolve();
      next = Promise.withResolvers();
    },
    wait: () => next.promise,
  };
}

/** Without events the view still comes round: a hub that refuses them takes nothing but promptness. */
async function ringOnEvents(hub: HubClient, ring: () => void, { signal, clock }: CommandContext): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const _event of hub.events.follow(undefined, signal)) ring();
    } catch {
      // Tried again below; what is wrong shows in the view itself.
    }
    await clock.delay(LONGEST_PERIOD_MS, signal).catch(() => undefined);
  }
}
