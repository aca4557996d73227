import { AppError, messageOf } from "../../src/base/errors.ts";
import type { MeasureContext, Measurement, Row } from "./measurement.ts";
import { startSshSite } from "./peers/ssh.ts";
import { type ByteDriver, startByteDriver, startByteServer } from "./remote/byte-ends.ts";
import type { Place } from "./remote/byte-program.ts";
import { type LinkWish, linkSites, siteLinkProblem } from "./remote/site-link.ts";
import { startSluiceSite } from "./remote/sluice-site.ts";

/** A fast link to a box that is far away. Large packets, so that the program that stands in for the link keeps up. */
const FAR: LinkWish = { roundTripMs: 50, bitsPerSecond: 0, queueBytes: 0, mtuBytes: 65_000 };
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

/** Forwards over a link that is long, and over one that is narrow: by us and by OpenSSH over the same one, turn by turn. */
export const remoteLinks: Measurement = {
  name: "remote-links",
  limitMs: 10 * 60_000,
  measure: async (context) => {
    const problem = siteLinkProblem();
    if (problem !== undefined) throw new AppError("unavailable", problem);
    return [...(await measureFar(context)), ...(await measureNarrow(context))];
  },
};

interface Ends extends AsyncDisposable {
  readonly driver: ByteDriver;
  readonly ours: Place;
  readonly ssh: Place | undefined;
}

async function openEnds(name: string, wish: LinkWish, { lab, note, say }: MeasureContext): Promise<Ends> {
  await using stack = new AsyncDisposableStack();
  say(`starting both ends of a link of ${wish.roundTripMs} ms`);
  const sites = stack.use(await linkSites(name, wish, lab));
  const target = stack.use(await startByteServer(sites.box));
  const driver = stack.use(startByteDriver(sites.near));
  const site = stack.use(await startSluiceSite({ name, isTls: true, sites }, lab));
  const forward = await site.forward(target.place);
  stack.defer(forward.stop);
  const ssh = await startSshSite(`${name}-ssh`, sites, lab).catch((thrown: unknown) => {
    note(`ssh could not be measured: ${messageOf(thrown)}`);
    return undefined;
  });
  const theirs = ssh === undefined ? undefined : await stack.use(ssh).forward(target.place, { isJump: false });
  if (theirs !== undefined) stack.defer(theirs.stop);
  const life = stack.move();
  return { driver, ours: forward.at, ssh: theirs?.at, [Symbol.asyncDispose]: () => life.disposeAsync() };
}

async function measureFar(context: MeasureContext): Promise<readonly Row[]> {
  const { say, isLong } = context;
  await using ends = await openEnds("far", FAR, context);
  const { driver, ours, ssh } = ends;
  const rates = { ours: [] as number[], ssh: [] as number[] };
  const measure = async (at: Place, into: number[]) => {
    const [tookMs = Number.NaN] = await driver.drive({ what: "receive", at, bytes: FAR_BYTES });
    into.push(FAR_BYTES / tookMs / 1000);
  };
  for (const at of [ours, ssh]) if (at !== undefined) await measure(at, []);
  const rounds = isLong ? FAR_ROUNDS * 3 : FAR_ROUNDS;
  for (let round = 0; round < rounds; round++) {
    say(`50 ms: round ${round + 1} of ${rounds}`);
    if (round % 2 === 0) await measure(ours, rates.ours);
    if (ssh !== undefined) await measure(ssh, rates.ssh);
    if (round % 2 === 1) await measure(ours, rates.ours);
  }
  return [
    {
      what: "192 MiB from a box 50 ms away, TLS to the router on both legs",
      unit: "MB/s",
      samples: rates.ours,
      bar: { of: "p50", limit: 80, isFloor: true },
      peers: ssh === undefined ? [] : [{ name: "ssh -L", samples: rates.ssh }],
    },
  ];
}

async function measureNarrow(context: MeasureContext): Promise<readonly Row[]> {
  const { say, lab, isLong } = context;
  await using ends = await openEnds("narrow", NARROW, context);
  const { driver, ours, ssh } = ends;
  const measure = async (at: Place) => {
    const flowing = driver.drive({ what: "flow", at, ms: NARROW_MS });
    await lab.delay(LEARN_MS);
    const count = Math.floor((NARROW_MS - LEARN_MS) / ECHO_EVERY_MS / 2);
    const echoes = await driver.drive({ what: "echo", at, count, everyMs: ECHO_EVERY_MS });
    const tenths = (await flowing).slice(LEARN_MS / TENTH_MS);
    const bits = 8 * tenths.reduce((sum, bytes) => sum + bytes, 0);
    return { share: (100 * bits) / ((NARROW.bitsPerSecond * (NARROW_MS - LEARN_MS)) / 1000), echoes };
  };
  const figures = {
    ours: { shares: [] as number[], echoes: [] as number[] },
    ssh: { shares: [] as number[], echoes: [] as number[] },
  };
  const rounds = isLong ? NARROW_ROUNDS * 3 : NARROW_ROUNDS;
  for (let round = 0; round < rounds; round++) {
    for (const [name, at] of [
      ["ours", ours],
      ["ssh", ssh],
    ] as const) {
      if (at === undefined) continue;
      say(`20 Mbit/s: ${name}, round ${round + 1} of ${rounds}`);
      const { share, echoes } = await measure(at);
      figures[name].shares.push(share);
      figures[name].echoes.push(...echoes);
    }
  }
  const peers = (samples: readonly number[]) => (ssh === undefined ? [] : [{ name: "ssh -L", samples }]);
  return [
    {
      what: "a link of 20 Mbit/s and 20 ms, filled from the box: what of it arrives",
      unit: "%",
      samples: figures.ours.shares,
      bar: { of: "p50", limit: 85, isFloor: true },
      peers: peers(figures.ssh.shares),
    },
    {
      what: "… one byte there and back beside it, through the same forward",
      unit: "ms",
      samples: figures.ours.echoes,
      bar: { of: "p95", limit: 60 },
      peers: peers(figures.ssh.echoes),
    },
  ];
}
