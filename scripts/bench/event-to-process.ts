import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { createAgentBox, idleStream } from "./agent-box.ts";
import { isAlive, type Lab } from "./lab.ts";
import type { Measurement } from "./measurement.ts";
import { awaitWallEdgeMs, createStampProgram } from "./stamp-program.ts";
import { median } from "./statistics.ts";

const ROUNDS = 200;
const WARM_UP = 10;
/** The agent has then written what it had to write about the round before. */
const PAUSE_MS = 60;

/**
 * From the moment the server writes the event to the first instruction of the program, beside the bare spawn of the same
 * program by a small Node, turn by turn. What the agent adds is each time less the median of the bare spawn.
 */
export const eventToProcess: Measurement = {
  name: "event-to-process",
  limitMs: 180_000,
  measure: async ({ lab, say }) => {
    const program = createStampProgram(lab, "event", { ffmpegPath: "ffmpeg" });
    await using box = await createAgentBox({ name: "event", ffmpegPath: program.path }, lab);
    box.start();
    await box.untilLive();
    await using bare = startBareSpawner(lab);

    let number = 0;
    const viaEvent = async (): Promise<number> => {
      const id = `stream-${number++}`;
      const before = program.stamps().length;
      const sentMs = awaitWallEdgeMs();
      box.server.putStreams(idleStream(id));
      const stamp = (await program.until(before + 1))[before];
      if (stamp === undefined) return Number.NaN;
      box.server.set.remove([id]);
      await lab.until(() => !isAlive(lab.table, stamp.pid), `${id} ends`);
      await lab.until(async () => (await box.status()).workloads.length === 0, `${id} is forgotten`, {
        pollMs: PAUSE_MS,
      });
      return stamp.wallMs - sentMs;
    };

    const first = await viaEvent();
    for (let round = 1; round < WARM_UP; round++) await viaEvent();
    const whole: number[] = [];
    const spawnOnly: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      if (round % 20 === 0) say(`round ${round} of ${ROUNDS}`);
      spawnOnly.push(await bare.spawn());
      whole.push(await viaEvent());
    }
    const bareMs = median(spawnOnly);
    return [
      { what: "bare spawn of the program", unit: "ms", samples: spawnOnly },
      { what: "SSE event → program's first instruction", unit: "ms", samples: whole },
      {
        what: "… added to the bare spawn",
        unit: "ms",
        samples: whole.map((ms) => ms - bareMs),
        bar: { of: "p99", limit: 50 },
      },
      { what: "… for the first stream of an agent (it asks FFmpeg what it can do)", unit: "ms", samples: [first] },
    ];
  },
};

interface BareSpawner extends AsyncDisposable {
  /** Milliseconds from the call to the program's first instruction. */
  spawn(): Promise<number>;
}

/** A Node of its own: a fork costs by the size of the process that forks. */
function startBareSpawner(lab: Lab): BareSpawner {
  const program = createStampProgram(lab, "bare");
  const child = lab.spawn(process.execPath, [resolve(import.meta.dirname, "bare-spawner.ts")], {
    stdio: "pipe",
    env: { PROGRAM: program.path, OUTPUT: join(lab.directory, "bare.out") },
  });
  let isReady = false;
  const answers: number[] = [];
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line === "ready") isReady = true;
      else answers.push(Number(line));
    });
  }
  return {
    spawn: async () => {
      await lab.until(() => isReady, "the bare spawner is ready");
      const before = program.stamps().length;
      child.kill("SIGUSR2");
      const stamp = (await program.until(before + 1))[before];
      await lab.until(() => answers.length > before, "the bare spawner says when", { pollMs: 2 });
      return (stamp?.wallMs ?? Number.NaN) - (answers[before] ?? Number.NaN);
    },
    [Symbol.asyncDispose]: async () => void child.kill("SIGKILL"),
  };
}
