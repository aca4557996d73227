import { messageOf } from "../../base/errors.ts";
import { type Service, untilAborted } from "../../base/service.ts";
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

/**
 * The first hub of a new store gets the admin token that opens everything; any other start gets `undefined`. `another`: one
 * more is made, for who has lost the others and holds the hub's machine.
 */
export async function createFirstToken(
  { store, clock, newSecret }: HubContext,
  { another }: { readonly another: boolean },
): Promise<string | undefined> {
  const nowMs = clock.wallMs();
  const name = another ? "admin made at a start" : "first admin";
  const { record, secret } = newOperatorToken({ name, role: "admin", nowMs }, newSecret);
  const audit = { actor: "hub", action: "token.create", subject: `token/${record.id}`, outcome: "done" } as const;
  if (!another) return (await store.operatorTokens.createFirst(record, { nowMs, audit })) ? secret : undefined;
  await store.operatorTokens.create(record, { nowMs, audit });
  return secret;
}

const RETRY_MS = 2000;

/** Asks until the store answers: a store that is away for a moment must not swallow the one sight of the token. */
export function createFirstTokenService(
  context: HubContext,
  wish: { readonly another: boolean; readonly onToken: (adminToken: string) => void },
): Service {
  return {
    name: "first token",
    run: async (signal) => {
      while (!signal.aborted) {
        try {
          const token = await createFirstToken(context, wish);
          if (token !== undefined) wish.onToken(token);
          break;
        } catch (thrown) {
          context.log.debug(`Whether this is the first start cannot be told yet: ${messageOf(thrown)}`);
        }
        await context.clock.delay(RETRY_MS, signal).catch(() => undefined);
      }
      await untilAborted(signal);
    },
  };
}
