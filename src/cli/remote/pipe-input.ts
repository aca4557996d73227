import type { Readable, Writable } from "node:stream";

/** With end of file, and no faster than the box takes it. Ends early when nobody there reads any more. Returns how to let go of the input. */
export function pipeInput(from: Readable, to: Writable, filter?: (bytes: Uint8Array) => Uint8Array): () => void {
  const onData = (bytes: Uint8Array) => {
    const forward = filter?.(bytes) ?? bytes;
    if (forward.length > 0 && !to.write(forward)) {
      from.pause();
      to.once("drain", () => from.resume());
    }
  };
  const onEnd = () => void to.end();
  const release = () => {
    from.off("data", onData);
    from.off("end", onEnd);
    from.off("error", onEnd);
    from.pause();
  };
  from.on("data", onData);
  from.once("end", onEnd);
  // A terminal that is gone ends the input.
  from.once("error", onEnd);
  to.once("stopped", release);
  to.once("close", release);
  return release;
}
