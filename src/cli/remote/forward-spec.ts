import { AppError } from "../../base/errors.ts";
import type { ForwardTarget } from "../../contract/remote/operation.ts";

/** Ports of this machine that lead to as many of a target, seen from the box. */
export interface ForwardRule {
  readonly target: ForwardTarget;
  /** Undefined: 127.0.0.1, and ::1 where it can be had. */
  readonly bind: string | undefined;
  /** Of `target.from`; the others follow. 0: one that is free. */
  readonly localFrom: number;
}

/** What `host` is when only a port is named. */
const BOX_ITSELF = "localhost";
const MAX_PORT = 65_535;
const FORMS = "[[ADDRESS:]LOCAL:][HOST:]PORT[/udp], ports as 8080 or 8000-8010, IPv6 as [::1]";

/**
 * `8080`, `9080:8080`, `0:8080`, `0.0.0.0:9080:8080`, `10.0.0.20:554`, `5540:10.0.0.20:554`, `[::1]:5540:cam:554`, `5353:53/udp`,
 * `8000-8010`. Throws `invalid`. Pure.
 */
export function parseForwardRule(text: string): ForwardRule {
  const [, rest = "", protocol = "tcp"] = /^(.*?)(?:\/([a-z]+))?$/s.exec(text) ?? [];
  if (protocol !== "tcp" && protocol !== "udp") throw wrong(text, `protocol ${JSON.stringify(protocol)}: tcp or udp`);
  const parts = splitParts(rest, text);
  const remote = parsePorts(parts.pop() ?? "", text);
  if (remote.from === 0) throw wrong(text, "0 is no port of a box");
  let host = BOX_ITSELF;
  let local: Ports | undefined;
  // From right to left: what stands before a port is its host, unless it is a port itself.
  if (parts.length > 0 && !isPorts(parts.at(-1))) host = parts.pop() ?? host;
  if (parts.length > 0) local = parsePorts(parts.pop() ?? "", text);
  let bind = parts.pop();
  // ADDRESS:LOCAL:PORT has no host of its own: the first is an address only where a port follows it, and that was taken above.
  if (parts.length > 0) throw wrong(text, "too many parts");
  if (bind === "*") bind = "::";
  if (bind === "" || host === "") throw wrong(text, "an empty name");
  const localFrom = local?.from ?? remote.from;
  const count = remote.to - remote.from;
  if (local !== undefined && local.from !== 0 && local.to - local.from !== count) {
    throw wrong(text, `${local.to - local.from + 1} local ports for ${count + 1}`);
  }
  return { target: { protocol, host, from: remote.from, to: remote.to }, bind, localFrom };
}

/** `HOST:PORT` or `PORT`, of `--stdio`. Throws `invalid`. Pure. */
export function parseStdioTarget(text: string): ForwardTarget {
  const { target, bind, localFrom } = parseForwardRule(text);
  if (bind === undefined && localFrom === target.from && target.from === target.to && target.protocol === "tcp") {
    return target;
  }
  throw new AppError("invalid", `--stdio: given ${JSON.stringify(text)}; allowed: one [HOST:]PORT of TCP`);
}

/** `[::1]:80`, `cam:554`. */
export function formatPlace(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

interface Ports {
  readonly from: number;
  readonly to: number;
}

function isPorts(text: string | undefined): boolean {
  return text !== undefined && /^\d+(?:-\d+)?$/.test(text);
}

function parsePorts(text: string, whole: string): Ports {
  if (!isPorts(text)) throw wrong(whole, `${JSON.stringify(text)} is no port`);
  const [from = 0, to = from] = text.split("-").map(Number);
  if (from > MAX_PORT || to > MAX_PORT || to < from)
    throw wrong(whole, `${text}: ports are 0 to ${MAX_PORT}, ranges rise`);
  return { from, to };
}

function splitParts(text: string, whole: string): string[] {
  const parts = splitAtColons(text);
  if (parts === undefined) throw wrong(whole, "brackets belong around IPv6 addresses");
  return parts;
}

/** At colons outside of brackets, which go. `undefined`: brackets stand where none belong. Pure. */
export function splitAtColons(text: string): string[] | undefined {
  const parts = [...text.matchAll(/(?:^|:)(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:[\]]*))(?=:|$)/g)];
  if (parts.map(([part]) => part).join("") !== text) return undefined;
  return parts.map(([, address, plain]) => address ?? plain ?? "");
}

function wrong(text: string, problem: string): AppError {
  return new AppError("invalid", `given ${JSON.stringify(text)} (${problem}); allowed: ${FORMS}`);
}
