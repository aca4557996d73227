import type { Service } from "../base/service.ts";
import type { Workload } from "../contract/workload.ts";
import type { AgentContext } from "./agent-context.ts";
import { type CommandedStore, createCommandedStore, withCommanded } from "./reconcile/commanded-store.ts";
import { createExpectedStore, type ExpectedStore } from "./reconcile/expected-store.ts";
import { type Unit, unitsOf } from "./reconcile/unit.ts";
import type { CommandedFile } from "./registry/commanded-file.ts";
import type { ExpectedFile } from "./registry/expected-file.ts";
import type { VolumeRules } from "./registry/volume-rules.ts";
import type { WorkloadDriver } from "./workload/driver.ts";
import { createSecretKeeper, type SecretHolder } from "./workload/secret-keeper.ts";

export interface ExpectedParts {
  readonly expectedFile: ExpectedFile;
  readonly commandedFile: CommandedFile;
  readonly volumeRules: VolumeRules;
  /** Start from an empty set, whatever the file says. */
  readonly isCleared: boolean;
  readonly driverOf: (kind: string) => WorkloadDriver | undefined;
  readonly units: () => ReadonlyMap<string, Unit>;
  readonly onChange: () => void;
  /** What the server expects has reached the disk. */
  readonly onStored: () => void;
}

export interface OpenedExpected {
  /** What the server expects together with what it has asked for by command. */
  readonly store: ExpectedStore;
  readonly commanded: CommandedStore;
  /** What the redactor knows follows what is expected and what still runs. */
  readonly secrets: Service;
}

/** What this box is to run, from both of its documents. */
export function openExpected(context: AgentContext, parts: ExpectedParts): OpenedExpected {
  const { clock, redactor, logFor, options } = context;
  const { expectedFile, commandedFile, volumeRules, isCleared, driverOf, units } = parts;
  const secrets = createSecretKeeper({
    clock,
    redactor,
    isExpected: (id) => store.state().workloads.has(id),
    holders: () => [...units().values()].flatMap(unitsOf).flatMap(secretHolderOf),
  });
  const learn = (workloads: Iterable<Workload>) => {
    for (const workload of workloads) {
      if (workload.kind === "session") volumeRules.note(workload.id, workload.spec.volumes ?? []);
      const learnt = driverOf(workload.kind)?.secrets(workload);
      if (learnt !== undefined) secrets.learn(workload.id, learnt);
    }
  };
  const server = createExpectedStore(
    { shrinkHoldMs: options.reconcile.shrinkHoldMs, isConfirmed: isCleared },
    isCleared ? { workloads: [] } : expectedFile.loaded,
    {
      clock,
      log: logFor("RECONCILE"),
      running: () => {
        const running = [...units().values()].flatMap(unitsOf).filter(({ handle }) => handle !== undefined);
        return new Set(running.flatMap(({ id }) => (commanded.state().sessions.has(id) ? [] : [id])));
      },
      save: (document) => {
        expectedFile.save(document);
        // What is told of it waits for this.
        return Promise.all([expectedFile.commit(), volumeRules.commit()]).then(parts.onStored);
      },
      onPut: learn,
      onChange: () => {
        commanded.expectedChanged();
        parts.onChange();
      },
    },
  );
  const commanded = createCommandedStore(
    { isCleared },
    {
      file: {
        ...commandedFile,
        commit: async () => void (await Promise.all([commandedFile.commit(), volumeRules.commit()])),
      },
      expected: server,
      admit: (workload) => driverOf(workload.kind)?.admit(workload),
      onPut: learn,
      onFarewell: ({ id, spec }) => volumeRules.note(id, spec.volumes ?? []),
      onChange: parts.onChange,
    },
  );
  const store = withCommanded(server, commanded);
  return { store, commanded, secrets };
}

function secretHolderOf({ id, phase, handle, launchedAtMs }: Unit): readonly SecretHolder[] {
  if (phase === "launching") return [{ id, launchedAtMs: undefined }];
  return handle === undefined ? [] : [{ id, launchedAtMs }];
}
