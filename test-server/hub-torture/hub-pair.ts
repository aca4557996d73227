import type { Clock } from "../../src/base/clock.ts";
import { AppError } from "../../src/base/errors.ts";
import { type HubProcess, type HubProcessOptions, startHubProcess } from "../hub-process.ts";
import type { Chance } from "../torture/draw-action.ts";

/** Two hubs on one store, each of which can be killed and replaced. */
export interface HubPair extends AsyncDisposable {
  /** Ports in the order of their places; that of one that was killed stays until another one has its place. */
  ports(): readonly number[];
  readonly adminToken: string;
  hub(place: number): HubProcess;
  /** SIGKILL, to its end. */
  kill(place: number): Promise<void>;
  /** Resolves when the new one answers. */
  replace(place: number): Promise<void>;
  /** Number of kills. */
  kills(): number;
}

export async function startHubPair(options: HubProcessOptions): Promise<HubPair> {
  await using made = new AsyncDisposableStack();
  const first = made.use(await startHubProcess(options));
  const { adminToken } = first;
  const start = async () => made.use(await startHubProcess({ ...options, adminToken }));
  const hubs = [first, await start()];
  let kills = 0;
  const hub = (place: number) => {
    const found = hubs[place];
    if (found === undefined) throw new AppError("internal", `place ${place}: 0 and 1 are allowed`);
    return found;
  };
  const owned = made.move();
  return {
    ports: () => hubs.map(({ port }) => port),
    adminToken,
    hub,
    kill: (place) => {
      kills++;
      return hub(place).kill();
    },
    replace: async (place) => {
      hubs[place] = owned.use(await startHubProcess({ ...options, adminToken }));
    },
    kills: () => kills,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const LIVES_MS = { least: 500, most: 4000 };
const AWAY_MS = { least: 0, most: 1500 };
/** Of a hundred kills that would leave no hub so many are carried out all the same. */
const LAST_ONES = 15;

/** Kills one of them at random moments, now and then the last one too, until `signal` aborts; resolves with both alive. */
export async function killAtRandom(
  pair: HubPair,
  chance: Chance,
  deps: { readonly clock: Clock; readonly signal: AbortSignal; readonly say: (line: string) => void },
): Promise<void> {
  const { clock, signal, say } = deps;
  const coming = new Map<number, Promise<void>>();
  const kill = async (place: number) => {
    await pair.kill(place);
    say(`kill -9 of hub ${place}${coming.size > 1 ? ", while the other one is away" : ""} (the ${pair.kills()}.)`);
    await clock.delay(chance.between(AWAY_MS.least, AWAY_MS.most));
    await pair.replace(place);
    coming.delete(place);
  };
  for (;;) {
    await clock.delay(chance.between(LIVES_MS.least, LIVES_MS.most), signal).catch(() => undefined);
    if (signal.aborted) break;
    const place = chance.below(2);
    const isLast = coming.size > 0;
    const isAllowed = !coming.has(place) && (!isLast || chance.below(100) < LAST_ONES);
    if (!isAllowed) continue;
    const killed = kill(place);
    // One that cannot be replaced stays in the map: its failure is told at the end.
    killed.catch(() => undefined);
    coming.set(place, killed);
  }
  await Promise.all(coming.values());
}
