import { AppError } from "../../../base/errors.ts";

/** Longer than any object that a cluster holds. */
const MAX_LINE_CHARACTERS = 4 * 2 ** 20;

/** Each line of a stream of JSON, as the engine sends events and the progress of a pull. A line that is no JSON is left out. */
export async function* readJsonLines(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of pieces) {
    rest += decoder.decode(piece, { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE_CHARACTERS) throw new AppError("too-large", "a line of JSON without an end");
    yield* lines.flatMap(parseLine);
  }
  yield* parseLine(rest);
}

function parseLine(line: string): readonly unknown[] {
  try {
    return line.trim() === "" ? [] : [JSON.parse(line)];
  } catch {
    return [];
  }
}
