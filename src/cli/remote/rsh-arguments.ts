import { AppError } from "../../base/errors.ts";

export interface RshCall {
  readonly box: string;
  readonly argv: readonly string[];
}

/** As rsync calls its remote shell: `[-l USER] HOST PROGRAM ARGUMENT…`. Throws `invalid`. Pure. */
export function parseRshCall(words: readonly string[]): RshCall {
  let rest = words;
  if (rest[0] === "-l" || rest[0]?.startsWith("-l") === true) {
    const user = rest[0] === "-l" ? rest[1] : rest[0].slice(2);
    throw new AppError(
      "invalid",
      `${user}@: rsync on a box runs as its agent's own user; leave out USER@, and name the box alone`,
    );
  }
  if (rest[0] === "--") rest = rest.slice(1);
  const [box, ...argv] = rest;
  if (box === undefined || box === "" || box.startsWith("-")) {
    throw new AppError("invalid", "name a box and what rsync wants to run there: rsync -e 'sluice rsh' SRC… BOX:PATH");
  }
  if (argv.length === 0) {
    throw new AppError("invalid", `rsh serves rsync alone; for a shell: sluice exec ${box}`);
  }
  return { box, argv };
}
