import { createAgentBox, idleStream } from "./agent-box.ts";
import { isAlive, killQuietly, type Lab } from "./lab.ts";
import type { MeasureContext, Measurement, PeerFigure, Row } from "./measurement.ts";
import type { Peer } from "./peers/peer.ts";
import { createStampProgram, type StampProgram } from "./stamp-program.ts";

/** For so long a program that ends at once is broken. */
const BROKEN_MS = 60_000;
/** The longest wait between two starts, and some. */
const MENDED_MS = 65_000;
const HUNG_MS = 30_000;
const STOP_MS = 30_000;
const SLEEP = "exec sleep 100000";
const DEAF = "trap '' TERM INT QUIT HUP; while :; do sleep 0.2; done";

/** What a program can do to its supervisor: end at once again and again, hang, and refuse to end. */
export const supervision: Measurement = {
  name: "supervision",
  limitMs: 10 * 60_000,
  measure: async (context) => [
    ...(await measureBroken(context)),
    await measureHung(context),
    await measureDeaf(context),
  ],
};

interface Rival {
  readonly peer: Peer;
  readonly program: StampProgram;
}

/** Each with one copy of a program of its own. */
async function startRivals(context: MeasureContext, name: string, ending: string): Promise<readonly Rival[]> {
  const rivals: Rival[] = [];
  for (const peer of [...(await context.peers(context.lab)), ...(await context.systemd(context.lab))]) {
    const program = createStampProgram(context.lab, `${name}-${rivals.length}`, { ending });
    await peer.start(program.path, 1);
    rivals.push({ peer, program });
  }
  return rivals;
}

async function measureBroken(context: MeasureContext): Promise<readonly Row[]> {
  const { lab, say, note } = context;
  say("a program that ends at once");
  const program = createStampProgram(lab, "broken", { ffmpegPath: "ffmpeg", ending: "exit 1" });
  await using box = await createAgentBox({ name: "broken", ffmpegPath: program.path }, lab);
  box.start();
  await box.untilLive();
  const rivals = await startRivals(context, "broken", "exit 1");
  box.server.putStreams(idleStream("broken"));
  await lab.delay(BROKEN_MS);
  const all = [
    { name: "ours", program },
    ...rivals.map(({ peer, program: theirs }) => ({ name: peer.name, program: theirs })),
  ];
  const starts = all.map(({ program: one }) => one.stamps().length);
  for (const { program: one } of all) one.change(SLEEP);
  const mendedMs = Date.now();
  const back = await Promise.all(all.map(({ program: one }, index) => startAfter(one, starts[index] ?? 0, lab)));
  const waits = back.map((stamp) => (stamp === undefined ? undefined : stamp - mendedMs));
  for (const [index, { name }] of all.entries()) {
    const how =
      waits[index] === undefined
        ? `had given it up: not started again within ${MENDED_MS / 1000} s of being mended`
        : "went on";
    note(`${name}, a program that ends at once: ${starts[index]} starts in ${BROKEN_MS / 1000} s; ${how}`);
  }
  for (const { peer } of rivals) await peer.stop();
  const figures = (values: readonly (number | undefined)[]): PeerFigure[] =>
    rivals.flatMap(({ peer }, index) => {
      const value = values[index + 1];
      return value === undefined ? [] : [{ name: peer.name, samples: [value] }];
    });
  return [
    {
      what: "a program that ends at once: starts in a minute",
      unit: "",
      samples: [starts[0] ?? 0],
      peers: figures(starts),
    },
    {
      what: "… mended after that minute → started again",
      unit: "ms",
      samples: waits[0] === undefined ? [] : [waits[0]],
      bar: { of: "max", limit: 60_000 },
      peers: figures(waits),
    },
  ];
}

/** Wall time of the first start after so many. */
async function startAfter(program: StampProgram, count: number, lab: Lab): Promise<number | undefined> {
  await lab
    .until(() => program.stamps().length > count, "a start", { timeoutMs: MENDED_MS, pollMs: 50 })
    .catch(() => undefined);
  return program.stamps()[count]?.wallMs;
}

async function measureHung(context: MeasureContext): Promise<Row> {
  const { lab, say, note } = context;
  say("a program that is stopped by a signal");
  const program = createStampProgram(lab, "hung", { ffmpegPath: "ffmpeg" });
  await using box = await createAgentBox({ name: "hung", ffmpegPath: program.path }, lab);
  box.start();
  await box.untilLive();
  box.server.putStreams(idleStream("hung"));
  const rivals = await startRivals(context, "hung", SLEEP);
  const all = [program, ...rivals.map((rival) => rival.program)];
  await lab.until(() => all.every((one) => one.stamps().length === 1), "all programs run");
  // Both peers call a program stable after a second.
  await lab.delay(2000);
  const stoppedMs = Date.now();
  for (const [index, one] of all.entries()) {
    const pid = one.stamps()[0]?.pid ?? -1;
    killQuietly(index === 0 ? pid : hostPid(rivals[index - 1]?.peer, pid), "SIGSTOP");
  }
  await lab.delay(HUNG_MS);
  const waits = all.map((one) => {
    const next = one.stamps()[1]?.wallMs;
    return next === undefined ? undefined : next - stoppedMs;
  });
  for (const [index, { peer }] of rivals.entries()) {
    if (waits[index + 1] === undefined)
      note(`${peer.name}, a program stopped by SIGSTOP: not noticed in ${HUNG_MS / 1000} s`);
    await peer.stop();
  }
  await lab.sweep();
  return {
    what: "program stopped by a signal → its replacement's first instruction",
    unit: "ms",
    samples: waits[0] === undefined ? [] : [waits[0]],
    bar: { of: "max", limit: 10_000 },
    peers: rivals.flatMap(({ peer }, index) => {
      const wait = waits[index + 1];
      return wait === undefined ? [] : [{ name: peer.name, samples: [wait] }];
    }),
  };
}

function hostPid(peer: Peer | undefined, pid: number): number {
  return peer?.hostPid?.(pid) ?? pid;
}

async function measureDeaf(context: MeasureContext): Promise<Row> {
  const { lab, say } = context;
  say("a program that ignores every signal it can");
  const program = createStampProgram(lab, "deaf", { ffmpegPath: "ffmpeg", ending: DEAF });
  await using box = await createAgentBox({ name: "deaf", ffmpegPath: program.path }, lab);
  box.start();
  await box.untilLive();
  box.server.putStreams(idleStream("deaf"));
  const ours = await untilGone(program, lab, () => void box.server.set.remove(["deaf"]));
  const figures: PeerFigure[] = [];
  for (const peer of await context.peers(lab)) {
    const theirs = createStampProgram(lab, `deaf-${figures.length}`, { ending: DEAF });
    await peer.start(theirs.path, 1);
    figures.push({ name: peer.name, samples: [await untilGone(theirs, lab, () => void peer.stop())] });
    await lab.sweep();
  }
  return {
    what: "stop of a program that ignores every signal → it is gone",
    unit: "ms",
    samples: [ours],
    bar: { of: "max", limit: 10_000 },
    peers: figures,
  };
}

/** How long it takes, milliseconds. */
async function untilGone(program: StampProgram, lab: Lab, stop: () => void): Promise<number> {
  const pid = (await program.until(1))[0]?.pid ?? -1;
  await lab.delay(1500);
  const startMs = performance.now();
  stop();
  await lab.until(() => !isAlive(lab.table, pid), "the program is gone", { timeoutMs: STOP_MS });
  return performance.now() - startMs;
}
