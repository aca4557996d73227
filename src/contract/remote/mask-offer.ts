import { MASK } from "../../base/redact.ts";
import { REMOTE_COMMAND } from "./offer.ts";

type Args = Readonly<Record<string, unknown>>;

/** What is kept of an offer that is over: whose and what it was. Who joined where and by what nobody needs any more. Pure. */
export function shortenOffer(name: string, args: Args): Args {
  if (name !== REMOTE_COMMAND || !("ticket" in args)) return args;
  const { session, attempt, operator, operation } = args;
  return { session, attempt, operator, operation, ticket: MASK };
}

/** Arguments of a command of this name as they may be shown: whoever reads a ticket could take the place of the box. Pure. */
export function maskOffer(name: string, args: Args): Args {
  return name === REMOTE_COMMAND && "ticket" in args ? { ...args, ticket: MASK } : args;
}
