import type { ForwardTarget } from "../../contract/remote/operation.ts";
import type { CommandContext } from "../command-context.ts";
import { formatPlace } from "./forward-spec.ts";
import { pipeInput } from "./pipe-input.ts";
import { createVoice, type Reach } from "./reach-box.ts";
import { failure, failureOf, lostOf, type RemoteFailure } from "./remote-failure.ts";
import type { SealWish } from "./seal-flags.ts";

export interface StdioWish extends SealWish {
  readonly box: string;
  readonly target: ForwardTarget;
  readonly verbose: boolean;
}

/** One connection on standard input and output: 0 when both directions have ended in order. */
export async function runStdio(
  { box, target, verbose, isSealed, boxKey }: StdioWish,
  { reach, context }: { readonly reach: Reach; readonly context: CommandContext },
): Promise<number> {
  const { signal } = context;
  const console = await context.remote.openConsole();
  const voice = createVoice(context, verbose);
  const operation = { kind: "forward" as const, targets: [target] };
  const link = await reach.open({ box, create: { operation }, traffic: "bulk", isSealed, boxKey }, voice, signal);
  const channel = link.session.open({ kind: "dial", host: target.host, port: target.from });
  const place = formatPlace(target.host, target.from);
  const isOver = Promise.race([
    channel.opened.then(
      () =>
        channel.closed.then(({ error }) =>
          error === undefined ? undefined : lostOf(error.code, `${place}: ${error.message}`),
        ),
      (thrown: unknown) => failureOf(thrown),
    ),
    link.over.then((ended) => ended ?? failure("lost", "unavailable", "the box closed the session")),
    stopped(signal),
  ]);
  const output = (async (): Promise<RemoteFailure | undefined> => {
    for await (const bytes of channel.readable("out") as AsyncIterable<Uint8Array>) {
      if (!(await console.stdout.write(bytes))) break;
    }
    return undefined;
  })().catch(failureOf);
  const release = await channel.opened.then(
    () => pipeInput(console.stdin, channel.writable("in")),
    () => () => undefined,
  );
  const ended = await isOver;
  if (ended === undefined) await output;
  release();
  await link.close();
  if (ended !== undefined) throw ended;
  return 0;
}

function stopped(signal: AbortSignal): Promise<RemoteFailure> {
  return new Promise((resolve) => {
    const tell = () => resolve(failure("lost", "cancelled", "interrupted"));
    if (signal.aborted) tell();
    else signal.addEventListener("abort", tell, { once: true });
  });
}
