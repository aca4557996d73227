import { fault } from "../fault.ts";
import type { DataLink } from "./data-link.ts";
import { FRAME } from "./frames.ts";

/** What one lease has of a connection that several use, one after the other. */
export interface LinkTurn {
  /** What comes on it begins behind the `end` of the lease before. Closing it closes the connection, unless the next lease is on it already. */
  readonly link: DataLink;
  /** The next lease may ask for its bytes from now on, while those of this one still come. Once. */
  follow(): LinkTurn;
  readonly hasFollower: () => boolean;
  /** Its lease has not given it up. */
  readonly isWanted: () => boolean;
  /** It has been this lease's own: it was not lost with the lease before. */
  readonly hasBegun: () => boolean;
}

/**
 * The first turn of a connection on which nothing is under way. The peer answers in the order in which it is asked, so that it goes on
 * with the next lease at once, and not a round trip later.
 */
export function createLinkTurn(link: DataLink): LinkTurn {
  return turnAfter(link, Promise.resolve(), true);
}

function turnAfter(link: DataLink, before: Promise<void>, isFirst: boolean): LinkTurn {
  const over = Promise.withResolvers<void>();
  // Who follows hears it, and there may be nobody.
  over.promise.catch(() => undefined);
  let hasBegun = isFirst;
  let isOver = false;
  let isClosed = false;
  let follower: LinkTurn | undefined;
  return {
    link: {
      ...link,
      next: async () => {
        if (!hasBegun) await before;
        hasBegun = true;
        const frame = await link.next();
        if (frame?.type === FRAME.end) {
          isOver = true;
          over.resolve();
        }
        return frame;
      },
      close: (reason) => {
        isClosed = true;
        if (isOver && follower !== undefined) return;
        over.reject(fault("unreachable", "the lease before on this connection ended it", reason));
        if (hasBegun) return link.close(reason);
        // The one before is left what it asked for; what was asked for behind it is of no use to anybody.
        before.then(
          () => link.close(reason),
          () => undefined,
        );
      },
    },
    follow: () => {
      follower = turnAfter(link, over.promise, false);
      return follower;
    },
    hasFollower: () => follower !== undefined,
    isWanted: () => !isClosed,
    hasBegun: () => hasBegun,
  };
}
