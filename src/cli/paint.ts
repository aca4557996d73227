import { styleText } from "node:util";

export type Tone = "good" | "warn" | "bad" | "quiet" | "strong";

/** Colours text for a terminal, or leaves it alone. */
export type Paint = (tone: Tone, text: string) => string;

const FORMATS = { good: "green", warn: "yellow", bad: "red", quiet: "dim", strong: "bold" } as const;

export function createPaint(hasColour: boolean): Paint {
  if (!hasColour) return (_tone, text) => text;
  return (tone, text) => styleText(FORMATS[tone], text, { validateStream: false });
}
