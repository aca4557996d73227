import { type AgentBox, createAgentBox, idleStream } from "./agent-box.ts";
import { measureEmptyNode } from "./empty-node.ts";
import { isAlive, type Lab } from "./lab.ts";
import type { MeasureContext, Measurement, Row } from "./measurement.ts";
import type { Peer } from "./peers/peer.ts";
import { createStampProgram } from "./stamp-program.ts";

const STREAMS = 20;
/** Both peers have started what they will start by then. */
const PEER_SETTLE_MS = 4000;

/** The supervisor is killed with SIGKILL under 20 programs; the next one is started, and has them, or does not. */
export const adoption: Measurement = {
  name: "adoption",
  limitMs: 20 * 60_000,
  measure: async (context) => {
    const { lab, isLong, peers } = context;
    const { adopted, told, node, restarts } = await measureOurs(context, isLong ? 100 : 20);
    const rivals: { name: string; kept: number; allMs: number }[] = [];
    for (const peer of await peers(lab)) rivals.push({ name: peer.name, ...(await measurePeer(peer, context)) });
    return [
      { what: "Node alone: spawn → exit of an empty program", unit: "ms", samples: node },
      { what: `next agent: spawn → log says that ${STREAMS} are adopted`, unit: "ms", samples: adopted },
      {
        what: `next agent: spawn → socket says that ${STREAMS} are adopted`,
        unit: "ms",
        samples: told,
        bar: { of: "max", limit: 1000 },
        peers: rivals.map(({ name, allMs }) => ({ name: `${name} (starts them anew)`, samples: [allMs] })),
      },
      {
        what: `programs that were started again, a kill (of ${STREAMS})`,
        unit: "",
        samples: restarts,
        bar: { of: "max", limit: 0 },
        peers: rivals.map(({ name, kept }) => ({ name, samples: [STREAMS - kept] })),
      },
    ] satisfies readonly Row[];
  },
};

async function measureOurs({ lab, say }: MeasureContext, rounds: number) {
  const program = createStampProgram(lab, "adopted", { ffmpegPath: "ffmpeg" });
  await using box = await createAgentBox({ name: "adoption", ffmpegPath: program.path }, lab);
  box.start();
  await box.untilLive();
  box.server.putStreams(...Array.from({ length: STREAMS }, (_, index) => idleStream(`stream-${index}`)));
  await program.until(STREAMS);
  await lab.until(async () => (await pidsOf(box)).length === STREAMS, "all streams run");

  const figures = { adopted: [] as number[], told: [] as number[], node: [] as number[], restarts: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    if (round % 10 === 0) say(`round ${round} of ${rounds}`);
    const before = (await pidsOf(box)).join();
    const startsBefore = program.stamps().length;
    await box.kill("SIGKILL");
    figures.node.push(await measureEmptyNode(lab));
    const agent = box.start();
    const isBack = async () => (await pidsOf(box).catch(() => [])).join() === before;
    await lab.until(isBack, `${STREAMS} adopted`, { pollMs: 3, timeoutMs: 20_000 });
    figures.told.push(performance.now() - agent.spawnedAtMs);
    const lines = agent.lines.filter(({ text }) => text.includes("Adopted stream-"));
    figures.adopted.push((lines[STREAMS - 1]?.atMs ?? Number.NaN) - agent.spawnedAtMs);
    await box.untilLive();
    // Long enough for a lap and for a restart that should not be.
    await lab.delay(400);
    figures.restarts.push(program.stamps().length - startsBefore);
  }
  return figures;
}

async function pidsOf(box: AgentBox): Promise<readonly number[]> {
  return (await box.status()).workloads.flatMap(({ pid }) => pid ?? []);
}

async function measurePeer(peer: Peer, { lab, say, note }: MeasureContext) {
  say(peer.name);
  const program = createStampProgram(lab, peer.name.replace(/\W/g, "-"));
  await peer.start(program.path, STREAMS);
  const first = (await program.until(STREAMS)).map(({ pid }) => pid);
  await lab.delay(2000);
  await peer.killDaemon();
  const startedMs = Date.now();
  await peer.startAgain();
  await program.until(STREAMS * 2, PEER_SETTLE_MS).catch(() => undefined);
  const again = program.stamps().slice(STREAMS);
  const left = first.filter((pid) => isAlive(lab.table, pid)).length;
  note(
    `${peer.name}, killed under ${STREAMS} programs and started again: ${again.length} started a second time, ` +
      `${left} of the first still run beside them, so ${STREAMS - again.length} adopted`,
  );
  await peer.stop();
  await endAll(lab, [...first, ...again.map(({ pid }) => pid)]);
  return { kept: STREAMS - again.length, allMs: (again.at(-1)?.wallMs ?? Number.NaN) - startedMs };
}

/** What a peer forgot. The numbers are proved by their environment first. */
async function endAll(lab: Lab, pids: readonly number[]): Promise<void> {
  const ours = new Set(lab.pids());
  for (const pid of pids) if (ours.has(pid)) process.kill(pid, "SIGKILL");
  await lab.until(() => pids.every((pid) => !isAlive(lab.table, pid)), "the peer's programs end");
}
