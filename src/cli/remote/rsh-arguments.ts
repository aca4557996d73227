import { AppError } from "../../base/errors.ts";

export interface RshCall {
  readonly box: string;
  readonly argv: readonly string[];
  /** On the box; absent: its agent's own. */
  readonly user: string | undefined;
}

/** As rsync calls its remote shell: `[-l USER] HOST PROGRAM ARGUMENT…`. Throws `invalid`. Pure. */
export function parseRshCall(words: readonly string[]): RshCall {
  let rest = words;
  let user: string | undefined;
  if (rest[0]?.startsWith("-l") === true) {
    const isApart = rest[0] === "-l";
    user = isApart ? rest[1] : rest[0].slice(2);
    rest = rest.slice(isApart ? 2 : 1);
    if (user === undefined || user === "") throw new AppError("invalid", "-l: name a user of the box: [-l USER] BOX");
  }
  if (rest[0] === "--") rest = rest.slice(1);
  const [box, ...argv] = rest;
  if (box === undefined || box === "" || box.startsWith("-")) {
    throw new AppError("invalid", "name a box and what rsync wants to run there: rsync -e 'sluice rsh' SRC… BOX:PATH");
  }
  if (argv.length === 0) {
    throw new AppError("invalid", `rsh serves rsync alone; for a shell: sluice exec ${box}`);
  }
  return { box, argv, user };
}
