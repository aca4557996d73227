import { join } from "node:path";
import { z } from "zod";
import { LOG_LEVELS } from "../base/log.ts";
import { parseNetworks } from "../base/network-range.ts";
import { RECORDING_MODES } from "../contract/fleet/remote-recording.ts";
import type { OptionValue } from "./option-value.ts";
import {
  booleanValue,
  choiceValue,
  countValue,
  httpAddressValue,
  listValue,
  pathValue,
  secondsValue,
} from "./option-value.ts";
import { type Derived, defaultStateDirectory, type Environment, type HostFacts } from "./state-directory.ts";
import { hostPortOf, parseStoreAddress, STORE_FORMS } from "./store-address.ts";

/** What a default may depend on. */
export interface HubDefaults {
  readonly env: Environment;
  readonly facts: HostFacts;
  readonly dataDir: string;
}

/** One option of the hub. */
export interface HubOption<T> {
  readonly value: OptionValue<T>;
  readonly help: string;
  readonly fallbackText: string;
  readonly fallback: (defaults: HubDefaults) => Derived<T | undefined>;
}

function option<T>(value: OptionValue<T>, fixed: NoInfer<T>, help: string): HubOption<T> {
  const fallbackText = Array.isArray(fixed) && fixed.length === 0 ? "empty" : `\`${String(fixed)}\``;
  return { value, help, fallbackText, fallback: () => ({ value: fixed, because: "default" }) };
}

function unset<T>(value: OptionValue<T>, help: string, fallbackText = "not set"): HubOption<T> {
  return { value, help, fallbackText, fallback: () => ({ value: undefined, because: "not set" }) };
}

const proxySchema = z.string().regex(/^[0-9a-fA-F:.]+(?:\/\d{1,3})?$/);
const networkSchema = z.string().refine((text) => parseNetworks([text]) !== undefined);
const nameSchema = z.string().regex(/^(?:\*\.)?[A-Za-z0-9:][A-Za-z0-9_.:-]{0,252}$/);

/**
 * Every option of the hub, by its key path in the configuration file. File, environment, flags, `--print-config` and
 * `docs/hub-configuration.md` all come from this table.
 */
