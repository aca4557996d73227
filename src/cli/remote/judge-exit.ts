import { constants } from "node:os";
import type { ExitFacts, KilledByName, OutputDigest } from "../../remote/exit-facts.ts";
import { REMOTE_EXIT, type RemoteFailure, type RemoteFailureKind } from "./remote-failure.ts";

/** How a remote command ended, as one line of JSON for `--status-fd` and `--json`. */
export interface ExecStatus {
  readonly kind: "exit" | "signal" | RemoteFailureKind;
  readonly code?: number;
  /** Name without SIG. */
  readonly signal?: string;
  /** All that the command wrote has arrived, proved by its length and SHA-256. */
  readonly verified: boolean;
  readonly killedBy?: KilledByName;
  readonly coreDumped?: true;
  readonly outputOpenAfterExit?: true;
  readonly wallMs?: number;
  readonly error?: { readonly code: string; readonly message: string };
}

export interface ExecOutcome {
  /** Of this program. */
  readonly exitCode: number;
  readonly status: ExecStatus;
  /** One sentence, where more is to be said than the exit code tells. */
  readonly message?: string;
  /** Must be said to anybody, not only to who watches. */
  readonly isFailure: boolean;
}

/** What was handed on of each output; `isCut`: its reader here left before the end. */
export interface ReceivedOutput extends OutputDigest {
  readonly isCut: boolean;
}

const SIGNAL_BASE = 128;
const KILLERS: Readonly<Record<KilledByName, string>> = {
  operator: "you sent it",
  disconnect: "its operator was gone for too long",
  idle: "the session was idle for too long",
  "max-age": "the session lasted as long as it may",
  terminated: "the session was ended by somebody who may",
};

/** Pure. */
export function judgeExit(
  facts: ExitFacts,
  received: { readonly out: ReceivedOutput; readonly err: ReceivedOutput; readonly droppedBytes: number },
): ExecOutcome {
  // The box has said itself what it no longer has.
  const gaps =
    received.droppedBytes > 0
      ? []
      : [...gapOf("standard output", facts.out, received.out), ...gapOf("standard error", facts.err, received.err)];
  const { how, coreDumped, killedBy, outputOpenAfterExit, wallMs } = facts;
  const rest = {
    verified: gaps.length === 0 && received.droppedBytes === 0 && !received.out.isCut && !received.err.isCut,
    ...(killedBy === undefined ? {} : { killedBy }),
    ...(coreDumped ? { coreDumped } : {}),
    ...(outputOpenAfterExit ? { outputOpenAfterExit } : {}),
    wallMs,
  };
  if (gaps.length > 0) {
    const message = `the output is not what the command wrote: ${gaps.join("; ")}; it ended with ${nameOf(how)}`;
    const error = { code: "truncated", message };
    return {
      exitCode: REMOTE_EXIT.truncated,
      status: { kind: "truncated", ...howOf(how), ...rest, error },
      message,
      isFailure: true,
    };
  }
  const open = outputOpenAfterExit ? "something that it started still holds its output" : undefined;
  if (how.kind === "code") {
    return {
      exitCode: how.code,
      status: { kind: "exit", ...howOf(how), ...rest },
      ...(open === undefined ? {} : { message: open }),
      isFailure: false,
    };
  }
  const why = killedBy === undefined ? "" : ` (${KILLERS[killedBy]})`;
  return {
    exitCode: SIGNAL_BASE + numberOf(how.signal),
    status: { kind: "signal", ...howOf(how), ...rest },
    message: `the command was ended by SIG${how.signal}${why}${coreDumped ? ", and left a core dump" : ""}`,
    isFailure: killedBy !== undefined && killedBy !== "operator",
  };
}

export function outcomeOfFailure({ kind, code, message }: RemoteFailure): ExecOutcome {
  return {
    exitCode: REMOTE_EXIT[kind],
    status: { kind, verified: false, error: { code, message } },
    message,
    isFailure: true,
  };
}

function gapOf(name: string, sent: OutputDigest, { total, sha256, isCut }: ReceivedOutput): readonly string[] {
  if (isCut) return [];
  if (total !== sent.total) return [`${name} has ${total} of ${sent.total} bytes`];
  if (Buffer.compare(sha256, sent.sha256) === 0) return [];
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
  return [`${name} has SHA-256 ${hex(sha256)}, wanted ${hex(sent.sha256)}`];
}

function howOf(how: ExitFacts["how"]): { readonly code: number } | { readonly signal: string } {
  return how.kind === "code" ? { code: how.code } : { signal: how.signal };
}

function nameOf(how: ExitFacts["how"]): string {
  return how.kind === "code" ? `exit status ${how.code}` : `SIG${how.signal}`;
}

function numberOf(signal: string): number {
  const numbers: Readonly<Record<string, number>> = constants.signals;
  return numbers[`SIG${signal}`] ?? 0;
}
