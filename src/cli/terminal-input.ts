import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { AppError } from "../base/errors.ts";

const MAX_INPUT_CHARACTERS = 4_000_000;

interface Terminal {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
}

/** One line that a person types. `hidden`: what is typed is not shown. Rejects with `cancelled` when the input ends first. */
export async function askLine(
  question: string,
  { hidden = false }: { readonly hidden?: boolean } = {},
  { stdin, stdout }: Terminal,
): Promise<string> {
  stdout.write(question);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: hidden ? nowhere : stdout, terminal: true, prompt: "" });
  const stop = new AbortController();
  lines.once("close", () => stop.abort());
  lines.once("SIGINT", () => lines.close());
  try {
    return await lines.question("", { signal: stop.signal });
  } catch (error) {
    throw new AppError("cancelled", "nothing was entered", { cause: error });
  } finally {
    lines.close();
    stdin.pause();
    if (hidden) stdout.write("\n");
  }
}

/** Everything on standard input. Throws `too-large` over 4 million characters. */
export async function readInput(stdin: NodeJS.ReadStream): Promise<string> {
  stdin.setEncoding("utf8");
  let text = "";
  for await (const piece of stdin) {
    text += String(piece);
    if (text.length > MAX_INPUT_CHARACTERS) {
      throw new AppError("too-large", `standard input holds more than ${MAX_INPUT_CHARACTERS} characters`);
    }
  }
  return text;
}
