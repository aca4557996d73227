import { AppError } from "./errors.ts";
import type { RunProgram } from "./spawn.ts";

/** The service manager that started this process, where there is one (`sd_notify(3)`). */
export interface NotifySocket {
  /** Within this time it wants to hear `WATCHDOG=1`; undefined when it does not watch this process. */
  readonly watchdogMs: number | undefined;
  /** Sends assignments, such as `READY: "1"`. Rejects with `unavailable` when they could not be delivered. */
  send(assignments: Readonly<Record<string, string>>): Promise<void>;
}

export interface NotifyEnvironment {
  readonly NOTIFY_SOCKET?: string | undefined;
  readonly WATCHDOG_USEC?: string | undefined;
  readonly WATCHDOG_PID?: string | undefined;
}

/** `systemd-notify` waits this long for the manager's receipt by itself; a manager that is busier is asked again later. */
const SEND_LIMIT_MS = 8000;

/**
 * Speaks through `systemd-notify`, because Node has no datagram sockets of the Unix kind and the packages that add them
 * bring native code. One short child a message, a few a minute; the unit needs `NotifyAccess=all`. Undefined where no
 * service manager listens.
 */
export function openNotifySocket(
  env: NotifyEnvironment,
  deps: { readonly runProgram: RunProgram; readonly pid: number },
): NotifySocket | undefined {
  const socket = env.NOTIFY_SOCKET;
  if (socket === undefined || !/^[/@]/.test(socket)) return undefined;
  return {
    watchdogMs: watchdogMsOf(env, deps.pid),
    send: async (assignments) => {
      const args = Object.entries(assignments).map(([name, value]) => `${name}=${value.replace(/[\r\n]/g, " ")}`);
      const result = await deps.runProgram("systemd-notify", args, {
        timeoutMs: SEND_LIMIT_MS,
        maxOutputBytes: 1000,
        env: { NOTIFY_SOCKET: socket },
      });
      if (result.code === 0) return;
      const reason = result.timedOut ? `no receipt within ${SEND_LIMIT_MS} ms` : result.stderr.trim();
      throw new AppError("unavailable", `systemd-notify could not deliver ${Object.keys(assignments)}: ${reason}`);
    },
  };
}

/** Pure. A watch that names another process is not for us. */
function watchdogMsOf({ WATCHDOG_USEC, WATCHDOG_PID }: NotifyEnvironment, pid: number): number | undefined {
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== "" && Number(WATCHDOG_PID) !== pid) return undefined;
  const microseconds = Number(WATCHDOG_USEC ?? "");
  return Number.isFinite(microseconds) && microseconds > 0 ? microseconds / 1000 : undefined;
}
