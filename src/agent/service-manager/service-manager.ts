import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { NotifySocket } from "../../base/notify-socket.ts";
import type { OverdueLoop, ProgressWatch } from "../../base/progress-watch.ts";
import type { Service } from "../../base/service.ts";

export interface ServiceManagerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly pid: number;
  /** Absent: nobody to tell. */
  readonly socket: NotifySocket | undefined;
  readonly progress: Pick<ProgressWatch, "overdue">;
  /** Resolves when the agent has adopted what runs and answers at its socket, or has given up waiting for that. */
  readonly ready: Promise<void>;
  /** The agent in one line, without secrets. */
  readonly statusLine: () => string;
}

/** Without a watchdog the line in `systemctl status` is renewed this often. */
const STATUS_PERIOD_MS = 20_000;

/**
 * Tells the service manager that the agent is ready, that it is well, and that it stops. Well means that every loop
 * advances: while one does not, the watchdog goes hungry, and the service manager ends this process. Streams do not notice.
 */
export function createServiceManager(deps: ServiceManagerDeps): Service {
  const { clock, log, socket } = deps;
  let isFailing = false;
  let saidOverdue = "";

  const send = async (to: NotifySocket, assignments: Readonly<Record<string, string>>): Promise<boolean> => {
    try {
      await to.send(assignments);
      isFailing = false;
    } catch (thrown) {
      if (!isFailing) log.warn(`The service manager cannot be told how the agent is: ${messageOf(thrown)}`);
      isFailing = true;
    }
    return !isFailing;
  };

  const sayOverdue = (overdue: readonly OverdueLoop[]) => {
    const names = overdue.map(({ name }) => name).join();
    if (names !== saidOverdue && overdue.length > 0) log.error(overdueText(overdue));
    if (overdue.length === 0 && saidOverdue !== "") log.info("Every loop advances again");
    saidOverdue = names;
  };

  const watch = async (to: NotifySocket, signal: AbortSignal) => {
    const periodMs = to.watchdogMs === undefined ? STATUS_PERIOD_MS : to.watchdogMs / 3;
    let isReadySaid = false;
    let saidStatus = "";
    while (!signal.aborted) {
      const overdue = deps.progress.overdue();
      sayOverdue(overdue);
      const status = overdue.length === 0 ? deps.statusLine() : overdueText(overdue);
      // What could not be delivered is said again; readiness comes with the state, so that who finds the unit active finds both.
      const assignments = {
        ...(isReadySaid ? {} : { READY: "1", MAINPID: String(deps.pid) }),
        ...(status === saidStatus ? {} : { STATUS: status }),
        ...(to.watchdogMs === undefined || overdue.length > 0 ? {} : { WATCHDOG: "1" }),
      };
      if (Object.keys(assignments).length > 0 && (await send(to, assignments))) {
        isReadySaid = true;
        saidStatus = status;
      }
      await clock.delay(periodMs, signal).catch(() => undefined);
    }
  };

  return {
    name: "service-manager",
    run: async (signal) => {
      const ended = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      if (socket === undefined) {
        if (!signal.aborted) await ended;
        return;
      }
      await Promise.race([deps.ready, ended]);
      await watch(socket, signal);
      await send(socket, { STOPPING: "1", STATUS: "Stopping" });
    },
  };
}

/** Pure. */
export function overdueText(overdue: readonly OverdueLoop[]): string {
  const parts = overdue.map(
    ({ name, silentMs, allowedMs }) =>
      `${name} for ${Math.round(silentMs / 1000)} s (allowed ${Math.round(allowedMs / 1000)} s)`,
  );
  return `Not advancing: ${parts.join(", ")}; the watchdog is not fed`;
}
