import type { Workload } from "../../contract/workload.ts";
import type { StopLadder } from "../runtime/run-handle.ts";
import type { ExitVerdict, WorkloadDriver } from "../workload/driver.ts";
import { componentOf } from "./component-of.ts";
import type { EngineDeps } from "./engine-deps.ts";
import type { StopReason } from "./plan.ts";
import { afterExplainedFailure, afterFailure, FRESH_RESTART } from "./restart-state.ts";
import type { Transitions } from "./transitions.ts";
import { createUnit, type FailedUpdate, toRecord, type Unit } from "./unit.ts";

/**
 * Carries out the plan's steps on a workload that is updated while it runs: its successor is launched beside it, takes
 * over or is given up. What is decided here can be lost at any moment: the marks of two live processes of one workload,
 * the older and the newer, are all that the next agent needs to go on.
 */
export interface Succession {
  begin(main: Unit, workload: Workload, driver: WorkloadDriver): Promise<void>;
  /** The successor becomes the workload's own unit; what ran before is stopped. */
  promote(main: Unit, ladder: StopLadder): Promise<void>;
  abandon(main: Unit, reason: StopReason, ladder: StopLadder): Promise<void>;
  /** A successor has ended without having taken over: its old self goes on, and the next attempt falls due later. */
  failed(successor: Unit, verdict: ExitVerdict, text: string): void;
  /** A successor or predecessor is gone. */
  dropped(unit: Unit): void;
}

export function createSuccession(
  units: Map<string, Unit>,
  transitions: Pick<Transitions, "launch" | "stop">,
  deps: EngineDeps,
): Succession {
  const { clock } = deps;

  const leave = (unit: Unit) => {
    deps.records.remove(unit.id, unit.lane);
    deps.discardFiles(unit.id, unit.lane);
    deps.onChange();
  };

  return {
    begin: (main, workload, driver) => {
      const successor = createUnit({
        id: main.id,
        kind: workload.kind,
        sinceWallMs: clock.wallMs(),
        lane: main.lane === 0 ? 1 : 0,
        role: "successor",
      });
      successor.generation = Math.max(main.generation, main.failedUpdate?.generation ?? 0);
      main.successor = successor;
      return transitions.launch(successor, workload, driver);
    },

    promote: async (main, ladder) => {
      const { successor } = main;
      if (successor === undefined) return;
      const log = deps.logFor(componentOf(main.kind));
      main.successor = undefined;
      main.role = "predecessor";
      successor.role = "main";
      successor.cause = undefined;
      units.set(main.id, successor);
      deps.records.put(toRecord(successor, deps.bootId));
      if (main.handle === undefined) {
        log.info(`Updated ${main.id}: generation ${successor.generation} takes the place of one that has ended`);
        leave(main);
        return;
      }
      successor.predecessor = main;
      log.info(
        `Updated ${main.id}: the media of generation ${successor.generation} (${successor.handle?.label}) is proved, stopping generation ${main.generation} (${main.handle.label})`,
      );
      deps.onOccurrence({ kind: "updated", workloadId: main.id, text: `${successor.handle?.label} has taken over` });
      await transitions.stop(main, "replaced", ladder);
    },

    abandon: async ({ successor }, reason, ladder) => {
      if (successor !== undefined) await transitions.stop(successor, reason, ladder);
    },

    failed: (successor, verdict, text) => {
      const main = units.get(successor.id);
      leave(successor);
      if (main?.successor !== successor) return;
      main.successor = undefined;
      const before = main.failedUpdate;
      const past = before?.specHash === successor.specHash ? before.restart : FRESH_RESTART;
      const evidence = verdict.evidence ?? text;
      const { state, delayMs } = deps.restraint.failed({ id: main.id, class: verdict.class, evidence })
        ? afterExplainedFailure(past, deps.random)
        : afterFailure(past, verdict, deps.random);
      const failedUpdate: FailedUpdate = {
        specHash: successor.specHash,
        generation: successor.generation,
        restart: state,
        // What a camera with one session does not allow is done in another way, and at once.
        dueAtMs: clock.monotonicMs() + (verdict.taken === undefined ? delayMs : 0),
        atWallMs: clock.wallMs(),
        cause: text,
      };
      main.failedUpdate = failedUpdate;
      const seconds = (Math.max(0, failedUpdate.dueAtMs - clock.monotonicMs()) / 1000).toFixed(1);
      const goesOn = main.handle === undefined ? "" : `, ${main.handle.label} goes on with the old settings`;
      deps
        .logFor(componentOf(main.kind))
        .error(`Update of ${main.id} failed: ${text}${goesOn}; next attempt in ${seconds} s`);
      deps.onOccurrence({ kind: "update-failed", workloadId: main.id, text });
      deps.onChange();
    },

    dropped: (unit) => {
      const main = units.get(unit.id);
      if (main?.successor === unit) main.successor = undefined;
      if (main?.predecessor === unit) main.predecessor = undefined;
      leave(unit);
    },
  };
}
