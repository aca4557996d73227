import { AppError } from "../../base/errors.ts";

/** Pure readers of what comes in headers and in the address. All throw `invalid` naming the header. */

const MAX_TOKEN_LENGTH = 512;
const TOKEN_NAMES = /^(?:access|auth|api|bearer)?[-_]?(?:token|key)$|^authorization$|^secret$|^password$/i;

/** Tokens in addresses end up in logs and histories. The value is never repeated. */
export function refuseTokenInUrl(url: string): void {
  const query = url.indexOf("?");
  if (query < 0) return;
  for (const name of new URLSearchParams(url.slice(query + 1)).keys()) {
    if (TOKEN_NAMES.test(name)) {
      throw new AppError(
        "invalid",
        `${name}: given in the address; allowed: only in the header Authorization: Bearer …`,
        {
          field: name.slice(0, 40),
        },
      );
    }
  }
}

/** The bearer token; `undefined` when there is no `Authorization`. */
export function readBearer(rawHeaders: readonly string[]): string | undefined {
  const values = valuesOf(rawHeaders, "authorization");
  if (values.length === 0) return undefined;
  const token = values.length === 1 ? /^Bearer ([A-Za-z0-9._~+/=-]+)$/i.exec(values[0] ?? "")?.[1] : undefined;
  if (token === undefined || token.length > MAX_TOKEN_LENGTH) {
    throw invalid("Authorization", "not one bearer token", "Authorization: Bearer …, once");
  }
  return token;
}

/** `"7"` → 7, `*` → `"any"`. */
export function readIfMatch(rawHeaders: readonly string[]): number | "any" | undefined {
  const values = valuesOf(rawHeaders, "if-match");
  if (values.length === 0) return undefined;
  const [value = ""] = values;
  if (values.length === 1 && value === "*") return "any";
  const digits = values.length === 1 ? /^"(\d{1,15})"$/.exec(value)?.[1] : undefined;
  if (digits === undefined) throw invalid("If-Match", "something else", 'one revision in quotes, such as "7", or *');
  return Number(digits);
}

export function readIdempotencyKey(rawHeaders: readonly string[]): string | undefined {
  const values = valuesOf(rawHeaders, "idempotency-key");
  if (values.length === 0) return undefined;
  const [value = ""] = values;
  if (values.length > 1 || !/^[\x21-\x7e]{1,128}$/.test(value)) {
    throw invalid("Idempotency-Key", "something else", "1 to 128 printable characters without spaces, once");
  }
  return value;
}

/** Node joins or drops what is sent twice; which of two was meant nobody can say. */
function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    if (rawHeaders[index]?.toLowerCase() === name) values.push((rawHeaders[index + 1] ?? "").trim());
  }
  return values;
}

function invalid(header: string, given: string, allowed: string): AppError {
  return new AppError("invalid", `${header}: given ${given}; allowed: ${allowed}`, { field: header });
}
