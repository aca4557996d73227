import type { CommandContext, CommandIo } from "./command-context.ts";
import { createPaint, type Paint } from "./paint.ts";

export function printJson(io: CommandIo, value: unknown): void {
  io.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** One line of JSON, for streams of them. */
export function printJsonLine(io: CommandIo, value: unknown): void {
  io.write(`${JSON.stringify(value)}\n`);
}

/** What renderings need to know of the reader. */
export interface View {
  readonly paint: Paint;
  readonly columns: number | undefined;
  /** Wall time, for ages. */
  readonly nowMs: number;
}

export function viewOf({ io, clock }: CommandContext): View {
  return { paint: createPaint(io.hasColour), columns: io.columns, nowMs: clock.wallMs() };
}

/** `1 box`, `3 boxes`. */
export function countOf(amount: number, noun: string, plural = `${noun}s`): string {
  return `${amount} ${amount === 1 ? noun : plural}`;
}

export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}
