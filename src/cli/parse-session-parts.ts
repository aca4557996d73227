import { AppError } from "../base/errors.ts";
import { PORT_PROTOCOLS, type SessionPort, type SessionVolume } from "../contract/session-spec.ts";
import { parseWhole } from "./parse-values.ts";

/** `80`, `8080:80`, `127.0.0.1:8080:80`, `[::1]:8080:80`, each with `NAME=` before it and `/udp` or a scheme such as `/http` after it. */
export function parseSessionPort(text: string): SessionPort {
  const [, name, address, hostPort, port, kind] =
    /^(?:([^=]*)=)?(?:(?:(\[[^\]]+\]|[^:[\]]+):)?(\d*):)?(\d+)(?:\/([A-Za-z][A-Za-z0-9+.-]*))?$/.exec(text) ?? [];
  if (port === undefined) {
    throw bad(
      "--port",
      text,
      "[NAME=][[ADDRESS:][HOSTPORT]:]PORT[/udp or /SCHEME], as in 80, web=8080:80/http or 0.0.0.0:5540:554/rtsp",
    );
  }
  const protocol = PORT_PROTOCOLS.find((each) => each === kind);
  return {
    ...(name === undefined ? {} : { name }),
    port: portOf(port),
    ...(protocol === undefined ? {} : { protocol }),
    ...(protocol === undefined && kind !== undefined ? { scheme: kind } : {}),
    ...(hostPort === undefined || hostPort === "" ? {} : { hostPort: portOf(hostPort) }),
    ...(address === undefined ? {} : { address: address.replace(/^\[(.*)\]$/, "$1") }),
  };
}

/** `data:/var/lib/app`, `/srv/media:/media:ro`, `cache:/cache:delete`. One of the box's directories is named by its last part. */
export function parseSessionVolume(text: string): SessionVolume {
  const [source = "", path = "", ...rules] = text.split(":");
  const isKnown = rules.every((rule) => VOLUME_RULES.includes(rule));
  if (source === "" || path === "" || !isKnown) {
    throw bad("--volume", text, "NAME:PATH or /DIRECTORY:PATH, and then :ro, :keep or :delete");
  }
  const isHostPath = source.startsWith("/");
  return {
    name: isHostPath ? nameOfDirectory(source) : source,
    path,
    ...(isHostPath ? { hostPath: source } : {}),
    ...(rules.includes("ro") ? { readOnly: true } : {}),
    ...(rules.includes("delete") ? { onStop: "delete" as const } : {}),
    ...(rules.includes("keep") ? { onStop: "keep" as const } : {}),
  };
}

const VOLUME_RULES = ["ro", "keep", "delete"];

function nameOfDirectory(path: string): string {
  const letters =
    path
      .replace(/\/+$/, "")
      .split("/")
      .at(-1)
      ?.toLowerCase()
      .replace(/[^a-z0-9]+/g, "-") ?? "";
  const name = letters
    .replace(/^[^a-z]+/, "")
    .slice(0, 15)
    .replace(/-+$/, "");
  return name === "" ? "files" : name;
}

/** `NAME=VALUE`; `NAME` alone takes the value from this command's own environment, where nobody else reads it. */
export function parseVariable(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): readonly [string, string] {
  const equals = text.indexOf("=");
  if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
  const value = equals < 0 ? environment[text] : undefined;
  if (value !== undefined) return [text, value];
  const allowed = "NAME=VALUE, or the NAME of a variable that is set here";
  // What comes after the name is not told: it may be a secret that was meant for a variable.
  throw bad("--env", equals === 0 ? "=…" : text, allowed);
}

/** Lines of `NAME=VALUE`; empty ones and those that begin with # count for nothing. A value may stand in quotes. */
export function parseVariablesFile(path: string, text: string): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const [, name, value = ""] = /^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(trimmed) ?? [];
    if (name === undefined) {
      throw new AppError("config", `${path}:${index + 1}: no variable; allowed: NAME=VALUE`, { field: "--env-file" });
    }
    variables[name] = /^(["'])(.*)\1$/.exec(value)?.[2] ?? value;
  }
  return variables;
}

function portOf(text: string): number {
  return parseWhole(text, { field: "--port", min: 1, max: 65_535 });
}

function bad(field: string, given: string, allowed: string): AppError {
  return new AppError("invalid", `${field}: given ${JSON.stringify(given)}; allowed: ${allowed}`, { field });
}
