import { AppError } from "../base/errors.ts";
import type { CommandIo } from "./command-context.ts";

/**
 * Returns when a person said yes, or `--yes` did. Throws `cancelled` when he did not, and `invalid` when nobody can be asked:
 * a script must say that it means it.
 */
export async function confirm(
  question: string,
  { yes, io }: { readonly yes: boolean | undefined; readonly io: CommandIo },
): Promise<void> {
  if (yes === true) return;
  if (io.ask === undefined)
    throw new AppError("invalid", `${question} Nobody can be asked here: say --yes`, { field: "--yes" });
  const answer = await io.ask(`${question} [y/N] `);
  if (!/^y(es)?$/i.test(answer.trim())) throw new AppError("cancelled", "nothing was changed");
}
