import { AppError } from "../base/errors.ts";
import { oneLine } from "../base/log.ts";
import type { HubClient } from "../client/hub-client.ts";
import type { ErrorCode } from "../contract/error-code.ts";
import type { TransferFailureCode } from "../contract/transfer/failure-code.ts";
import type { SyncProgress } from "../contract/transfer/sync-progress.ts";
import type { CommandContext } from "./command-context.ts";
import { orNothing } from "./find-box.ts";
import { renderTransferProgress } from "./transfer-views.ts";

/** After a stream of events that ended before the transfer did. */
const AGAIN_MS = 500;
/** What a hub that is begun anew, or its store, answers with: what is watched goes on meanwhile. */
const AWAY: ReadonlySet<ErrorCode> = new Set([
  "unavailable",
  "store-unavailable",
  "timeout",
  "rate-limited",
  "exhausted",
]);
/** What a script is told of a transfer that failed, by what failed first. */
const CODES: Readonly<Record<TransferFailureCode, ErrorCode>> = {
  "no-space": "storage",
  "no-storage": "storage",
  "read-only": "storage",
  io: "storage",
  corrupt: "storage",
  denied: "refused",
  "source-changed": "conflict",
  "not-found": "not-found",
  unreachable: "unavailable",
  fenced: "conflict",
  cancelled: "cancelled",
  unsupported: "unsupported",
};

/** As `watchToEnd`. Rejects also for one that failed. */
export async function watchTransfer(id: string, hub: HubClient, context: CommandContext): Promise<SyncProgress> {
  const transfer = await watchToEnd(id, hub, context);
  if (transfer.state === "COMPLETED") return transfer;
  const code = transfer.failures[0]?.code;
  throw new AppError(
    code === undefined ? "unavailable" : CODES[code],
    `transfer ${id} failed: ${transfer.reason}; sluice sync show ${id} says more, sluice sync retry ${id} goes on`,
  );
}

/**
 * Shows how far it is until it is over: bars for who sits at a terminal, else a line at each change of its reason. A hub that is away is
 * waited for. Rejects for one that was taken away. Ctrl-C ends the watching alone.
 */
export async function watchToEnd(id: string, hub: HubClient, context: CommandContext): Promise<SyncProgress> {
  const { clock, signal, io } = context;
  const board = createBoard(context);
  let cursor: string | undefined;
  try {
    for (;;) {
      try {
        for await (const { transfer, cursor: now } of hub.transfers.follow(id, cursor, signal)) {
          cursor = now;
          board.show(transfer);
          if (isOver(transfer)) return transfer;
        }
      } catch (thrown) {
        signal.throwIfAborted();
        // Whether the hub is away, or says no, is told by the question below.
        if (!(thrown instanceof AppError)) throw thrown;
      }
      const transfer = await hub.transfers.get(id, signal).catch(orAway);
      if (transfer === undefined)
        throw new AppError("cancelled", `transfer ${id} was cancelled or forgotten meanwhile`);
      if (transfer instanceof AppError) board.say(`${transfer.message}; it is asked again`);
      else {
        board.show(transfer);
        if (isOver(transfer)) return transfer;
      }
      await clock.delay(AGAIN_MS, signal);
    }
  } catch (thrown) {
    if (signal.aborted) io.writeError(`transfer ${id} goes on; sluice sync cancel ${id} ends it\n`);
    throw thrown;
  } finally {
    board.end();
  }
}

/** `undefined`: there is no such transfer. */
function orAway(error: unknown): AppError | undefined {
  return error instanceof AppError && AWAY.has(error.code) ? error : orNothing(error);
}

function isOver({ state }: SyncProgress): boolean {
  return state === "COMPLETED" || state === "FAILED";
}

interface Board {
  readonly show: (transfer: SyncProgress) => void;
  /** In its place, where nothing can be known. */
  readonly say: (text: string) => void;
  readonly end: () => void;
}

function createBoard({ io }: CommandContext): Board {
  let lines = 0;
  let said = "";
  const clear = () => {
    // Up over what was drawn, and it is gone.
    if (lines > 0) io.writeError(`\u001b[${lines}A\r\u001b[J`);
    lines = 0;
  };
  const sayOnce = (text: string) => {
    if (text !== said) io.writeError(`${text}\n`);
    said = text;
  };
  const width = () => (io.columns ?? 80) - 1;
  const draw = (texts: readonly string[]) => {
    const drawn = texts.map((line) => line.slice(0, width()));
    clear();
    io.writeError(`${drawn.join("\n")}\n`);
    lines = drawn.length;
  };
  return {
    show: (transfer) => {
      if (io.isTerminal) draw(renderTransferProgress(transfer, width()));
      else sayOnce([transfer.state.toLowerCase(), oneLine(transfer.reason)].filter((part) => part !== "").join(": "));
    },
    say: (text) => (io.isTerminal ? draw([oneLine(text)]) : sayOnce(oneLine(text))),
    end: () => (io.isTerminal ? clear() : undefined),
  };
}
