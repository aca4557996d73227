import { z } from "zod";
import { LOG_LEVELS } from "../base/log.ts";
import { routerIdSchema } from "../contract/fleet/router.ts";
import {
  bytesValue,
  choiceValue,
  countValue,
  httpAddressValue,
  type OptionValue,
  pathValue,
  schemaValue,
  secondsValue,
} from "./option-value.ts";
import { hostPortOf } from "./store-address.ts";

/** One option of a router of its own. */
export interface RouterOption {
  readonly value: OptionValue<unknown>;
  readonly help: string;
  /** Absent: not set. */
  readonly fallback?: string | number;
  readonly isNeeded?: boolean;
}

function listenValue(example: string): OptionValue<string> {
  return {
    allowed: `an address with a port, for example ${example}`,
    placeholder: "address:port",
    schema: z.string().refine((text) => /:\d+$/.test(text) && hostPortOf(text, 0) !== undefined),
    fromText: (text) => text,
  };
}

/**
 * Every option of `sluice router`, by its key path in the configuration file. File, environment, flags, `--print-config` and the
 * list in `docs/remote.md` all come from this table.
 */
export const ROUTER_OPTIONS = {
  "router.id": {
    value: schemaValue(routerIdSchema, "1 to 64 lower-case letters, digits and dashes", "id"),
    help: "As the hub knows it; each of several has its own.",
    isNeeded: true,
  },
  "server.listen": {
    value: listenValue("0.0.0.0:8444"),
    fallback: "0.0.0.0:8444",
    help: "Where boxes and operators join. Port 0: a free one.",
  },
  "server.publicUrl": {
    value: httpAddressValue(),
    help: "Where boxes and operators reach this router: the hub tells them. Where it is a balancer's address that several routers share, each needs `server.peerUrl` too.",
    isNeeded: true,
  },
  "server.peerUrl": {
    value: httpAddressValue(),
    help: "Where other routers reach this very one: who comes to the wrong one through a balancer is handed on by it. Left out: nobody is.",
  },
  "server.drainSeconds": {
    value: secondsValue({ min: 0, max: 3600 }),
    fallback: 30,
    help: "When the router is told to stop, sessions are sent elsewhere over the first half of this time; what is left at its end is cut.",
  },
  "tls.certFile": {
    value: pathValue(),
    help: "Certificate with its chain, PEM. Read again when it changes. Left out: no encryption, for behind a proxy that does TLS and passes HTTP/2 on.",
  },
  "tls.keyFile": { value: pathValue(), help: "Private key of the certificate, PEM." },
  "tls.caFile": {
    value: pathValue(),
    help: "Authority (PEM) by which boxes and operators know the certificate. Left out: those that their systems know.",
  },
  "hub.url": { value: httpAddressValue(), help: "The hub whose sessions meet here.", isNeeded: true },
  "hub.tokenFile": {
    value: pathValue(),
    help: "File that holds a token of the hub with the role `router`.",
    isNeeded: true,
  },
  "hub.caFile": { value: pathValue(), help: "Authority (PEM) to know the hub by. Left out: the system's." },
  "limits.sessions": { value: countValue({ min: 1, max: 10_000 }), fallback: 512, help: "Sessions at a time." },
  "limits.sessionsPerOperator": {
    value: countValue({ min: 1, max: 10_000 }),
    fallback: 16,
    help: "Sessions of one operator at a time.",
  },
  "limits.windowBytes": {
    value: bytesValue({ min: 8 * 1024 * 1024, max: 64 * 1024 ** 3 }),
    fallback: "512Mi",
    help: "What senders with much to send may have on its way here, together, beyond 256 KiB a stream. With 512 KiB for each reader that does not read, all that the router holds for readers.",
  },
  "metrics.listen": {
    value: listenValue("127.0.0.1:9465"),
    help: "Where /metrics is served, without a token and without encryption.",
  },
  "log.level": { value: choiceValue(LOG_LEVELS), fallback: "info", help: "The least important lines to log." },
} as const satisfies Record<string, RouterOption>;

export type RouterOptionKey = keyof typeof ROUTER_OPTIONS;
export const ROUTER_OPTION_KEYS = Object.keys(ROUTER_OPTIONS) as readonly RouterOptionKey[];

export function routerOption(key: RouterOptionKey): RouterOption {
  return ROUTER_OPTIONS[key];
}

/** `server.publicUrl` → `SLUICE_ROUTER_SERVER_PUBLIC_URL`; `router.id` → `SLUICE_ROUTER_ID`. */
export function routerEnvironmentName(key: string): string {
  return `SLUICE_ROUTER_${wordsOf(key).join("_").toUpperCase()}`;
}

/** `server.publicUrl` → `--server-public-url`; `router.id` → `--id`. */
export function routerFlag(key: string): string {
  return `--${wordsOf(key).join("-").toLowerCase()}`;
}

function wordsOf(key: string): string[] {
  return key
    .replace(/^router\./, "")
    .replace(/([a-z])([A-Z])/g, "$1.$2")
    .split(".");
}

export const ROUTER_MANUAL_BEGIN = "<!-- options: written from src/config/router-options-table.ts -->";
export const ROUTER_MANUAL_END = "<!-- end of options -->";

/** `page` with the list of options between its two marks replaced by today's. */
export function withRouterOptionsManual(page: string): string {
  const [before = "", rest = ""] = page.split(ROUTER_MANUAL_BEGIN);
  const [, after = ""] = rest.split(ROUTER_MANUAL_END);
  const rows = ROUTER_OPTION_KEYS.map((key) => {
    const { value, help, fallback, isNeeded } = routerOption(key);
    const without = isNeeded === true ? "needed" : fallback === undefined ? "not set" : `\`${fallback}\``;
    return `| \`${key}\` | ${without} | ${value.allowed.replaceAll("|", "\\|")} | ${help} |`;
  });
  const table = ["| key | default | allowed | |", "|---|---|---|---|", ...rows].join("\n");
  return `${before}${ROUTER_MANUAL_BEGIN}\n\n${table}\n\n${ROUTER_MANUAL_END}${after}`;
}
