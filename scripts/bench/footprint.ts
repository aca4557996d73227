import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { Workload } from "../../src/contract/workload.ts";
import { makeClip } from "../../test-server/clip.ts";
import { createAgentBox, loopbackFor } from "./agent-box.ts";
import type { Lab } from "./lab.ts";
import type { MeasureContext, Measurement, PeerFigure, Row } from "./measurement.ts";
import { type ProcessFigures, readProcessFigures } from "./process-figures.ts";
import { createStampProgram } from "./stamp-program.ts";

const COUNTS = [10, 100, 200] as const;
const SETTLE_MS = 15_000;
const WINDOW_MS = 30_000;
const NOTHING = { workloads: [] };

interface Figures {
  readonly memory: ProcessFigures;
  /** Of one core, in the window. */
  readonly cpuPercent: number;
}

interface PeerFigures {
  readonly name: string;
  readonly byCount: ReadonlyMap<number, Figures>;
}

/** Memory and CPU of the supervisor alone; its programs are not counted. */
export const footprint: Measurement = {
  name: "footprint",
  limitMs: 30 * 60_000,
  measure: async (context) => {
    const ours = await measureOurs(context);
    const rivals = await measurePeers(context);
    return COUNTS.flatMap((count) => {
      const figures = ours.get(count);
      return figures === undefined ? [] : rowsOf(count, figures, rivals);
    });
  },
};

function rowsOf(count: number, { memory, cpuPercent }: Figures, rivals: readonly PeerFigures[]): readonly Row[] {
  const of = (pick: (figures: Figures) => number): PeerFigure[] =>
    rivals.flatMap(({ name, byCount }) => {
      const figures = byCount.get(count);
      return figures === undefined ? [] : [{ name, samples: [pick(figures)] }];
    });
  return [
    {
      what: `memory of the agent, ${count} streams: RSS`,
      unit: "MB",
      samples: [memory.rssMB],
      ...(count === 100 ? { bar: { of: "max", limit: 90 } as const } : {}),
      peers: of((figures) => figures.memory.rssMB),
    },
    {
      what: `memory of the agent, ${count} streams: PSS`,
      unit: "MB",
      samples: [memory.pssMB],
      peers: of((figures) => figures.memory.pssMB),
    },
    {
      what: `CPU of the agent, ${count} streams that just run`,
      unit: "%",
      samples: [cpuPercent],
      ...(count === 200 ? { bar: { of: "max", limit: 1 } as const } : {}),
      peers: of((figures) => figures.cpuPercent),
    },
  ];
}

async function measureOurs({ lab, say }: MeasureContext): Promise<ReadonlyMap<number, Figures>> {
  await using clip = await makeClip({ seconds: 10, size: "320x180", fps: 10 });
  using sink = await openSink();
  await using box = await createAgentBox({ name: "footprint", ffmpegPath: "ffmpeg", fileRoots: [clip.directory] }, lab);
  const agent = box.start();
  await box.untilLive();
  const figures = new Map<number, Figures>();
  for (const count of COUNTS) {
    say(`${count} FFmpeg copies`);
    box.server.putStreams(...Array.from({ length: count }, (_, index) => copyOf(clip.path, sink.port, index)));
    const isReady = async () => {
      // Busy with so many starts it may answer late.
      const { workloads } = await box.status().catch(() => NOTHING);
      return workloads.length === count && workloads.every(({ state }) => state === "running");
    };
    await lab.until(isReady, `${count} streams run`, { timeoutMs: 180_000, pollMs: 1000 });
    figures.set(count, await watch(agent.pid, lab));
  }
  return figures;
}

async function measurePeers({ lab, say, peers }: MeasureContext): Promise<readonly PeerFigures[]> {
  const all: PeerFigures[] = [];
  for (const peer of await peers(lab)) {
    const byCount = new Map<number, Figures>();
    for (const count of COUNTS) {
      say(`${peer.name} with ${count} scripts`);
      const program = createStampProgram(lab, `${peer.name.replace(/\W/g, "-")}-${count}`);
      await peer.start(program.path, count);
      await program.until(count, 180_000);
      byCount.set(count, await watch(peer.daemonPid(), lab));
      await peer.stop();
      await lab.sweep();
    }
    all.push({ name: peer.name, byCount });
  }
  return all;
}

async function watch(pid: number, lab: Lab): Promise<Figures> {
  await lab.delay(SETTLE_MS);
  const before = readProcessFigures(pid);
  const startMs = performance.now();
  await lab.delay(WINDOW_MS);
  const memory = readProcessFigures(pid);
  return { memory, cpuPercent: ((memory.cpuMs - before.cpuMs) / (performance.now() - startMs)) * 100 };
}

function copyOf(path: string, port: number, index: number): Workload {
  return {
    kind: "stream",
    id: `copy-${index}`,
    spec: {
      input: { url: path, loop: true },
      outputs: [{ url: `udp://${loopbackFor(`copy-${index}`)}:${port}?pkt_size=1316` }],
      audio: "none",
    },
  };
}

/** Takes what comes and throws it away. */
async function openSink(): Promise<Disposable & { readonly port: number }> {
  const socket: Socket = createSocket("udp4");
  // All of them: each copy sends to a loopback address of its own.
  socket.bind(0, "0.0.0.0");
  await once(socket, "listening");
  return { port: socket.address().port, [Symbol.dispose]: () => socket.close() };
}
