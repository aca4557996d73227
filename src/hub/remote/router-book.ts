import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { ROUTER_LOST_SECONDS, type RouterView } from "../../contract/fleet/router.ts";
import type { RouterAddress } from "../../contract/remote/offer.ts";
import { isoOf } from "../fleet/write-of.ts";
import type { HubContext } from "../hub-context.ts";
import type { StoredObject } from "../store/objects.ts";
import { everyItem } from "../store/page.ts";
import type { WriteContext } from "../store/write-context.ts";

/** Where the ends of sessions can meet: this hub's own router, and those that have said that they are there. */
export interface RouterBook {
  /**
   * For a new attempt, as each end reaches it. `avoid`: where the one before it failed; a router that is dead is in the book until it
   * was not heard for a while. `unavailable`: there is none.
   */
  choose(origin: string, avoid?: string): { readonly operator: RouterAddress; readonly box: RouterAddress };
  /** Why there is none to choose; nothing: there is one. */
  problem(): string | undefined;
  /** Whether sessions at this router may still be together there. */
  isLive(id: string): boolean;
  /** A router of its own has said that it is there. `conflict`: the id is another's. */
  heard(router: HeardRouter, by: { readonly tokenId: string; readonly isAdmin: boolean }): Promise<void>;
  /** Answers whether there was one. */
  forget(id: string, context: WriteContext): Promise<boolean>;
  /** The others that are there, as routers reach them. */
  peersOf(id: string): RouterAddress[];
  list(): readonly RouterView[];
  refresh(): Promise<void>;
  /** This hub ends: what its router has carried is broken from now on. */
  leave(): Promise<void>;
}

export interface HeardRouter extends RouterAddress {
  readonly peerUrl?: string | undefined;
  readonly version: string;
  readonly draining: boolean;
  readonly sessions: number;
}

/** The router that is a part of this hub. */
export interface OwnRouter {
  readonly id: string;
  /** Where boxes reach this very hub; and people, where several hubs share the store. */
  readonly url: () => string;
  /** Whether people reach this very hub by whatever address they use. */
  readonly isOnly: boolean;
  readonly isDraining: () => boolean;
  readonly sessions: () => number;
}

export const ROUTER_KIND = "router";
const LOST_MS = ROUTER_LOST_SECONDS * 1000;
/** A router that was not heard for so long is forgotten. */
const FORGET_MS = 24 * 3_600_000;
/** A beat that tells nothing new is written no more often. */
const WRITE_MS = 3000;
/** Who was sent to a router counts there for so long beside what it says: both ends join within it, and its next beat has them. */
const SENT_COUNTS_MS = 3000;

const recordSchema = z.object({
  url: z.string(),
  ca: z.string().optional(),
  peerUrl: z.string().optional(),
  version: z.string(),
  draining: z.boolean(),
  sessions: z.int(),
  heardMs: z.number(),
  /** Of the token that it came with first; absent: part of a hub. */
  tokenId: z.string().optional(),
});
type RouterRecord = z.output<typeof recordSchema>;

