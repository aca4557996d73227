import type { Measurement, PeerFigure, Row } from "./measurement.ts";
import { type ByteDriver, startByteDriver, startByteServer } from "./remote/byte-ends.ts";
import { type ForwardWay, openForwardWays, pass } from "./remote/forward-ways.ts";
import { LOOPBACK } from "./remote/site-link.ts";

const ROUNDS = 7;
const WARM_BYTES = 64 * 2 ** 20;
const ROUND_BYTES = 256 * 2 ** 20;
const ECHOES = 2000;
const CONNECTIONS = 300;
const DIRECTIONS = [
  { what: "receive", text: "from the box" },
  { what: "send", text: "to the box" },
] as const;

interface Measured {
  readonly way: ForwardWay;
  readonly rates: Record<"receive" | "send", number[]>;
  readonly cpu: Record<"receive" | "send", number[]>;
  echoes: readonly number[];
  readonly connectionsPerSecond: number[];
}

/** A port forwarded by us, through hub-made sessions and a router, and by OpenSSH, turn by turn on one machine. */
export const remoteForward: Measurement = {
  name: "remote-forward",
  limitMs: 15 * 60_000,
  measure: async (context) => {
    const { say, isLong } = context;
    const sites = { near: LOOPBACK, box: LOOPBACK };
    await using target = await startByteServer(LOOPBACK);
    await using driver = startByteDriver(LOOPBACK, context.signal);
    await using ways = await openForwardWays(target.place, sites, context);
    const { plain, sealed, tls, ssh, sshJump } = ways;
    const all = [plain, sealed, tls, ssh, sshJump].filter((way) => way !== undefined).map(toMeasured);
    for (const { way } of all) {
      for (const { what } of DIRECTIONS) await driver.drive({ what, at: way.at, bytes: WARM_BYTES });
    }
    const rounds = isLong ? ROUNDS * 3 : ROUNDS;
    for (let round = 0; round < rounds; round++) {
      say(`round ${round + 1} of ${rounds}`);
      // There and back, so that no way always comes after the same one.
      for (const each of round % 2 === 0 ? all : all.toReversed()) await measureRound(each, driver);
    }
    const find = (way: ForwardWay | undefined) => all.find((each) => each.way === way);
    return [
      ...toRows(find(plain), find(ssh), 1.2, [find(sshJump)]),
      ...toRows(find(sealed), find(ssh), 1.2, []),
      ...DIRECTIONS.map(({ what, text }) =>
        ratioRow(`256 MiB ${text}: sealed by plain, turn by turn`, what, find(sealed), find(plain)),
      ),
      ...toRows(find(tls), find(sshJump), 1.5, [find(ssh)]),
    ];
  },
};

function ratioRow(
  text: string,
  what: "receive" | "send",
  ours: Measured | undefined,
  other: Measured | undefined,
): Row {
  const rates = other?.rates[what] ?? [];
  return {
    what: text,
    unit: "×",
    samples: (ours?.rates[what] ?? []).map((rate, at) => rate / (rates[at] ?? Number.NaN)),
  };
}

function toMeasured(way: ForwardWay): Measured {
  return {
    way,
    rates: { receive: [], send: [] },
    cpu: { receive: [], send: [] },
    echoes: [],
    connectionsPerSecond: [],
  };
}

async function measureRound(each: Measured, driver: ByteDriver): Promise<void> {
  const { at } = each.way;
  for (const { what } of DIRECTIONS) {
    const { megabytesPerSecond, cpuSecondsPerGiB } = await pass(each.way, { what, bytes: ROUND_BYTES }, driver);
    each.rates[what].push(megabytesPerSecond);
    each.cpu[what].push(cpuSecondsPerGiB);
  }
  each.echoes = each.echoes.concat(await driver.drive({ what: "echo", at, count: ECHOES, everyMs: 0 }));
  const [tookMs = Number.NaN] = await driver.drive({ what: "connect", at, count: CONNECTIONS });
  each.connectionsPerSecond.push((CONNECTIONS / tookMs) * 1000);
}

function toRows(
  ours: Measured | undefined,
  rival: Measured | undefined,
  wanted: number,
  others: readonly (Measured | undefined)[],
): readonly Row[] {
  if (ours === undefined) return [];
  const { name } = ours.way;
  const peers = (figures: (each: Measured) => readonly number[]): readonly PeerFigure[] =>
    [rival, ...others]
      .filter((each) => each !== undefined)
      .map((each) => ({ name: each.way.name, samples: figures(each) }));
  const rows = DIRECTIONS.flatMap(({ what, text }): readonly Row[] => [
    {
      what: `256 MiB ${text}: ${name}`,
      unit: "MB/s",
      samples: ours.rates[what],
      peers: peers(({ rates }) => rates[what]),
    },
    ...(rival === undefined
      ? []
      : [
          {
            what: `… by ${rival.way.name}, turn by turn`,
            unit: "×" as const,
            samples: ours.rates[what].map((rate, round) => rate / (rival.rates[what][round] ?? Number.NaN)),
            bar: { of: "p50" as const, limit: wanted, isFloor: true },
          },
        ]),
    {
      what: "… CPU of all processes on the way",
      unit: "s/GiB",
      samples: ours.cpu[what],
      peers: peers(({ cpu }) => cpu[what]),
    },
  ]);
  return [
    ...rows,
    {
      what: `one byte there and back, nothing else under way: ${name}`,
      unit: "ms",
      samples: ours.echoes,
      peers: peers(({ echoes }) => echoes),
    },
    {
      what: `new connections, one after the other, each with a byte there and back: ${name}`,
      unit: "/s",
      samples: ours.connectionsPerSecond,
      peers: peers(({ connectionsPerSecond }) => connectionsPerSecond),
    },
  ];
}
