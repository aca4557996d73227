import type { Writable } from "node:stream";

/** What a process still holds of its output when it ends reaches nobody: it ends when it holds nothing. */
export async function exitFlushed(
  program: Pick<NodeJS.Process, "stdout" | "stderr" | "exit">,
  code: number,
): Promise<void> {
  await flushed(program.stdout, program.stderr);
  program.exit(code);
}

/** Resolves when the system has all that was written to the streams, or nobody takes it any more. Never rejects. */
export async function flushed(...streams: readonly Writable[]): Promise<void> {
  await Promise.all(streams.map(flushedOne));
}

function flushedOne(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableLength === 0) return resolve();
    stream.on("error", () => resolve());
    stream.once("close", resolve);
    stream.write("", () => resolve());
  });
}
