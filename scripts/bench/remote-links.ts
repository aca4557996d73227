import { AppError, messageOf } from "../../src/base/errors.ts";
import type { MeasureContext, Measurement, PeerFigure, Row } from "./measurement.ts";
import { startSshSite } from "./peers/ssh.ts";
import { type ByteDriver, startByteDriver, startByteServer } from "./remote/byte-ends.ts";
import type { Place } from "./remote/byte-program.ts";
import { type LinkWish, linkSites, type Site, siteLinkProblem } from "./remote/site-link.ts";
import { startSluiceSite } from "./remote/sluice-site.ts";

/** A fast link that is long. */
const FAR: LinkWish = { roundTripMs: 50, bitsPerSecond: 0, queueBytes: 0, mtuBytes: 1500 };
const FAR_BYTES = 192 * 2 ** 20;
const FAR_ROUNDS = 5;
/** What a mobile modem gives, and what its queue holds: 200 ms. */
const NARROW: LinkWish = { roundTripMs: 20, bitsPerSecond: 20_000_000, queueBytes: 500_000, mtuBytes: 1500 };
const NARROW_MS = 12_000;
const NARROW_ROUNDS = 2;
/** Until the sender has learnt what the link carries. */
const LEARN_MS = 2000;
const ECHO_EVERY_MS = 50;
const TENTH_MS = 100;

const DIRECTIONS = [
  { what: "receive", flow: "flow", text: "from the box" },
  { what: "send", flow: "flood", text: "to the box" },
] as const;
type Direction = (typeof DIRECTIONS)[number];
/** Whose side the link is at: the other end is beside hub and router. */
const FAR_ENDS = ["box", "operator"] as const;
type FarEnd = (typeof FAR_ENDS)[number];

/** Forwards over a link that is long, and over one that is narrow: by us and by OpenSSH over the same one, turn by turn. */
export const remoteLinks: Measurement = {
  name: "remote-links",
  limitMs: 20 * 60_000,
  measure: async (context) => {
    const problem = siteLinkProblem();
    if (problem !== undefined) throw new AppError("unavailable", problem);
    const isWanted = (name: string) => name.includes(context.only ?? "");
    const rows: Row[] = [];
    for (const end of FAR_ENDS) if (isWanted(`50 ms, ${end}`)) rows.push(...(await measureFar(end, context)));
    for (const end of FAR_ENDS) if (isWanted(`20 Mbit/s, ${end}`)) rows.push(...(await measureNarrow(end, context)));
    return rows;
  },
};

/** A way from the driver to its target. */
interface Way {
  readonly name: string;
  readonly at: Place;
}

interface Ends extends AsyncDisposable {
  readonly driver: ByteDriver;
  readonly ours: Way;
  readonly sealed: Way;
  /** One connection over the link, with nobody between: what the program that stands in for the link carries. */
  readonly bare: Way;
  readonly ssh: Way | undefined;
}