export const HUB_OPTIONS = {
  "server.listen": option(
    {
      allowed: "an address with a port, for example 0.0.0.0:8443 or [::]:8443",
      placeholder: "address:port",
      schema: z.string().refine((text) => /:\d+$/.test(text) && hostPortOf(text, 0) !== undefined),
      fromText: (text) => text,
    },
    "0.0.0.0:8443",
    "Where the API, the dashboard and the boxes' event streams are served. Port 0: a free one.",
  ),
  "server.publicUrl": unset(
    httpAddressValue(),
    "Where boxes and people reach the hub: it goes into enrolment tokens. Behind a balancer: the balancer's address.",
    "the host's name and the port that it listens on",
  ),
  "server.ownUrl": unset(
    httpAddressValue(),
    "Where boxes reach this very hub, when several share a store: the log that somebody reads here is uploaded there.",
    "with one hub server.publicUrl, with several the host's name and the port that it listens on",
  ),
  "server.trustedProxies": option(
    listValue(proxySchema, "addresses or networks, such as 10.0.0.0/8"),
    [],
    "Proxies whose X-Forwarded-For names the caller. Without them that header is not believed.",
  ),
  "server.drainSeconds": option(
    secondsValue({ min: 0, max: 300 }),
    5,
    "How long answers under way may take when the hub is told to stop.",
  ),

  "metrics.listen": unset(
    {
      allowed: "an address with a port, for example 127.0.0.1:9464",
      placeholder: "address:port",
      schema: z.string().refine((text) => /:\d+$/.test(text) && hostPortOf(text, 0) !== undefined),
      fromText: (text) => text,
    },
    "Where /metrics is served without a token, beside the API's own /metrics that needs one.",
  ),

  "tls.mode": option(
    choiceValue(["generated", "files", "off"]),
    "generated",
    "`generated`: an authority and a certificate of its own, kept in the data directory; enrolment tokens carry the authority's fingerprint. `files`: those of tls.certFile and tls.keyFile. `off`: plain HTTP, for behind a proxy that does TLS.",
  ),
  "tls.certFile": unset(pathValue(), "Certificate with its chain, PEM. With tls.mode files."),
  "tls.keyFile": unset(pathValue(), "Private key of the certificate, PEM. With tls.mode files."),
  "tls.names": option(
    listValue(nameSchema, "host names or addresses"),
    [],
    "Names that a generated certificate holds, beside localhost, the host's name and that of server.publicUrl.",
  ),
  "tls.clientCaFile": unset(
    pathValue(),
    "Authorities (PEM) that sign certificates of boxes: mutual TLS. A box shows one beside its key (link.certFile on the box); people and programs need none.",
  ),
  "tls.clientCertificates": option(
    choiceValue(["required", "asked"]),
    "required",
    "With tls.clientCaFile: `required`: no box without a good certificate. `asked`: one that is shown must be good, for the time until all boxes have one.",
  ),

  "store.url": {
    value: {
      allowed: STORE_FORMS,
      placeholder: "url",
      schema: z.string().refine((text) => parseStoreAddress(text) !== undefined),
      fromText: (text: string) => text,
      mask: (text: string) => text.replace(/:\/\/[^@/]*@/, "://***@"),
    },
    help: "Where the hub keeps its state (docs/hub-store.md).",
    fallbackText: "`sqlite:` and `hub.db` in the data directory",
    fallback: ({ dataDir }: HubDefaults) => ({
      value: `sqlite:${join(dataDir, "hub.db")}`,
      because: "in the data directory",
    }),
  },
  "store.passwordFile": unset(pathValue(), "File that holds the password of Redis; it beats one in the address."),
  "store.caFile": unset(pathValue(), "Certificate authorities (PEM) to know Redis by. Left out: the system's."),
  "store.prefix": option(
    {
      allowed: "1 to 40 letters, digits, dots or dashes",
      placeholder: "prefix",
      schema: z.string().regex(/^[A-Za-z0-9.-]{1,40}$/),
      fromText: (text: string) => text,
    },
    "sluice",
    "What all keys in Redis begin with: several fleets can share one Redis.",
  ),
  "store.replicas": option(
    countValue({ min: 0, max: 10 }),
    0,
    "Replicas of Redis that must have a change before it is acknowledged.",
  ),

  "secrets.keyFile": unset(
    pathValue(),
    "Key that encrypts secrets in the store (webhooks, shared keys of tunnels): 64 hexadecimal digits (`openssl rand -hex 32`). Several hubs of one Redis need the same; without it they take no secrets and make no shared keys.",
    "`secrets.key` in the data directory, made at the first start; with Redis not set",
  ),
  "webhooks.allowedNetworks": option(
    listValue(networkSchema, "networks or addresses, such as 10.20.0.0/16"),
    [],
    "Private, loopback or link-local networks that webhooks may lead to. All others of these are refused.",
  ),

  "enrolment.approval": option(
    choiceValue(["automatic", "manual"]),
    "automatic",
    "Whether an enrolled box works at once or waits until a person approves it. A token can say otherwise for its box.",
  ),

  "limits.operatorPerSecond": option(
    countValue({ min: 1, max: 100_000 }),
    50,
    "Requests a second of one operator token; eight times as many at once.",
  ),
  "limits.boxPerSecond": option(
    countValue({ min: 1, max: 100_000 }),
    20,
    "Requests a second of one box; eight times as many at once.",
  ),
  "limits.workerPerSecond": option(
    countValue({ min: 1, max: 100_000 }),
    200,
    "Requests a second of one box's transfer worker that no new work brings with it, beside those of its box; eight times as many at once. Asking for a piece that nobody had yet, and telling of it, do not count: no speed needs more.",
  ),
  "limits.addressPerSecond": option(
    countValue({ min: 1, max: 100_000 }),
    20,
    "Requests a second of one address that need no token or have a wrong one; eight times as many at once.",
  ),

  "sessions.perUser": unset(
    countValue({ min: 1, max: 100_000 }),
    "Sessions that one user may have, hibernated ones included.",
    "not set: no limit",
  ),

  "remote.enabled": option(
    booleanValue(),
    true,
    "Whether operators may open remote sessions (shells, commands, forwards, rsync) at all. Each box allows them by its own policy.",
  ),
  "remote.ownRouter": option(
    booleanValue(),
    true,
    "Whether the ends of remote sessions meet at this hub, on the port of server.listen. `false`: only at routers that have registered (`sluice router`).",
  ),
  "remote.perUser": option(countValue({ min: 1, max: 10_000 }), 16, "Remote sessions of one operator token at a time."),
  "remote.total": option(countValue({ min: 1, max: 10_000 }), 512, "Remote sessions at a time."),
  "remote.idleSeconds": option(
    countValue({ min: 10, max: 7 * 86_400 }),
    30 * 60,
    "A remote session in which nothing is sent for so long is ended. Who opens one may ask for less.",
  ),
  "remote.maxSeconds": option(
    countValue({ min: 10, max: 30 * 86_400 }),
    8 * 3600,
    "A remote session is ended after so long, whatever it does. Who opens one may ask for less.",
  ),
  "remote.resumeSeconds": option(
    countValue({ min: 1, max: 86_400 }),
    300,
    "How long a remote session waits for its operator to come back after a break.",
  ),
  "remote.recordings": option(
    choiceValue(RECORDING_MODES),
    "off",
    "Whether what terminals in browsers show is recorded, in `recordings` in the data directory (asciicast, what is typed left out): `asked`, where who opens one wishes it; `always`, each of them. The newest are kept, 1 GiB in all.",
  ),
  "remote.recordingDays": unset(
    countValue({ min: 1, max: 3650 }),
    "Recordings that were last written longer ago, in days by the clock of the hub, are removed within the hour.",
    "not set: only their number and size count",
  ),

  "files.dataDir": {
    value: pathValue(),
    help: "Directory for the store, the authority and its keys. Mode 0700.",
    fallbackText:
      "systemd's `STATE_DIRECTORY`; `/var/lib/sluice/hub` for root, else `hub` in the user's state directory",
    fallback: ({ env, facts }: HubDefaults) => {
      const { value, because } = defaultStateDirectory(env, facts);
      return { value: because === "STATE_DIRECTORY" ? value : join(value, "hub"), because };
    },
  },
  "log.level": option(choiceValue(LOG_LEVELS), "info", "The least important lines to log."),
} as const satisfies Record<string, HubOption<never> | HubOption<unknown> | object>;

export type HubOptionKey = keyof typeof HUB_OPTIONS;
export type AnyHubOption = HubOption<unknown>;

export const HUB_OPTION_KEYS = Object.keys(HUB_OPTIONS) as readonly HubOptionKey[];

export function hubOption(key: HubOptionKey): AnyHubOption {
  return HUB_OPTIONS[key] as unknown as AnyHubOption;
}

/** `server.publicUrl` → `SLUICE_HUB_SERVER_PUBLIC_URL`; `files.dataDir` → `SLUICE_HUB_DATA_DIR`. */
export function hubEnvironmentName(key: string): string {
  const name = key.replace(/^files\./, "").replace(/([a-z])([A-Z])/g, "$1_$2");
  return `SLUICE_HUB_${name.replaceAll(".", "_").toUpperCase()}`;
}

/** `server.publicUrl` → `--server-public-url`; `files.dataDir` → `--data-dir`. */
export function hubFlag(key: string): string {
  const name = key
    .replace(/^files\./, "")
    .replace(/([a-z])([A-Z])/g, "$1-$2")
    .replaceAll(".", "-")
    .toLowerCase();
  return `--${name}`;
}
