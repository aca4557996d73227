import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, realpathSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { messageOf } from "../../src/base/errors.ts";
import { hashOfDirectory, runDirectoryCandidates } from "../../src/base/run-directory.ts";
import type { Workload } from "../../src/contract/workload.ts";
import { makeClip } from "../clip.ts";
import type { TortureStream } from "./action.ts";
import { type AgentProcess, createAgentProcess } from "./agent-process.ts";
import { type CutNetwork, makeCutNetwork } from "./cut-network.ts";
import type { Abilities } from "./draw-action.ts";
import { findOwnProcesses, type OwnProcesses } from "./own-processes.ts";
import { type Sentinels, startSentinels } from "./sentinels.ts";
import { createServerProcess, type ServerProcess } from "./server-process.ts";
import { mountSmallDisk, type SmallDisk } from "./small-disk.ts";

const STEP_CLOCK = resolve(import.meta.dirname, "../programs/step-clock.js");

/** A server, an agent, innocent bystanders, and what they run on; all of it made for one run and gone after it. */
export interface TortureWorld extends AsyncDisposable {
  readonly boxId: string;
  readonly stateDir: string;
  /** Where the agent keeps what a reboot may take. */
  readonly runDirectory: string;
  readonly server: ServerProcess;
  readonly agent: AgentProcess;
  readonly processes: OwnProcesses;
  readonly sentinels: Sentinels;
  readonly network: CutNetwork | undefined;
  readonly disk: SmallDisk | undefined;
  readonly abilities: Abilities;
  /** What this machine does not allow, one sentence each. */
  readonly notes: readonly string[];
  /** A file of somebody else, and what must stay in it. */
  readonly precious: { readonly path: string; readonly text: string };
  /** Texts that must never be seen where people read. */
  readonly secrets: readonly string[];
  keyOf(stream: TortureStream): string;
  workloadOf(stream: TortureStream): Workload;
  stepClock(seconds: number): void;
}

export async function createTortureWorld(options: { readonly seed: number }): Promise<TortureWorld> {
  const home = realpathSync(mkdtempSync(join(tmpdir(), "sluice-torture-")));
  const stateDir = join(home, "state");
  const clockFile = join(home, "clock");
  const boxId = `torture-${options.seed}`;
  mkdirSync(stateDir, { mode: 0o700 });
  writeFileSync(clockFile, "0");
  const precious = { path: join(home, "precious"), text: "somebody else's\n" };
  writeFileSync(precious.path, precious.text);
  await using made = new AsyncDisposableStack();
  made.defer(() => rm(home, { recursive: true, force: true, maxRetries: 5 }));

  const disk = mountSmallDisk(stateDir);
  if (typeof disk !== "string") made.use(disk);
  const network = makeCutNetwork();
  if (typeof network !== "string") made.use(network);
  const notes = [
    ...(typeof disk === "string" ? [`No full or read-only disk: ${disk}.`] : []),
    ...(typeof network === "string" ? [`No cut network: ${network}.`] : []),
  ];
  const runDirectory =
    runDirectoryCandidates({ stateDir, userId: process.getuid?.() ?? 0 }, hashOfDirectory(stateDir))[0] ?? "";
  made.defer(() => rm(runDirectory, { recursive: true, force: true }));
  const processes = findOwnProcesses({ stateDir, home });
  made.defer(() => processes.sweep());

  const clip = made.use(await makeClip({ seconds: 10, size: "320x180", fps: 10 }));
  const sentinels = made.use(await startSentinels({ directory: home, boxId }));
  const isCuttable = typeof network !== "string";
  const server = made.use(
    createServerProcess({
      host: isCuttable ? network.address : "127.0.0.1",
      namespace: isCuttable ? network.namespace : undefined,
      home,
    }),
  );
  await server.start();

  const canary = createHash("sha256").update(`sluice torture ${options.seed}`).digest("hex").slice(0, 20);
  const token = `token-${canary}`;
  const agent = createAgentProcess({
    stateDir,
    home,
    boxId,
    preload: { path: STEP_CLOCK, environment: { STEP_CLOCK_FILE: clockFile } },
    environment: {
      SSE_ENDPOINT: `${server.origin()}/v1/boxes/${boxId}/events`,
      SLUICE_REPORT_ENDPOINT: `${server.origin()}/v1/boxes/${boxId}/report`,
      SLUICE_TOKEN: token,
      SSE_RETRY_DELAY: "0.5",
      CONNECTION_TIMEOUT: "3",
      SLUICE_POLICY_FILE_ROOTS: clip.directory,
      SLUICE_RECONCILE_INTERVAL_SECONDS: "5",
      // No step lasts that long: what the guard holds stays held.
      SLUICE_RECONCILE_SHRINK_HOLD_SECONDS: "600",
      SLUICE_LOG_MAX_FILE_BYTES: "262144",
      SLUICE_LOG_KEEP_FILES: "3",
    },
  });
  // Before the sweep: one that is ended by its own signal takes its child with it.
  made.defer(() => agent.end("SIGKILL"));

  const keyOf = ({ id, version }: TortureStream) => `key-${id}-${version}-${canary}`;
  const owned = made.move();
  return {
    boxId,
    stateDir,
    runDirectory,
    server,
    agent,
    processes,
    sentinels,
    network: typeof network === "string" ? undefined : network,
    disk: typeof disk === "string" ? undefined : disk,
    abilities: { disk: typeof disk !== "string", network: isCuttable },
    notes,
    precious,
    secrets: [canary],
    keyOf,
    workloadOf: (stream) => ({
      kind: "stream",
      id: stream.id,
      spec: {
        input: { url: clip.path, loop: true },
        outputs: [{ url: `${server.rtmpUrl()}/${keyOf(stream)}` }],
        audio: "none",
      },
    }),
    stepClock: (seconds) => {
      writeFileSync(clockFile, String(seconds));
      agent.signal("SIGUSR2");
    },
    [Symbol.asyncDispose]: async () => {
      try {
        await owned.disposeAsync();
      } catch (thrown) {
        process.stderr.write(`torture: could not clean up: ${messageOf(thrown)}\n`);
        throw thrown;
      }
    },
  };
}
