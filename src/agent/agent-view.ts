import type { AgentStatus, Explanation, LinkStatus, WorkloadStatus } from "../contract/local-status.ts";
import type { NodeTelemetry } from "../contract/report.ts";
import type { Guard } from "./guard/guard.ts";
import { KEPT_GAPS } from "./health/stream-ledger.ts";
import type { Blocked } from "./reconcile/allocate.ts";
import type { CommandedState } from "./reconcile/commanded.ts";
import { explain, toIso, toWorkloadStatus, type WorkloadView } from "./reconcile/describe.ts";
import type { ExpectedState } from "./reconcile/expected.ts";
import { withStanding } from "./reconcile/session-standing.ts";
import type { Unit } from "./reconcile/unit.ts";
import type { ReportPicture } from "./report/reporter.ts";
import type { Refusal, WorkloadDriver } from "./workload/driver.ts";
import type { SessionKeeper } from "./workload/session/session-keeper.ts";

/** What never changes while an agent runs. */
export interface AgentFacts {
  readonly agentVersion: string;
  readonly boxId: string;
  readonly boxName: string | undefined;
  readonly pid: number;
  readonly startedWallMs: number;
  readonly verdict: AgentStatus["verdict"];
  readonly bootId: string;
}

export interface AgentViewDeps {
  readonly clock: { wallMs(): number; monotonicMs(): number };
  readonly expected: () => ExpectedState;
  /** What the expected set has by command. */
  readonly commanded: () => CommandedState;
  readonly stored: () => Pick<ExpectedState, "epoch" | "revision">;
  readonly units: () => ReadonlyMap<string, Unit>;
  readonly refusals: () => ReadonlyMap<string, Refusal>;
  readonly blocked: () => ReadonlyMap<string, Blocked>;
  readonly driverOf: (kind: string) => WorkloadDriver | undefined;
  readonly usageOf: (pid: number | undefined) => WorkloadView["usage"];
  readonly link: () => LinkStatus;
  readonly registry: () => AgentStatus["registry"];
  readonly report: () => AgentStatus["report"];
  readonly hold: () => AgentStatus["hold"];
  readonly enrolment: () => AgentStatus["enrolment"];
  readonly proofOf: (id: string, keepGaps: number) => WorkloadStatus["proof"];
  readonly incidents: () => AgentStatus["incidents"];
  readonly guard: Pick<Guard, "holdOf" | "shareOf" | "status">;
  readonly badInputs: () => Readonly<Record<string, number>>;
  readonly node: () => NodeTelemetry | undefined;
  readonly capabilities: readonly string[];
  readonly remoteKey: string | undefined;
  readonly remoteEnds: () => ReportPicture["remoteEnds"];
  readonly remote: NonNullable<AgentStatus["remote"]>;
  readonly segmentsOf: (id: string) => WorkloadStatus["segments"];
  readonly tunnelOf: (id: string) => WorkloadStatus["tunnel"];
  readonly tunnelFacts: () => ReportPicture["tunnels"];
  readonly sessions: Pick<SessionKeeper, "statusOf" | "usageOf" | "rests">;
  readonly sessionFacts: () => ReportPicture["sessions"];
}

/** The agent as others see it: status, explanations, reports. Reads, never decides. */
export interface AgentView {
  status(): AgentStatus;
  explain(id: string): Explanation;
  reportPicture(): ReportPicture;
}

/** How many gaps a status and a report tell; an explanation tells all that are kept. */
const TOLD_GAPS = 5;

