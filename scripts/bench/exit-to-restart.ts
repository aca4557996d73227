import { type AgentProcess, createAgentBox, idleStream } from "./agent-box.ts";
import type { MeasureContext, Measurement } from "./measurement.ts";
import type { Peer } from "./peers/peer.ts";
import { createStampProgram, type StampProgram } from "./stamp-program.ts";

const ROUNDS = 60;
/** supervisord and pm2 call a program unstable, and wait before its restart, when it ran for less than 1 s. */
const LIFE_MS = 1300;

/**
 * Kills the program under each supervisor in turn and takes the time to the replacement's first instruction. Each round
 * of ours is the first failure of a fresh stream, as each of theirs is of a program that they call stable.
 */
export const exitToRestart: Measurement = {
  name: "exit-to-restart",
  limitMs: 15 * 60_000,
  measure: async (context) => {
    const { lab, say } = context;
    const program = createStampProgram(lab, "restart", { ffmpegPath: "ffmpeg" });
    await using box = await createAgentBox({ name: "restart", ffmpegPath: program.path }, lab);
    const agent = box.start();
    await box.untilLive();
    const rivals = await startRivals(context);

    const seen: number[] = [];
    const restarted: number[] = [];
    for (let round = -1; round < ROUNDS; round++) {
      if (round % 10 === 0) say(`round ${round} of ${ROUNDS}`);
      const id = `stream-${round + 1}`;
      const before = program.stamps().length;
      box.server.putStreams(idleStream(id));
      const pid = (await program.until(before + 1))[before]?.pid ?? -1;
      await lab.delay(LIFE_MS);

      const { killedAtMs, waitMs } = await program.killAndAwait(pid);
      if (round >= 0) {
        seen.push(seenAtMs(agent, id) - killedAtMs);
        restarted.push(waitMs);
      }
      for (const rival of rivals) {
        const last = rival.program.stamps().at(-1)?.pid ?? -1;
        const { waitMs: theirs } = await rival.program.killAndAwait(rival.peer.hostPid?.(last) ?? last);
        if (round >= 0) rival.samples.push(theirs);
      }
      box.server.set.remove([id]);
      await lab.until(async () => (await box.status()).workloads.length === 0, `${id} is forgotten`);
    }
    for (const { peer } of rivals) await peer.stop();
    return [
      { what: "killed → the agent's log says so", unit: "ms", samples: seen, bar: { of: "p99", limit: 5 } },
      {
        what: "killed → replacement's first instruction (first restart, its random wait included)",
        unit: "ms",
        samples: restarted,
        bar: { of: "p99", limit: 250 },
        peers: rivals.map(({ peer, samples }) => ({ name: peer.name, samples })),
      },
    ];
  },
};

interface Rival {
  readonly peer: Peer;
  readonly program: StampProgram;
  readonly samples: number[];
}

async function startRivals({ lab, peers, systemd }: MeasureContext): Promise<readonly Rival[]> {
  const rivals: Rival[] = [];
  for (const peer of [...(await peers(lab)), ...(await systemd(lab))]) {
    const program = createStampProgram(lab, `restart-${rivals.length}`);
    await peer.start(program.path, 1);
    await program.until(1);
    rivals.push({ peer, program, samples: [] });
  }
  return rivals;
}

function seenAtMs(agent: AgentProcess, id: string): number {
  return agent.lines.find(({ text }) => text.includes(`${id} ended (`))?.atMs ?? Number.NaN;
}
