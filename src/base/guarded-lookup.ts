import { type LookupAddress, type LookupOptions, lookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { AppError } from "./errors.ts";

/** Whether a connection may go to this address. */
export type MayReach = (address: string) => boolean;

/** The system's resolver, by which tests can be of another mind. */
export type ResolveAll = (
  hostname: string,
  options: LookupOptions,
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

const resolveAll: ResolveAll = (hostname, options, done) => lookup(hostname, { ...options, all: true }, done);

/**
 * A look-up for one connection that gives only addresses it may go to: what was judged is what is connected to, so a name that
 * means something else a moment later helps nobody. Connections to an address that needs no look-up: `requireReachable`.
 */
export function createGuardedLookup(mayReach: MayReach, resolve: ResolveAll = resolveAll): LookupFunction {
  return (hostname, options, done) => {
    resolve(hostname, options, (error, found) => {
      if (error !== null) return done(error, "");
      const allowed = found.filter(({ address }) => mayReach(address));
      const [first] = allowed;
      if (first === undefined) return done(notAllowed(hostname, found.map(({ address }) => address).join(", ")), "");
      return options.all === true ? done(null, allowed) : done(null, first.address, first.family);
    });
  };
}

/** Throws `refused` for a URL whose host is an address, or a name of this very machine, that may not be reached. */
export function requireReachable(url: URL, mayReach: MayReach): void {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (isIP(host) !== 0 && !mayReach(host)) throw notAllowed(url.hostname, host);
  if (/^(?:.*\.)?localhost\.?$/i.test(host) && !mayReach("127.0.0.1")) throw notAllowed(host, "127.0.0.1");
}

function notAllowed(host: string, addresses: string): AppError {
  return new AppError(
    "refused",
    `${host} leads to ${addresses}, in a private, loopback or link-local range that is not allowed`,
  );
}
