import { MASK } from "../../base/redact.ts";
import { REMOTE_COMMAND } from "./offer.ts";

type Args = Readonly<Record<string, unknown>>;

/** Arguments of a command of this name as they may be shown: whoever reads a ticket could take the place of the box. Pure. */
export function maskOffer(name: string, args: Args): Args {
  return name === REMOTE_COMMAND && "ticket" in args ? { ...args, ticket: MASK } : args;
}