export function createRouterBook(
  { own, manyHubs }: { readonly own: OwnRouter | undefined; readonly manyHubs: boolean },
  { store, clock, version }: Pick<HubContext, "store" | "clock" | "version">,
): RouterBook {
  const routers = new Map<string, RouterRecord>();
  /** By router, oldest first, on the monotonic clock. */
  const sentAtMs = new Map<string, number[]>();

  const noteSent = (id: string) => {
    const nowMs = clock.monotonicMs();
    const recent = (sentAtMs.get(id) ?? []).filter((atMs) => nowMs - atMs < SENT_COUNTS_MS);
    sentAtMs.set(id, [...recent, nowMs]);
  };
  const loadOf = (id: string, { sessions }: RouterRecord) => {
    const nowMs = clock.monotonicMs();
    return sessions + (sentAtMs.get(id) ?? []).filter((atMs) => nowMs - atMs < SENT_COUNTS_MS).length;
  };
  const isHeard = ({ heardMs }: RouterRecord) => clock.wallMs() - heardMs < LOST_MS;

  const registered = () => [...routers].filter(([, one]) => one.tokenId !== undefined && !one.draining && isHeard(one));
  const whyNone =
    own === undefined
      ? "there is no router: this hub has none of its own (remote.ownRouter), and none has registered"
      : "this hub is about to end: ask again";

  const put = async (id: string, body: RouterRecord) => {
    await store.objects.put({ kind: ROUTER_KIND, id, body }, { nowMs: clock.wallMs() });
    routers.set(id, body);
  };

  const tellOwn = async () => {
    // A hub that is alone with its store asks nobody but itself.
    if (own === undefined || !manyHubs) return;
    await put(own.id, {
      url: own.url(),
      version: `sluice/${version}`,
      draining: own.isDraining(),
      sessions: own.sessions(),
      heardMs: clock.wallMs(),
    });
  };

  return {
    choose: (origin, avoid) => {
      if (own !== undefined && !own.isDraining()) {
        const box = { id: own.id, url: own.url() };
        return { operator: own.isOnly ? { id: own.id, url: origin } : box, box };
      }
      const [best] = registered().sort(
        ([id, one], [otherId, other]) =>
          Number(id === avoid) - Number(otherId === avoid) || loadOf(id, one) - loadOf(otherId, other),
      );
      if (best === undefined) {
        throw new AppError("unavailable", whyNone, { retryAfterMs: 1000 });
      }
      const [id, record] = best;
      const { url, ca } = record;
      noteSent(id);
      const address = { id, url, ...(ca === undefined ? {} : { ca }) };
      return { operator: address, box: address };
    },
    problem: () => ((own === undefined || own.isDraining()) && registered().length === 0 ? whyNone : undefined),
    isLive: (id) => {
      if (id === own?.id) return true;
      const held = routers.get(id);
      return held !== undefined && isHeard(held);
    },
    heard: async ({ id, url, ca, peerUrl, version: program, draining, sessions }, { tokenId, isAdmin }) => {
      const held = routers.get(id) ?? toRouter(await store.objects.get(ROUTER_KIND, id));
      const isFree = held === undefined || held.tokenId === tokenId || (held.tokenId !== undefined && isAdmin);
      if (!isFree || id === own?.id) {
        throw new AppError("conflict", `id: router ${id} registered with another token; choose another id`, {
          field: "id",
        });
      }
      const next: RouterRecord = {
        url,
        ...(ca === undefined ? {} : { ca }),
        ...(peerUrl === undefined ? {} : { peerUrl }),
        version: program,
        draining,
        sessions,
        heardMs: clock.wallMs(),
        tokenId: held?.tokenId ?? tokenId,
      };
      const isOld = held === undefined || next.heardMs - held.heardMs >= WRITE_MS;
      const isMoved = held?.url !== url || held.ca !== ca || held.peerUrl !== peerUrl;
      const isOther = isMoved || held.draining !== draining || held.version !== program;
      if (isOld || isOther) await put(id, next);
      else held.sessions = sessions;
    },
    forget: async (id, context) => {
      routers.delete(id);
      return store.objects.delete(ROUTER_KIND, id, context);
    },
    peersOf: (id) =>
      [...routers].flatMap(([other, one]) => {
        if (other === id || one.peerUrl === undefined || !isHeard(one)) return [];
        return [{ id: other, url: one.peerUrl, ...(one.ca === undefined ? {} : { ca: one.ca }) }];
      }),
    list: () => {
      const nowMs = clock.wallMs();
      const mine: RouterView[] =
        own === undefined || routers.has(own.id)
          ? []
          : [
              {
                id: own.id,
                url: own.url(),
                version: `sluice/${version}`,
                state: own.isDraining() ? "draining" : "live",
                isHub: true,
                sessions: own.sessions(),
                heardAt: isoOf(nowMs),
              },
            ];
      return [
        ...mine,
        ...[...routers].map(
          ([id, one]): RouterView => ({
            id,
            url: one.url,
            version: one.version,
            state: !isHeard(one) ? "lost" : one.draining ? "draining" : "live",
            isHub: one.tokenId === undefined,
            sessions: one.sessions,
            heardAt: isoOf(one.heardMs),
          }),
        ),
      ];
    },
    refresh: async () => {
      await tellOwn();
      const found = new Map<string, RouterRecord>();
      for await (const object of everyItem((page) => store.objects.list(ROUTER_KIND, page))) {
        const router = toRouter(object);
        if (router === undefined) continue;
        const held = routers.get(object.id);
        // Between two writes the count is here alone.
        found.set(object.id, held?.heardMs === router.heardMs ? { ...router, sessions: held.sessions } : router);
      }
      const nowMs = clock.wallMs();
      for (const [id, { heardMs }] of found) {
        if (nowMs - heardMs < FORGET_MS) continue;
        await store.objects.delete(ROUTER_KIND, id, { nowMs });
        found.delete(id);
      }
      routers.clear();
      for (const [id, router] of found) routers.set(id, router);
      for (const id of sentAtMs.keys()) if (!routers.has(id)) sentAtMs.delete(id);
    },
    leave: async () => {
      if (own === undefined || !manyHubs) return;
      await store.objects.delete(ROUTER_KIND, own.id, { nowMs: clock.wallMs() });
    },
  };
}

function toRouter(object: StoredObject | undefined): RouterRecord | undefined {
  const parsed = recordSchema.safeParse(object?.body);
  return parsed.success ? parsed.data : undefined;
}
