import { AppError, errnoOf } from "../src/base/errors.ts";

/** Ports tried after a taken one, before any free port is taken. */
const NEIGHBOURS = 10;

export interface PortWish {
  readonly port: number;
  readonly strict: boolean;
  /** What the port is for, as the message names it: `--port`. */
  readonly field: string;
}

/** Calls `listen` with the wished port, then with its neighbours, then with 0, until one is free. Resolves with what `listen` gives. */
export async function bindPort<Bound>(wish: PortWish, listen: (port: number) => Promise<Bound>): Promise<Bound> {
  const candidates = wish.strict || wish.port === 0 ? [wish.port] : [...neighbours(wish.port), 0];
  let last: unknown;
  for (const port of candidates) {
    try {
      return await listen(port);
    } catch (error) {
      if (errnoOf(error) !== "EADDRINUSE" && errnoOf(error) !== "EACCES") throw error;
      last = error;
    }
  }
  const why = errnoOf(last) === "EACCES" ? "may not be bound by this user" : "is taken by another program";
  throw new AppError("unavailable", `${wish.field}: port ${wish.port} ${why}`, { field: wish.field, cause: last });
}

function neighbours(port: number): number[] {
  return Array.from({ length: NEIGHBOURS + 1 }, (_, step) => port + step).filter((candidate) => candidate <= 65_535);
}
