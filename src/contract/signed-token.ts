import { type KeyObject, sign, verify } from "node:crypto";
import { z } from "zod";
import { AppError, messageOf } from "../base/errors.ts";

const HEADER = { alg: "EdDSA", typ: "JWT" } as const;
const headerSchema = z.object({ alg: z.literal(HEADER.alg), kid: z.string() });
const MAX_TOKEN_CHARACTERS = 4096;
/** Clocks of a hub and of who reads its tickets may differ by this much. */
export const TICKET_LEEWAY_SECONDS = 30;

/** A JWT signed with Ed25519 (RFC 8037). */
export function signToken(claims: object, key: { readonly id: string; readonly privateKey: KeyObject }): string {
  const body = `${encode({ ...HEADER, kid: key.id })}.${encode(claims)}`;
  return `${body}.${sign(null, Buffer.from(body), key.privateKey).toString("base64url")}`;
}

interface TokenReader {
  readonly keyOf: (id: string) => KeyObject | undefined;
  /** What reads it, for its words: `router`. */
  readonly reader: string;
}

/** Throws `unauthorized` with the one sentence that says what is wrong with it. Never tells a part of the ticket. */
export function readSignedToken<Claims extends { readonly iat: number; readonly exp: number }>(
  ticket: string,
  schema: z.ZodType<Claims>,
  deps: TokenReader & { readonly nowSeconds: number },
): Claims {
  const claims = readTimelessToken(ticket, schema, { ...deps, what: "ticket" });
  if (claims.exp + TICKET_LEEWAY_SECONDS < deps.nowSeconds) {
    throw new AppError(
      "unauthorized",
      `the ticket ended ${deps.nowSeconds - claims.exp} s ago: ask the hub for another`,
    );
  }
  if (claims.iat - TICKET_LEEWAY_SECONDS > deps.nowSeconds) {
    throw new AppError(
      "unauthorized",
      `the ticket begins in ${claims.iat - deps.nowSeconds} s: the clock of the ${deps.reader} or of the hub is wrong`,
    );
  }
  return claims;
}

/** The same for what is true for ever: a receipt. `what` is its word. */
export function readTimelessToken<Claims>(
  token: string,
  schema: z.ZodType<Claims>,
  { keyOf, reader, what }: TokenReader & { readonly what: string },
): Claims {
  const [head = "", body = "", signature = "", ...rest] = token.length > MAX_TOKEN_CHARACTERS ? [] : token.split(".");
  if (signature === "" || rest.length > 0) {
    throw new AppError("unauthorized", `the ${what} is none: three parts are expected`);
  }
  const header = parse(head, headerSchema, `${what}'s header`);
  const key = keyOf(header.kid);
  if (key === undefined) {
    throw new AppError("unauthorized", `the ${what} is signed with a key that this ${reader} does not know`);
  }
  if (!verify(null, Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url"))) {
    throw new AppError("unauthorized", `the ${what}'s signature is wrong`);
  }
  return parse(body, schema, `${what}'s claims`);
}

function parse<Shape>(part: string, schema: z.ZodType<Shape>, what: string): Shape {
  try {
    return schema.parse(JSON.parse(Buffer.from(part, "base64url").toString("utf8")));
  } catch (thrown) {
    throw new AppError("unauthorized", `the ${what} cannot be read`, {
      cause: messageOf(thrown).slice(0, 200),
    });
  }
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
