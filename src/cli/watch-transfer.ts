import { AppError } from "../base/errors.ts";
import type { HubClient } from "../client/hub-client.ts";
import type { ErrorCode } from "../contract/error-code.ts";
import type { TransferFailureCode } from "../contract/transfer/failure-code.ts";
import type { SyncProgress } from "../contract/transfer/sync-progress.ts";
import type { CommandContext } from "./command-context.ts";
import { orNothing } from "./find-box.ts";
import { renderTransferProgress } from "./transfer-views.ts";

/** After a stream of events that ended before the transfer did. */
const AGAIN_MS = 500;
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
 * Shows how far it is until it is over: bars for who sits at a terminal, else a line at each change of its reason. Rejects for one that
 * was taken away. Ctrl-C ends the watching alone.
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
      const transfer = await hub.transfers.get(id, signal).catch(orNothing);
      if (transfer === undefined)
        throw new AppError("cancelled", `transfer ${id} was cancelled or forgotten meanwhile`);
      board.show(transfer);
      if (isOver(transfer)) return transfer;
      await clock.delay(AGAIN_MS, signal);
    }
  } catch (thrown) {
    if (signal.aborted) io.writeError(`transfer ${id} goes on; sluice sync cancel ${id} ends it\n`);
    throw thrown;
  } finally {
    board.end();
  }
}

function isOver({ state }: SyncProgress): boolean {
  return state === "COMPLETED" || state === "FAILED";
}

interface Board {
  readonly show: (transfer: SyncProgress) => void;
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
  return {
    show: (transfer) => {
      if (!io.isTerminal) {
        const now = `${transfer.state.toLowerCase()}: ${transfer.reason}`;
        if (now !== said) io.writeError(`${now}\n`);
        said = now;
        return;
      }
      const width = (io.columns ?? 80) - 1;
      const drawn = renderTransferProgress(transfer).map((line) => line.slice(0, width));
      clear();
      io.writeError(`${drawn.join("\n")}\n`);
      lines = drawn.length;
    },
    end: () => (io.isTerminal ? clear() : undefined),
  };
}
