import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expectedViewSchema } from "../contract/fleet/expected-view.ts";
import type { WorkloadStatus } from "../contract/local-status.ts";
import type { Workload } from "../contract/workload.ts";
import { startTestHub, type TestHub } from "../hub/hub-world.fake.ts";
import { reportOf } from "../hub/store/store.fake.ts";
import { createTestContext } from "./command-context.fake.ts";
import { runProgram } from "./program.ts";

/** A hub with boxes that do what agents do, and the commands of people. */
export interface FleetWorld extends AsyncDisposable {
  readonly hub: TestHub;
  /** An own directory for the files of commands. */
  readonly home: string;
  run(...args: readonly string[]): Promise<{ readonly exitCode: number; readonly out: string; readonly err: string }>;
  /** `more`: what the report says beside what every report does. */
  report(boxId: string, more?: object): Promise<void>;
  /** From now on these boxes take over what is expected, and report it as carried out. */
  live(...boxIds: readonly string[]): void;
}

export interface FleetWish {
  readonly boxes: readonly { readonly id: string; readonly labels?: Record<string, string> }[];
  /** What every box tells of itself. */
  readonly facts: object;
  /** What a box says of a workload; undefined: nothing. */
  readonly statusOf: (workload: Workload) => WorkloadStatus | undefined;
  readonly env?: Readonly<Record<string, string>>;
  readonly columns: number;
}

/** A hub takes fifty requests a second; each of two boxes asks twice a turn. */
const TURN_MS = 100;

export async function createFleetWorld({ boxes, facts, statusOf, env, columns }: FleetWish): Promise<FleetWorld> {
  const hub = await startTestHub();
  const home = await mkdtemp(join(tmpdir(), "sluice-cli-"));
  const keys = new Map<string, string>();
  const over = new AbortController();
  const lives: Promise<void>[] = [];
  let sequence = 0;

  const report = async (boxId: string, more: object = {}): Promise<void> => {
    const body = { ...reportOf(boxId, "s", ++sequence), ...facts, ...more };
    await hub.ask("POST", `/v1/boxes/${boxId}/report`, { token: keys.get(boxId) ?? "", body });
  };
  const liveAs = async (boxId: string): Promise<void> => {
    while (!over.signal.aborted) {
      const { body } = await hub.ask("GET", `/v1/boxes/${boxId}/workloads`);
      const { epoch, revision, items } = expectedViewSchema.parse(body);
      const workloads = items.flatMap(({ workload }) => statusOf(workload) ?? []);
      await report(boxId, { applied: { epoch, revision }, workloads });
      await new Promise((resolve) => setTimeout(resolve, TURN_MS));
    }
  };

  for (const { id, labels } of boxes) {
    keys.set(id, await hub.enrol(id, labels === undefined ? {} : { labels }));
    await report(id);
  }
  return {
    hub,
    home,
    report,
    live: (...boxIds) => void lives.push(...boxIds.map(liveAs)),
    run: async (...args) => {
      const context = createTestContext(home, {
        env: { SLUICE_HUB: hub.origin, SLUICE_HUB_TOKEN: hub.tokens.operator, ...env },
        terminal: { columns },
      });
      const exitCode = await runProgram([...args], context);
      return { exitCode, out: context.out(), err: context.err() };
    },
    [Symbol.asyncDispose]: async () => {
      over.abort();
      await Promise.all(lives);
      await hub.close();
      await rm(home, { recursive: true });
    },
  };
}
