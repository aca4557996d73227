import { AppError } from "../../base/errors.ts";

/** Options of ours end up elsewhere; all others are rsync's. */
const OURS_TO_SET: readonly string[] = ["-e", "--rsh"];

/** Throws `invalid` for what would lead rsync past the box. Pure. */
export function checkRsyncArguments(args: readonly string[]): void {
  const rsh = args.find((word) => OURS_TO_SET.some((name) => word === name || word.startsWith(`${name}=`)));
  if (rsh !== undefined) {
    throw new AppError(
      "invalid",
      `${rsh}: sluice rsync reaches boxes by itself; leave it out, or call rsync -e 'sluice rsh'`,
    );
  }
  const daemonPath = args.find((word) => !word.startsWith("-") && /^[^/:]+::|^rsync:\/\//.test(word));
  if (daemonPath !== undefined) {
    throw new AppError("invalid", `${JSON.stringify(daemonPath)} names an rsync daemon; allowed: BOX:PATH`);
  }
}

/** One argument of rsync's `-e`: rsync splits it at spaces and takes quotes off. Throws `invalid`. Pure. */
export function quoteRsh(words: readonly string[]): string {
  return words
    .map((word) => {
      if (!/[\s'"]/.test(word)) return word;
      if (!word.includes('"')) return `"${word}"`;
      if (!word.includes("'")) return `'${word}'`;
      throw new AppError(
        "invalid",
        `${JSON.stringify(word)}: rsync cannot call a program whose path holds both kinds of quotes`,
      );
    })
    .join(" ");
}
