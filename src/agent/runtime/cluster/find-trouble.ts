import type { HealthCause } from "../../../contract/health-cause.ts";
import type { Finding } from "../../health/finding.ts";
import type { DeploymentObject, PodObject } from "../cluster-api/cluster-answers.ts";
import type { SessionContainer } from "./session-container.ts";

export interface TroubleFacts {
  readonly deployment: DeploymentObject | undefined;
  /** The one that is to serve. */
  readonly pod: PodObject | undefined;
  readonly container: SessionContainer | undefined;
  readonly nowWallMs: number;
}

/** An end that the cluster has dealt with by itself is told for so long. */
const TOLD_MS = 300_000;
/** Until it says of itself that it serves. */
const START_WARNING_MS = 60_000;

const IMAGE = new Set([
  "ErrImagePull",
  "ImagePullBackOff",
  "InvalidImageName",
  "ErrImageNeverPull",
  "RegistryUnavailable",
]);
const STARTING = new Set(["ContainerCreating", "PodInitializing"]);

/**
 * Why a session does not serve, in the cluster's words. Pure. The cluster starts again what ends and fetches again what it could not:
 * nothing of it is an exit, and none of it needs a start of ours.
 */
export function findTrouble(facts: TroubleFacts): Finding | undefined {
  const { deployment, pod, container, nowWallMs } = facts;
  if (pod === undefined) {
    const failure = conditionOf(deployment?.status, "ReplicaFailure", "True");
    return failure === undefined ? undefined : tell("unschedulable", `no pod could be made: ${failure}`);
  }
  const unscheduled = conditionOf(pod.status, "PodScheduled", "False");
  if (unscheduled !== undefined) return tell("unschedulable", `no node takes it: ${unscheduled}`);
  if (container === undefined) return undefined;
  const { waiting, terminated } = container.state ?? {};
  const last = terminated ?? container.lastState?.terminated ?? undefined;
  const end = last === undefined ? "" : endText(last);
  const times = `the cluster has started it again ${container.restartCount} times`;
  if (waiting?.reason !== undefined && !STARTING.has(waiting.reason)) {
    const said = [waiting.reason, waiting.message].filter(Boolean).join(": ");
    if (IMAGE.has(waiting.reason)) return tell("image-missing", said);
    if (waiting.reason !== "CrashLoopBackOff") return tell("cannot-run", said);
    return tell(isOutOfMemory(last) ? "oom-killed" : "crash-loop", `${end}, ${times}; ${said}`);
  }
  if (last !== undefined && nowWallMs - endedMs(last) < TOLD_MS) {
    return tell(isOutOfMemory(last) ? "oom-killed" : "crash-loop", `${end}, ${times}`);
  }
  const runsSinceMs = Date.parse(container.state?.running?.startedAt ?? "");
  if (!container.ready && nowWallMs - runsSinceMs >= START_WARNING_MS) {
    const seconds = Math.round((nowWallMs - runsSinceMs) / 1000);
    return tell("not-listening", `its port does not accept ${seconds} s after its start`);
  }
  return undefined;
}

type End = NonNullable<NonNullable<SessionContainer["state"]>["terminated"]>;

function isOutOfMemory(end: End | undefined): boolean {
  return end?.reason === "OOMKilled";
}

function endText({ exitCode, reason, message }: End): string {
  if (reason === "OOMKilled") return "ended at its memory limit (OOMKilled)";
  const said = message === undefined || message === "" ? "" : `: ${message}`;
  return `ended with status ${exitCode}${reason === undefined || reason === "Error" ? "" : ` (${reason})`}${said}`;
}

function endedMs({ finishedAt }: End): number {
  const ms = Date.parse(finishedAt ?? "");
  return Number.isNaN(ms) ? 0 : ms;
}

function conditionOf(
  status: DeploymentObject["status"] | PodObject["status"],
  type: string,
  wanted: "True" | "False",
): string | undefined {
  const found = status?.conditions?.find((one) => one.type === type && one.status === wanted);
  return found === undefined ? undefined : (found.message ?? found.reason ?? "no reason is told");
}

function tell(cause: HealthCause, message: string): Finding {
  return { cause, message, needsRestart: false };
}
