import { isAbsolute, join } from "node:path";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the machine and the user are, as far as defaults depend on it. */
export interface HostFacts {
  readonly hostname: string;
  readonly isRoot: boolean;
  readonly homeDirectory: string;
  readonly cwd: string;
}

export interface Derived<T> {
  readonly value: T;
  /** Why it is that, for `--print-config`. */
  readonly because: string;
}

/** Where state lives when nothing names a place: systemd's `StateDirectory=`, else by user. */
export function defaultStateDirectory(env: Environment, facts: HostFacts): Derived<string> {
  // systemd separates several directories with colons; the first is ours.
  const [fromSystemd] = env["STATE_DIRECTORY"]?.split(":") ?? [];
  if (fromSystemd !== undefined && isAbsolute(fromSystemd)) return { value: fromSystemd, because: "STATE_DIRECTORY" };
  if (facts.isRoot) return { value: "/var/lib/sluice", because: "default for root" };
  const xdg = env["XDG_STATE_HOME"];
  if (xdg !== undefined && isAbsolute(xdg)) return { value: join(xdg, "sluice"), because: "XDG_STATE_HOME" };
  return { value: join(facts.homeDirectory, ".local/state/sluice"), because: "default for a user" };
}

/** The host's name with what an id may not hold replaced; `box` when nothing is left of it. */
export function boxIdFromHostname(hostname: string): string {
  const safe = hostname
    .replace(/[^A-Za-z0-9_.-]+/g, "-")
    .replace(/^[.-]+/, "")
    .slice(0, 63);
  return safe === "" ? "box" : safe;
}

/** A hub's report address beside its event address; undefined for a server that is no hub. */
export function reportEndpointOf(eventsEndpoint: string | undefined): string | undefined {
  if (eventsEndpoint === undefined || !URL.canParse(eventsEndpoint)) return undefined;
  const url = new URL(eventsEndpoint);
  if (!/\/v1\/boxes\/[^/]+\/events$/.test(url.pathname)) return undefined;
  url.pathname = url.pathname.replace(/events$/, "report");
  return url.href;
}
