import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { createHttpFetch } from "../base/http-fetch.ts";
import { openSocketAddress } from "../base/socket-address.ts";
import { withinLimit } from "../base/within-limit.ts";
import { toAppError } from "../contract/error-code.ts";
import type { DeclaredPort } from "../contract/remote/operation.ts";
import { type SessionPlace, sessionPlaceSchema } from "../contract/session-status.ts";

/**
 * Where a port of an application session is on this box now. Rejects with the agent's word on it: `not-found`, `conflict` (it sleeps)
 * or `unavailable`; with `unavailable`, too, when no agent answers for a while.
 */
export type AskPlace = (session: string, port: DeclaredPort) => Promise<SessionPlace>;

/** An agent that is started anew, or upgraded, is back within this. */
const PATIENCE_MS = 15_000;
const AGAIN_MS = 200;
const ANSWER_MS = 5000;
const MAX_ANSWER_BYTES = 16_384;

/** What many connections ask at one time is asked once. */
export function createAskPlace(agentSocket: string, clock: Clock): AskPlace {
  const asking = new Map<string, Promise<SessionPlace>>();
  const ask = async (path: string): Promise<SessionPlace> => {
    const untilMs = clock.monotonicMs() + PATIENCE_MS;
    for (;;) {
      const answer = await request(agentSocket, path, clock).catch((thrown: unknown) => ({
        problem: messageOf(thrown),
      }));
      if (!("problem" in answer)) return readPlace(answer);
      if (clock.monotonicMs() >= untilMs)
        throw new AppError("unavailable", `the agent of the box does not say where it is (${answer.problem})`);
      await clock.delay(AGAIN_MS);
    }
  };
  return (session, { port, protocol }) => {
    const path = `/v1/places/${session}?port=${port}/${protocol}`;
    const known = asking.get(path);
    if (known !== undefined) return known;
    const mine = ask(path).finally(() => asking.delete(path));
    asking.set(path, mine);
    return mine;
  };
}

interface Answer {
  readonly isGood: boolean;
  readonly body: unknown;
}

/** Rejects when there was no whole answer. */
async function request(agentSocket: string, path: string, clock: Clock): Promise<Answer> {
  const address = await openSocketAddress(agentSocket);
  const late = () => new AppError("timeout", "no answer");
  return withinLimit({ ms: ANSWER_MS, late }, clock, async (signal) => {
    const fetch = createHttpFetch({ socketPath: address.path });
    const response = await fetch(new URL(path, "http://agent"), {
      headers: {},
      redirect: "manual",
      signal,
    });
    let text = "";
    const decoder = new TextDecoder();
    for await (const bytes of response.body ?? []) {
      text += decoder.decode(bytes, { stream: true });
      if (text.length > MAX_ANSWER_BYTES) throw new AppError("too-large", "the answer has no end");
    }
    return { isGood: response.ok, body: JSON.parse(text) };
  }).finally(() => address.close());
}

function readPlace({ isGood, body }: Answer): SessionPlace {
  if (isGood) return sessionPlaceSchema.parse(body);
  const { error } = body as { readonly error?: { readonly code?: string; readonly message?: string } };
  throw toAppError(new AppError(error?.code ?? "internal", error?.message ?? "the agent's answer cannot be read"));
}
