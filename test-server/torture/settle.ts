import { readFileSync } from "node:fs";
import { join } from "node:path";
import { REGISTRY_FORMAT } from "../../src/agent/registry/registry.ts";
import type { Clock } from "../../src/base/clock.ts";
import { parseDocument } from "../../src/base/document.ts";
import { messageOf } from "../../src/base/errors.ts";
import type { TortureStream } from "./action.ts";
import type { MarkedProcess } from "./own-processes.ts";
import type { TortureWorld } from "./torture-world.ts";
import { violation } from "./violation.ts";

export interface Settled {
  readonly tookMs: number;
  readonly pids: ReadonlyMap<string, number>;
}

export interface SettleDeps {
  readonly world: TortureWorld;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const POLL_MS = 200;

/**
 * Waits until everything agrees: the server's set, what the agent says, what the kernel shows, the registry on disk, and
 * media that arrives. Rejects with `violated` at the deadline, with what did not agree last.
 */
export async function settle(
  expected: readonly TortureStream[],
  deadlineMs: number,
  { world, clock, signal }: SettleDeps,
): Promise<Settled> {
  const startMs = clock.monotonicMs();
  const bytesBefore = new Map<string, number>();
  let last = "";
  for (;;) {
    const agreed = await look(expected, { world, bytesBefore }).catch((thrown: unknown) => messageOf(thrown));
    const tookMs = clock.monotonicMs() - startMs;
    if (typeof agreed !== "string") return { tookMs, pids: agreed };
    last = agreed;
    if (tookMs > deadlineMs) throw violation("settled", `not within ${deadlineMs / 1000} s: ${last}`);
    await clock.delay(POLL_MS, signal);
  }
}

interface Sight {
  readonly world: TortureWorld;
  /** Media of each key when it was first looked at. */
  readonly bytesBefore: Map<string, number>;
}

/** The processes by stream when all agree; else what does not. */
async function look(
  expected: readonly TortureStream[],
  { world, bytesBefore }: Sight,
): Promise<ReadonlyMap<string, number> | string> {
  const ids = expected.map(({ id }) => id).sort();
  const held = [...(await world.server.ids())].sort();
  if (held.join() !== ids.join()) return `the server expects ${held.join()}, the plan ${ids.join()}`;

  const status = await world.agent.status();
  if (status.pid !== world.agent.pid()) return `pid ${status.pid} answers, ${world.agent.pid()} was started`;
  if (status.link.state !== "live") return `the link is ${status.link.state}: ${status.link.reason}`;
  const marked = world.processes.marked();
  const difference = differenceOf(ids, marked);
  if (difference !== undefined) {
    const states = status.workloads.map(
      ({ id, state, cause }) => `${id} ${state}${cause === undefined ? "" : ` (${cause})`}`,
    );
    return `${difference}; the agent says: ${states.join(", ")}`;
  }
  const pids = new Map(marked.map(({ workloadId, pid }) => [workloadId, pid]));
  for (const { id, state, pid, cause } of status.workloads) {
    if (state !== "running") return `${id} is ${state}: ${cause}`;
    if (pids.get(id) !== pid) return `${id} is pid ${pids.get(id)}, the agent says ${pid}`;
  }
  if (status.workloads.length !== ids.length) return `the agent knows ${status.workloads.map(({ id }) => id).join()}`;
  if (!status.registry.durable) return `the registry is not on disk: ${status.registry.reason}`;
  return registryProblem(world.stateDir, pids) ?? (await mediaProblem(expected, { world, bytesBefore })) ?? pids;
}

function differenceOf(ids: readonly string[], marked: readonly MarkedProcess[]): string | undefined {
  const shown = marked.map(({ workloadId, pid, generation }) => `${workloadId}#${generation}=${pid}`).sort();
  const running = marked.map(({ workloadId }) => workloadId).sort();
  return running.join() === ids.join() ? undefined : `expected ${ids.join()}, running ${shown.join() || "nothing"}`;
}

function registryProblem(stateDir: string, pids: ReadonlyMap<string, number>): string | undefined {
  const parsed = parseDocument(readFileSync(join(stateDir, "registry.json"), "utf8"), REGISTRY_FORMAT);
  if (parsed.kind !== "good") return `registry.json is ${parsed.kind}`;
  const { records = [] }: { records?: readonly { id?: unknown; pid?: unknown }[] } = Object(parsed.data);
  const written = records.map(({ id, pid }) => `${id}=${pid}`).sort();
  const real = [...pids].map(([id, pid]) => `${id}=${pid}`).sort();
  return written.join() === real.join() ? undefined : `registry.json says ${written.join()}, real is ${real.join()}`;
}

async function mediaProblem(
  expected: readonly TortureStream[],
  { world, bytesBefore }: Sight,
): Promise<string | undefined> {
  const publishers = await world.server.publishers();
  const silent = expected.filter((stream) => {
    const key = world.keyOf(stream);
    const publisher = publishers.find((candidate) => candidate.key === key);
    const bytes = publisher?.mediaBytes ?? 0;
    const before = bytesBefore.get(key);
    // A server that was started anew counts from nothing.
    if (before === undefined || bytes < before) bytesBefore.set(key, bytes);
    return publisher?.publishing !== true || bytes <= (before ?? bytes);
  });
  return silent.length === 0 ? undefined : `no media of ${silent.map(({ id }) => id).join()} arrives`;
}
