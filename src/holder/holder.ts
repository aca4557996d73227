import type { KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock, Timer } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { createFileLog } from "../base/file-log.ts";
import { createPipePool } from "../base/pipe-pool.ts";
import { createProcessTable } from "../base/process-table.ts";
import { untilAborted } from "../base/service.ts";
import type { RunProgram } from "../base/spawn.ts";
import { type HolderConfig, holderConfigSchema } from "../contract/remote/holder-call.ts";
import { parseRemoteKey } from "../contract/remote/remote-key.ts";
import { createWindowLedger } from "../remote/receive-window.ts";
import { createRouterDialler } from "../remote/router-dialler.ts";
import { createAskPlace } from "./ask-place.ts";
import { createAuditLog } from "./audit-log.ts";
import { createHolderSessions } from "./holder-sessions.ts";
import { openHolderSocket } from "./holder-socket.ts";
import { loadPty } from "./terminal.ts";

export interface HolderDeps {
  readonly clock: Clock;
  readonly pid: number;
  readonly runProgram: RunProgram;
}

/** Nobody has used it for this long: the next offer begins another. */
const IDLE_MS = 600_000;

/**
 * Holds the box's remote sessions apart from the agent, so that no restart, upgrade or death of that breaks one. Runs until nobody
 * needs it, or the signal, which ends all sessions. Rejects with `conflict` when another one has its socket.
 */
export async function runHolder(configText: string, deps: HolderDeps, signal: AbortSignal): Promise<void> {
  const { clock } = deps;
  const config = readConfig(configText);
  const { log, idle } = createFileLog(join(config.logDirectory, "holder.log"), "REMOTE", clock);
  const stop = new AbortController();
  const program = `sluice/${config.version}`;
  let authorities: readonly string[] = [];
  const dialler = createRouterDialler({ client: program }, { clock, authorities: () => authorities });
  const pipes = createPipePool(`${config.socketPath}.pipes`, { runProgram: deps.runProgram });
  const sessions = createHolderSessions({
    pipes,
    clock,
    log,
    dialler,
    trust: (ca) => {
      authorities = ca === undefined ? [] : [ca];
    },
    program,
    version: config.version,
    pid: deps.pid,
    audit: createAuditLog(join(config.logDirectory, "remote.log"), { clock, onProblem: (text) => log.error(text) }),
    ledger: createWindowLedger(),
    table: createProcessTable(),
    pty: loadPty(log),
    spoolDirectory: config.spoolDirectory,
    boxKey: createKeyReader(config.keyPath),
    askPlace: createAskPlace(config.agentSocket, clock),
  });
  let isDraining = false;
  let timer: Timer | undefined;
  const restWhenIdle = () => {
    timer?.clear();
    timer = undefined;
    if (sessions.size > 0) return;
    timer = clock.timer(isDraining ? 0 : IDLE_MS, () => stop.abort());
  };
  sessions.onChange(restWhenIdle);
  restWhenIdle();
  const close = await openHolderSocket(
    config.socketPath,
    async (call, recorded) => {
      switch (call.call) {
        case "offer":
          return { text: await sessions.offer(call, call.isRecorded ? undefined : recorded) };
        case "end":
          return { text: sessions.end(call.session, call.reason) };
        case "why":
          return { why: await sessions.why(call.session) };
        case "drain":
          isDraining = true;
          sessions.drain();
          return { text: "draining" };
        case "status":
          return { status: sessions.status() };
      }
    },
    clock,
  );
  // Not before the socket is this one's: another holder's pipes would lie there.
  pipes.prepare();
  log.info(`Holder of remote sessions (pid ${deps.pid}, ${program})`);
  try {
    await untilAborted(AbortSignal.any([signal, stop.signal]));
  } finally {
    timer?.clear();
    await close();
    await sessions.endAll("the holder of the box's sessions was told to end");
    dialler.close();
    await pipes.close();
    log.info("The holder ends");
    await idle();
  }
}

/** Read each time anew, for the agent may have made another; understood once. */
function createKeyReader(path: string): () => KeyObject {
  let held: { readonly pem: string; readonly key: KeyObject } | undefined;
  return () => {
    let pem: string;
    try {
      pem = readFileSync(path, "utf8");
    } catch (cause) {
      throw new AppError("storage", `the box's key cannot be read: ${messageOf(cause)}`, { cause });
    }
    if (held?.pem !== pem) held = { pem, key: parseRemoteKey(pem, path) };
    return held.key;
  };
}

function readConfig(text: string): HolderConfig {
  try {
    return holderConfigSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new AppError("invalid", `remote-holder is started by the agent, and by nobody else: ${messageOf(cause)}`, {
      cause,
    });
  }
}
