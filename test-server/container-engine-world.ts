import { createHash } from "node:crypto";
import { openContainerEngine } from "../src/agent/runtime/container/open-container-engine.ts";
import type { WorkloadFiles } from "../src/agent/runtime/process/process-runtime.ts";
import type { ProcessMark, SessionRun } from "../src/agent/runtime/run-handle.ts";
import type { EngineLaunch, FoundRun, SessionEngine } from "../src/agent/runtime/workload-runtime.ts";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import { createHttpFetch, type HttpFetch } from "../src/base/http-fetch.ts";
import { createMemoryLog } from "../src/base/log.ts";
import type { SessionRunSpec, VolumeRule } from "../src/contract/session-spec.ts";
import type { SessionWorkload } from "../src/contract/workload.ts";
import type { ContainerDaemon } from "./container-daemon.ts";

/** One agent's engine of sessions on a real daemon; several of one state directory are one agent after the other. */
export interface EngineUnderTest extends AsyncDisposable {
  readonly engine: SessionEngine;
  /** Whose discarded sessions may go; all are kept unless they are in here. */
  readonly unkept: Set<string>;
  /** What was said last of a session's volumes. */
  readonly rules: Map<string, ReadonlyMap<string, VolumeRule>>;
  readonly lines: () => readonly string[];
  /** What it found whenever the daemon answered. */
  readonly appearances: readonly (readonly FoundRun[])[];
  start(workload: SessionWorkload, generation?: number): Promise<SessionRun>;
  untilReady(): Promise<void>;
}

export interface EngineWish {
  readonly platform: "docker" | "podman";
  readonly daemon: Pick<ContainerDaemon, "socketPath">;
  readonly stateDir: string;
  /** Stands before the daemon. */
  readonly around?: (fetch: HttpFetch) => HttpFetch;
}

export async function openEngineUnderTest({
  platform,
  daemon,
  stateDir,
  around,
}: EngineWish): Promise<EngineUnderTest> {
  const life = new AbortController();
  const log = createMemoryLog();
  const unkept = new Set<string>();
  const rules = new Map<string, ReadonlyMap<string, VolumeRule>>();
  const appearances: (readonly FoundRun[])[] = [];
  const real = createHttpFetch({ socketPath: daemon.socketPath });
  const engine = openContainerEngine(
    { engine: platform, socketPath: daemon.socketPath, isNamed: true, stateDir, address: "127.0.0.1" },
    {
      clock: systemClock,
      random: Math.random,
      fetch: around?.(real) ?? real,
      log,
      progress: { advance: () => undefined, rest: () => undefined },
      signal: life.signal,
    },
  );
  const running = engine.run(life.signal, {
    onAppeared: async () => void appearances.push(await engine.sweep()),
    onChange: () => undefined,
    isKept: (id) => !unkept.has(id),
    volumeRules: (id) => rules.get(id) ?? new Map(),
    isAwaited: () => false,
  });
  return {
    engine,
    unkept,
    rules,
    appearances,
    lines: () => log.lines,
    start: (workload, generation = 1) =>
      engine.start(markOf(workload, generation), launchOf(platform, workload), NO_FILES),
    untilReady: async () => {
      const endMs = systemClock.monotonicMs() + 30_000;
      while (!engine.status().isReady) {
        if (systemClock.monotonicMs() > endMs) throw new AppError("timeout", `not ready: ${engine.status().reason}`);
        await systemClock.delay(20);
      }
    },
    [Symbol.asyncDispose]: async () => {
      life.abort();
      await running;
    },
  };
}

/** A session that runs this machine's own programs. */
export function smallSession(id: string, wish: SmallSession): SessionWorkload {
  const { image, script, ports, volumes = [], env, resources } = wish;
  const [program = "", ...args] = script;
  return {
    kind: "session",
    id,
    ...(resources === undefined ? {} : { resources }),
    spec: {
      user: "anna",
      template: {
        image,
        command: [program],
        args,
        ...(ports === undefined ? {} : { ports }),
        ...(env === undefined ? {} : { env }),
      },
      volumes: [{ name: "usr", path: "/usr", hostPath: "/usr", readOnly: true }, ...volumes],
    },
  };
}

export interface SmallSession {
  readonly image: string;
  readonly script: readonly string[];
  readonly ports?: SessionRunSpec["template"]["ports"];
  readonly volumes?: NonNullable<SessionRunSpec["volumes"]>;
  readonly env?: Readonly<Record<string, string>>;
  readonly resources?: SessionWorkload["resources"];
}

export function markOf({ id, spec }: SessionWorkload, generation: number): ProcessMark {
  return {
    boxId: "box",
    workloadId: id,
    kind: "session",
    generation,
    nonce: generation.toString(16).padStart(32, "0"),
    specHash: createHash("sha256").update(JSON.stringify(spec)).digest("hex"),
  };
}

export function launchOf(engine: "docker" | "podman", workload: SessionWorkload): EngineLaunch {
  return { engine, workload, signal: new AbortController().signal };
}

/** A container has files of its own. */
const NO_FILES: WorkloadFiles = { directory: "", progressPath: "", rawOutputPath: "", logPath: "", previewPath: "" };
