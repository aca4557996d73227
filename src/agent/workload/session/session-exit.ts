import type { SessionRunSpec } from "../../../contract/session-spec.ts";
import type { ProcessExit } from "../../runtime/run-handle.ts";
import type { ExitVerdict } from "../driver.ts";

/** A program that says it cannot be run, or is not there, as shells and containers have it. */
const CANNOT_RUN: ReadonlySet<number | null> = new Set([126, 127]);

/** What the end of a session means. Pure. Its last line of output is shown, whatever it says. */
export function classifySessionExit(
  exit: ProcessExit,
  output: readonly string[],
  restart: SessionRunSpec["restart"] = "always",
): ExitVerdict {
  const evidence = output.at(-1);
  const shown = evidence === undefined ? {} : { evidence };
  if (restart === "never") return { class: classOf(exit), retry: "never", ...shown };
  if (restart === "on-failure" && exit.code === 0) return { class: "completed", retry: "never", ...shown };
  if (exit.reason === undefined && CANNOT_RUN.has(exit.code)) {
    return { class: "cannot-run", retry: "long", ...shown };
  }
  return { class: classOf(exit), retry: "backoff", ...shown };
}

function classOf({ code, signal, reason }: ProcessExit): string {
  if (reason !== undefined) return reason;
  if (signal !== null) return signal === "SIGKILL" ? "killed" : "signal";
  if (code === null) return "unseen";
  return code === 0 ? "completed" : "failed";
}
