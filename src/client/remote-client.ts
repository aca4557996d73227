import type { RemoteAdmission, RemoteCreate, RemoteView } from "../contract/fleet/remote.ts";
import {
  type AnswerSchema,
  createHubTransport,
  type HubEndpoint,
  type HubTransportDeps,
  hubPath,
} from "./hub-transport.ts";

/** What remote sessions ask of a hub. A `HubClient`'s `remote` answers the same, and more. */
export interface RemoteCalls {
  /** What it answers holds a secret. */
  create(box: string, body: RemoteCreate, signal: AbortSignal): Promise<RemoteAdmission>;
  /** A new ticket for a session whose connection broke. What it answers holds a secret. */
  rejoin(id: string, key: string, signal: AbortSignal): Promise<RemoteAdmission>;
  get(id: string, signal: AbortSignal): Promise<RemoteStanding>;
}
export type RemoteStanding = Pick<RemoteView, "state" | "reason">;

export interface RemoteClient extends RemoteCalls {
  /** Rejects with `unauthorized` when the token is none any more. */
  check(signal: AbortSignal): Promise<void>;
}

/** Reads answers by hand: the library behind the contract's schemas takes longer to load than a command takes in all. */
export function createRemoteClient(endpoint: HubEndpoint, deps: HubTransportDeps): RemoteClient {
  const { ask } = createHubTransport(endpoint, deps);
  return {
    create: (box, body, signal) =>
      ask({ method: "POST", path: hubPath("boxes", box, "remote"), body }, schemaOf(readAdmission), signal),
    rejoin: (id, key, signal) =>
      ask({ method: "POST", path: hubPath("remote", id, "rejoin"), body: { key } }, schemaOf(readAdmission), signal),
    get: (id, signal) => ask({ path: hubPath("remote", id) }, schemaOf(readStanding), signal),
    check: async (signal) => void (await ask({ path: hubPath("whoami") }, schemaOf(toRecord), signal)),
  };
}

function schemaOf<Value>(read: (value: unknown) => Value | undefined): AnswerSchema<Value> {
  return {
    safeParse: (value) => {
      const data = read(value);
      return data === undefined ? { success: false } : { success: true, data };
    },
  };
}

type Fields = Readonly<Record<string, unknown>>;

function toRecord(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
}

const isText = (value: unknown): value is string => typeof value === "string";
const isTextOrAbsent = (value: unknown): value is string | undefined => value === undefined || isText(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value);

/** As `remoteAdmissionSchema`. `undefined`: it is none. Pure. */
export function readAdmission(value: unknown): RemoteAdmission | undefined {
  const fields = toRecord(value);
  const router = readRouter(fields?.["router"]);
  const limits = readLimits(fields?.["limits"]);
  if (fields === undefined || router === undefined || limits === undefined) return undefined;
  const { id, box, ticket, expiresAt, attempt, boxKey, takesEarlyProof, warning } = fields;
  if (!isText(id) || !isText(box) || !isText(ticket) || !isText(expiresAt) || !isCount(attempt)) return undefined;
  if (!isTextOrAbsent(boxKey) || !isTextOrAbsent(warning)) return undefined;
  return {
    ...{ id, box, ticket, router, expiresAt, attempt, limits },
    ...(boxKey === undefined ? {} : { boxKey }),
    ...(takesEarlyProof === true ? { takesEarlyProof } : {}),
    ...(warning === undefined ? {} : { warning }),
  };
}

/** As `routerAddressSchema`. */
function readRouter(value: unknown): RemoteAdmission["router"] | undefined {
  const { id, url, ca } = toRecord(value) ?? {};
  if (!isText(id) || !isText(url) || !isTextOrAbsent(ca)) return undefined;
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) return undefined;
  return { id, url, ...(ca === undefined ? {} : { ca }) };
}

function readLimits(value: unknown): RemoteAdmission["limits"] | undefined {
  const { idleSeconds, maxSeconds, resumeSeconds } = toRecord(value) ?? {};
  if (!isCount(idleSeconds) || !isCount(maxSeconds) || !isCount(resumeSeconds)) return undefined;
  return { idleSeconds, maxSeconds, resumeSeconds };
}

const STATES: Readonly<Record<RemoteView["state"], true>> = { waiting: true, open: true, broken: true, ended: true };

/** `undefined`: it is none. Pure. */
export function readStanding(value: unknown): RemoteStanding | undefined {
  const { state, reason } = toRecord(value) ?? {};
  return isState(state) && isText(reason) ? { state, reason } : undefined;
}

function isState(value: unknown): value is RemoteView["state"] {
  return isText(value) && Object.hasOwn(STATES, value);
}