async function openEnds(end: FarEnd, wish: LinkWish, { lab, note, say }: MeasureContext): Promise<Ends> {
  await using stack = new AsyncDisposableStack();
  const name = `${end}-${wish.roundTripMs}`;
  say(`starting both ends of a link of ${wish.roundTripMs} ms at the ${end}'s side`);
  const link = stack.use(await linkSites(name, wish, lab));
  const box: Site = end === "box" ? link.box : link.near;
  const operator: Site = end === "box" ? link.near : link.box;
  const target = stack.use(await startByteServer(box));
  const driver = stack.use(startByteDriver(operator, lab.signal));
  const site = stack.use(await startSluiceSite({ name, isTls: true, sites: { near: link.near, box, operator } }, lab));
  const open = async (words: string, flags: readonly string[] = []): Promise<Way> => {
    const forward = await site.forward(target.place, flags);
    stack.defer(forward.stop);
    return { name: words, at: forward.at };
  };
  const ours = await open("TLS to the router on both legs");
  const sealed = await open("the same, sealed", ["--seal"]);
  const ssh = await startSshSite(`${name}-ssh`, { near: operator, box }, lab).catch((thrown: unknown) => {
    note(`ssh could not be measured: ${messageOf(thrown)}`);
    return undefined;
  });
  const theirs = ssh === undefined ? undefined : await stack.use(ssh).forward(target.place, { isJump: false });
  if (theirs !== undefined) stack.defer(theirs.stop);
  const life = stack.move();
  return {
    driver,
    ours,
    sealed,
    bare: { name: "one TCP connection", at: target.place },
    ssh: theirs === undefined ? undefined : { name: "ssh -L", at: theirs.at },
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}

/** Values of each way in each direction, taken in turns: there and back, so that no way always comes after the same one. */
async function inTurns<Value>(
  ways: readonly Way[],
  rounds: number,
  take: (way: Way, direction: Direction, round: number) => Promise<readonly Value[]>,
): Promise<(way: Way | undefined, direction: Direction) => readonly Value[]> {
  const turns = ways.flatMap((way) => DIRECTIONS.map((direction) => ({ way, direction, values: [] as Value[] })));
  for (let round = 0; round < rounds; round++) {
    for (const { way, direction, values } of round % 2 === 0 ? turns : turns.toReversed()) {
      values.push(...(await take(way, direction, round)));
    }
  }
  return (way, direction) => turns.find((turn) => turn.way === way && turn.direction === direction)?.values ?? [];
}

function present<Value>(values: readonly (Value | undefined)[]): readonly Value[] {
  return values.filter((value) => value !== undefined);
}

async function measureFar(end: FarEnd, context: MeasureContext): Promise<readonly Row[]> {
  const { say, isLong } = context;
  await using ends = await openEnds(end, FAR, context);
  const { driver, ours, sealed, bare, ssh } = ends;
  const rounds = isLong ? FAR_ROUNDS * 3 : FAR_ROUNDS;
  const ratesOf = await inTurns(present([ours, ssh, bare, sealed]), rounds + 1, async (way, { what, text }, round) => {
    say(`50 ms at the ${end}'s side: ${way.name}, ${text}, round ${round} of ${rounds}`);
    const [tookMs = Number.NaN] = await driver.drive({ what, at: way.at, bytes: FAR_BYTES });
    // The first one is for those who have to learn, or to be compiled.
    return round === 0 ? [] : [FAR_BYTES / tookMs / 1000];
  });
  return [ours, sealed].flatMap((way) =>
    DIRECTIONS.map((direction): Row => {
      const peers = present([ssh, bare]).map(
        (peer): PeerFigure => ({ name: peer.name, samples: ratesOf(peer, direction) }),
      );
      return {
        what: `192 MiB ${direction.text}, 50 ms at the ${end}'s side, ${way.name}`,
        unit: "MB/s",
        samples: ratesOf(way, direction),
        bar: { of: "p50", limit: 80, isFloor: true },
        peers,
      };
    }),
  );
}

async function measureNarrow(end: FarEnd, context: MeasureContext): Promise<readonly Row[]> {
  const { say, lab, isLong } = context;
  await using ends = await openEnds(end, NARROW, context);
  const { driver, ours, sealed, ssh } = ends;
  const rounds = isLong ? NARROW_ROUNDS * 3 : NARROW_ROUNDS;
  const taken = await inTurns(present([ours, ssh, sealed]), rounds, async ({ name, at }, { flow, text }, round) => {
    say(`20 Mbit/s at the ${end}'s side: ${name}, ${text}, round ${round + 1} of ${rounds}`);
    const count = Math.floor((NARROW_MS - LEARN_MS) / ECHO_EVERY_MS / 2);
    const echo = async () => {
      await lab.delay(LEARN_MS);
      return driver.drive({ what: "echo", at, count, everyMs: ECHO_EVERY_MS });
    };
    const [flowed, echoes] = await Promise.all([driver.drive({ what: flow, at, ms: NARROW_MS }), echo()]);
    const tenths = flowed.slice(LEARN_MS / TENTH_MS);
    const bits = 8 * tenths.reduce((sum, bytes) => sum + bytes, 0);
    return [{ share: (100 * bits) / ((NARROW.bitsPerSecond * tenths.length * TENTH_MS) / 1000), echoes }];
  });
  return [ours, sealed].flatMap((way) =>
    DIRECTIONS.flatMap((direction): readonly Row[] => {
      const shares = (of: Way) => taken(of, direction).map(({ share }) => share);
      const echoes = (of: Way) => taken(of, direction).flatMap((turn) => turn.echoes);
      const peers = (samples: (of: Way) => readonly number[]) =>
        ssh === undefined ? [] : [{ name: ssh.name, samples: samples(ssh) }];
      return [
        {
          what: `20 Mbit/s and 20 ms at the ${end}'s side, filled ${direction.text}, ${way.name}: what of it arrives`,
          unit: "%",
          samples: shares(way),
          bar: { of: "p50", limit: 85, isFloor: true },
          peers: peers(shares),
        },
        {
          what: "… one byte there and back beside it, through the same forward",
          unit: "ms",
          samples: echoes(way),
          bar: { of: "p95", limit: 60 },
          peers: peers(echoes),
        },
      ];
    }),
  );
}
