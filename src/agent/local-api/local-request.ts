import { AppError } from "../../base/errors.ts";
import type { ErrorCode } from "../../contract/error-code.ts";
import { OUTPUT_NAMES, type OutputName } from "../../contract/fleet/log-line.ts";
import { workloadIdSchema } from "../../contract/identifier.ts";
import { CLEANUP_SCOPES, type CleanupWish } from "../../contract/local-status.ts";
import type { DeclaredPort } from "../../contract/remote/operation.ts";
import { tunnelUidSchema } from "../../contract/tunnel-spec.ts";

/** What a request to the local API asks for. */
export type LocalRequest =
  | { readonly kind: "status" }
  | { readonly kind: "explain"; readonly id: string }
  | { readonly kind: "metrics" }
  | { readonly kind: "touch"; readonly id: string }
  | { readonly kind: "place"; readonly id: string; readonly port: DeclaredPort }
  | { readonly kind: "reconcile" }
  | { readonly kind: "cleanup"; readonly wish: CleanupWish }
  | {
      readonly kind: "logs";
      readonly id: string;
      readonly lines: number;
      readonly follow: boolean;
      /** As records, one JSON document a line, instead of the log's own text. */
      readonly asRecords: boolean;
      readonly sinceMs: number | undefined;
      readonly output: OutputName | undefined;
    };

export const DEFAULT_LOG_LINES = 100;
export const MAX_LOG_LINES = 100_000;

/** Throws `not-found` for an unknown path or method and `invalid` for a parameter that cannot be right. */
export function parseLocalRequest(method: string, target: string): LocalRequest {
  const url = URL.canParse(target, "http://agent") ? new URL(target, "http://agent") : undefined;
  const [version, noun, rawId, ...more] = url?.pathname.slice(1).split("/") ?? [];
  const route = `${method} ${noun}${rawId === undefined ? "" : "/id"}`;
  if (url === undefined || version !== "v1" || more.length > 0) throw unknownPath(method, target);
  const query = url.searchParams;
  switch (route) {
    case "GET status":
      return { kind: "status" };
    case "GET metrics":
      return { kind: "metrics" };
    case "POST reconcile":
      return { kind: "reconcile" };
    case "GET explain/id":
      return { kind: "explain", id: parseId(rawId) };
    case "POST touch/id":
      return { kind: "touch", id: parseId(rawId) };
    case "GET places/id":
      return { kind: "place", id: parseId(rawId), port: parsePort(query.get("port")) };
    case "POST cleanup":
      return {
        kind: "cleanup",
        wish: {
          dryRun: parseSwitch("dryRun", query.get("dryRun")),
          scope: parseScope(query.get("scope")),
          ...(query.has("tunnel") ? { tunnel: parseTunnel(query.get("tunnel") ?? "") } : {}),
        },
      };
    case "GET logs/id":
      return {
        kind: "logs",
        id: parseId(rawId),
        lines: parseLines(query.get("lines")),
        follow: parseSwitch("follow", query.get("follow")),
        asRecords: parseSwitch("records", query.get("records")),
        sinceMs: parseSince(query.get("since")),
        output: parseOutput(query.get("output")),
      };
    default:
      throw unknownPath(method, target);
  }
}

function unknownPath(method: string, target: string): AppError<ErrorCode> {
  const known =
    "GET /v1/status, GET /v1/explain/ID, GET /v1/logs/ID, GET /v1/metrics, POST /v1/reconcile, POST /v1/cleanup, POST /v1/touch/ID, GET /v1/places/ID?port=80/tcp";
  return new AppError("not-found", `there is no ${method} ${target.slice(0, 200)}; known: ${known}`);
}

function parseId(raw: string | undefined): string {
  const parsed = workloadIdSchema.safeParse(decode(raw ?? ""));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new AppError("invalid", `id was given ${JSON.stringify(raw?.slice(0, 100))}; it ${issue?.message}`, {
    field: "id",
  });
}

function parsePort(text: string | null): DeclaredPort {
  const [, port, protocol] = /^(\d{1,5})\/(tcp|udp)$/.exec(text ?? "") ?? [];
  if (port !== undefined && (protocol === "tcp" || protocol === "udp")) return { port: Number(port), protocol };
  const given = JSON.stringify(text?.slice(0, 100));
  throw new AppError("invalid", `port was given ${given}; allowed: a port with its protocol, as 80/tcp`, {
    field: "port",
  });
}

function parseScope(text: string | null): CleanupWish["scope"] {
  const scope = CLEANUP_SCOPES.find((one) => one === (text ?? "strays"));
  if (scope !== undefined) return scope;
  const given = JSON.stringify(text?.slice(0, 100));
  throw new AppError("invalid", `scope was given ${given}; allowed: ${CLEANUP_SCOPES.join(", ")}`, { field: "scope" });
}

function parseTunnel(text: string): string {
  const parsed = tunnelUidSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  const given = JSON.stringify(text.slice(0, 100));
  throw new AppError("invalid", `tunnel was given ${given}; it ${parsed.error.issues[0]?.message}`, {
    field: "tunnel",
  });
}

function decode(raw: string): string {
  try {
    return decodeURIComponent(raw);
  } catch {
    return raw;
  }
}

function parseLines(text: string | null): number {
  if (text === null) return DEFAULT_LOG_LINES;
  const lines = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (lines <= MAX_LOG_LINES) return lines;
  const given = JSON.stringify(text.slice(0, 100));
  throw new AppError("invalid", `lines was given ${given}; allowed: a whole number from 0 to ${MAX_LOG_LINES}`, {
    field: "lines",
  });
}

function parseSince(text: string | null): number | undefined {
  const ms = Date.parse(text ?? "");
  if (text === null) return undefined;
  if (!Number.isNaN(ms)) return ms;
  throw new AppError("invalid", `since was given ${JSON.stringify(text.slice(0, 100))}; allowed: ISO 8601`, {
    field: "since",
  });
}

function parseOutput(text: string | null): OutputName | undefined {
  const output = OUTPUT_NAMES.find((one) => one === text);
  if (text === null || output !== undefined) return output;
  const given = JSON.stringify(text.slice(0, 100));
  throw new AppError("invalid", `output was given ${given}; allowed: ${OUTPUT_NAMES.join(", ")}`, { field: "output" });
}

function parseSwitch(field: string, text: string | null): boolean {
  if (text === null || text === "0") return false;
  if (text === "1") return true;
  throw new AppError("invalid", `${field} was given ${JSON.stringify(text.slice(0, 100))}; allowed: 0 or 1`, { field });
}
