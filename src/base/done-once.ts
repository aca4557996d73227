/** Work that is done once: whoever asks shares it, while it goes on and later. After a failure the next one who asks has it begun anew. */
export function doneOnce<Value>(work: () => Promise<Value>): () => Promise<Value> {
  let done: Promise<Value> | undefined;
  return () => {
    done ??= work().catch((thrown: unknown) => {
      done = undefined;
      throw thrown;
    });
    return done;
  };
}
