import type { Clock } from "../base/clock.ts";
import type { DataLink } from "./data-link.ts";

/** Well before the other side takes silence for death. */
export const LINGER_MS = 10_000;

/** Waits for something that may take long, as one's turn at a low rate, and lets the other side know meanwhile that this one lives. */
export async function lingering<Answer>(
  wait: Promise<Answer>,
  { link, clock }: { readonly link: Pick<DataLink, "linger"> | undefined; readonly clock: Pick<Clock, "timer"> },
): Promise<Answer> {
  const again = () => {
    link?.linger();
    timer = clock.timer(LINGER_MS, again);
  };
  let timer = clock.timer(LINGER_MS, again);
  try {
    return await wait;
  } finally {
    timer.clear();
  }
}
