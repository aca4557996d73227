import type { HubContext } from "../hub-context.ts";
import type { OperatorRole, OperatorToken } from "../store/operator-tokens.ts";
import { hashSecret, OPERATOR_TOKEN_PREFIX } from "./secret-hash.ts";

export interface MadeToken {
  readonly record: OperatorToken;
  /** For the person who asked, once. */
  readonly secret: string;
}

export function newOperatorToken(
  of: { readonly name: string; readonly role: OperatorRole; readonly nowMs: number },
  newSecret: () => string,
): MadeToken {
  const secret = `${OPERATOR_TOKEN_PREFIX}${newSecret()}`;
  const id = `t-${newSecret()
    .replace(/[^A-Za-z0-9]/g, "")
    .slice(0, 10)
    .toLowerCase()}`;
  return { record: { id, name: of.name, role: of.role, hash: hashSecret(secret), createdMs: of.nowMs }, secret };
}

/** The first hub of a new store gets the admin token that opens everything; any other start gets `undefined`. */
export async function createFirstToken({ store, clock, newSecret }: HubContext): Promise<string | undefined> {
  const nowMs = clock.wallMs();
  const { record, secret } = newOperatorToken({ name: "first admin", role: "admin", nowMs }, newSecret);
  const audit = { actor: "hub", action: "token.create", subject: `token/${record.id}`, outcome: "done" } as const;
  return (await store.operatorTokens.createFirst(record, { nowMs, audit })) ? secret : undefined;
}