export function createAgentView(facts: AgentFacts, deps: AgentViewDeps): AgentView {
  const viewOf = (id: string, keepGaps = TOLD_GAPS): WorkloadView => {
    const workload = deps.expected().workloads.get(id);
    const unit = deps.units().get(id);
    const kind = workload?.kind ?? unit?.kind;
    return {
      id,
      workload,
      unit,
      refusal: deps.refusals().get(id),
      blocked: deps.blocked().get(id),
      driver: kind === undefined ? undefined : deps.driverOf(kind),
      usage: kind === "session" ? deps.sessions.usageOf(id) : deps.usageOf(unit?.handle?.identity?.pid),
      proof: deps.proofOf(id, keepGaps),
      tunnel: deps.tunnelOf(id),
      segments: deps.segmentsOf(id),
      session: withStanding(deps.sessions.statusOf(id), workload, {
        expected: deps.expected(),
        commanded: deps.commanded(),
      }),
      rest: workload === undefined ? undefined : deps.sessions.rests(workload),
      held: deps.guard.holdOf(id),
      share: deps.guard.shareOf(id),
      incidents: deps.incidents().filter(({ end }) => end === undefined),
      nowMs: deps.clock.monotonicMs(),
      nowWallMs: deps.clock.wallMs(),
    };
  };

  const workloads = (): WorkloadStatus[] =>
    [...new Set([...deps.expected().workloads.keys(), ...deps.units().keys()])]
      .sort()
      .map((id) => toWorkloadStatus(viewOf(id)));

  return {
    explain: (id) => explain(viewOf(id, KEPT_GAPS), sourceOf(deps.expected(), deps.commanded(), id)),
    reportPicture: () => ({
      boxId: facts.boxId,
      bootId: facts.bootId,
      agentVersion: facts.agentVersion,
      verdict: facts.verdict,
      startedAt: toIso(facts.startedWallMs),
      capabilities: [...deps.capabilities],
      remoteKey: deps.remoteKey,
      remoteEnds: deps.remoteEnds(),
      // A server takes what it reads here for done: a power cut must not take it back.
      applied: positionOf(deps.stored()),
      link: deps.link(),
      registry: deps.registry(),
      node: deps.node(),
      tunnels: deps.tunnelFacts(),
      sessions: deps.sessionFacts(),
      incidents: deps.incidents(),
      workloads: workloads(),
    }),
    status: () => {
      const expected = deps.expected();
      const { held } = expected;
      return {
        version: 1,
        agentVersion: facts.agentVersion,
        boxId: facts.boxId,
        ...(facts.boxName === undefined ? {} : { boxName: facts.boxName }),
        pid: facts.pid,
        startedAt: toIso(facts.startedWallMs),
        verdict: facts.verdict,
        bootId: facts.bootId,
        link: deps.link(),
        expected: {
          ...positionOf(expected),
          workloads: expected.workloads.size,
          ...(held === undefined
            ? {}
            : {
                held: {
                  ids: [...held.ids],
                  appliesInSeconds: Math.max(0, (held.dueAtMs - deps.clock.monotonicMs()) / 1000),
                  reason: held.reason,
                },
              }),
        },
        registry: deps.registry(),
        report: deps.report(),
        hold: deps.hold(),
        enrolment: deps.enrolment(),
        incidents: deps.incidents(),
        guard: deps.guard.status(),
        remote: deps.remote,
        badInputs: { ...deps.badInputs() },
        workloads: workloads(),
      };
    },
  };
}

function positionOf({ epoch, revision }: Pick<ExpectedState, "epoch" | "revision">): ReportPicture["applied"] {
  return { ...(epoch === undefined ? {} : { epoch }), ...(revision === undefined ? {} : { revision }) };
}

function sourceOf(expected: ExpectedState, commanded: CommandedState, id: string): string {
  const byCommand = commanded.sessions.get(id);
  if (byCommand !== undefined) return `a command (generation ${byCommand.generation})`;
  if (expected.held?.ids.includes(id))
    return "the set before the last snapshot (its removal is held by the shrink guard)";
  if (expected.sessions.unclaimed.has(id)) {
    return `what was expected before the hub forgot it (its present memory, epoch ${expected.epoch}, does not know it; it is kept until the hub takes it up or ends it)`;
  }
  if (expected.epoch === undefined) return "a start event";
  return `the server (epoch ${expected.epoch}, revision ${expected.revision})`;
}
