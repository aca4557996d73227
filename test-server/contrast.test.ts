import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";

/** WCAG 2.2 AA, computed from the pages' own style sheets: 4.5 for text (1.4.3), 3 for what shows a control or the focus (1.4.11). */
const TEXT = 4.5;
const SHAPE = 3;
const GROUNDS = ["ground", "card", "sunken"];
const TEXTS = ["ink", "soft", "accent", "good", "warn", "bad", "busy"];
/** Text on a filled button, and what it is filled with. */
const FILLED = [
  ["accent-ink", "accent"],
  ["card", "bad"],
] as const;
/** Borders of inputs; the focus is shown by `accent`. */
const SHAPES = ["edge", "accent"];
/** Lines that only divide what is apart anyway. */
const DECORATION = ["line"];

/** Of a terminal: black and white are grounds there too, of which the other one is the ground of the theme or its opposite. */
const NOT_TEXT = { light: ["white", "brightWhite"], dark: ["black"] };

const folder = resolve(import.meta.dirname, "../public");
const { MIN_CONTRAST, TERMINAL_THEMES } = await import(
  pathToFileURL(resolve(folder, "dashboard/terminal-theme.js")).href
);
const sheet = ["shared/base.css", "dashboard/dashboard.css", "dashboard/terminal.css"]
  .map((file) => readFileSync(resolve(folder, file), "utf8"))
  .join("\n");
const variables = new Map(
  [...sheet.matchAll(/--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);/g)].map(([, name = "", light = "", dark = ""]) => [
    name,
    { light, dark },
  ]),
);
/** A disabled button is exempt; the input of a segment lies over its label and is never seen. */
const FADED = ["button:disabled", ".segments input"];

function channels(colour: string): number[] {
  return [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
}

/** Relative luminance, as WCAG defines it. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = channels(colour).map((channel) => {
    const part = channel / 255;
    return part <= 0.040_45 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(front: string, back: string): number {
  const bright = [luminance(front), luminance(back)];
  return Math.round(((Math.max(...bright) + 0.05) / (Math.min(...bright) + 0.05)) * 100) / 100;
}

test("every colour of the pages has its place in this test", () => {
  const known = [...GROUNDS, ...TEXTS, ...SHAPES, ...DECORATION, ...FILLED.flat()];
  expect([...variables.keys()].filter((name) => !known.includes(name))).toEqual([]);
  expect(known.filter((name) => !variables.has(name))).toEqual([]);
  expect(contrast("#000000", "#ffffff")).toBe(21);
  expect(contrast("#777777", "#ffffff")).toBe(4.48);
  expect(MIN_CONTRAST).toBe(TEXT);
});

test("nothing but what nobody has to read is faded", () => {
  const faded = [...sheet.matchAll(/([^{}]+)\{[^{}]*opacity: [^{}]*\}/g)].map(([rule, selector = ""]) => ({
    selector: selector.replaceAll(/\/\*.*?\*\//gs, "").trim(),
    opacity: Number(/opacity: ([\d.]+)/.exec(rule)?.[1]),
  }));
  expect(
    faded
      .filter(({ opacity }) => opacity < 1)
      .map(({ selector }) => selector)
      .toSorted(),
  ).toEqual(FADED.toSorted());
});

describe.each(["light", "dark"] as const)("in the %s theme", (theme) => {
  const colour = (name: string) => variables.get(name)?.[theme] ?? "";
  const below = (fronts: readonly string[], bar: number) =>
    fronts.flatMap((front) =>
      GROUNDS.map((back) => `${front} on ${back}: ${contrast(colour(front), colour(back))}`).filter(
        (line) => Number(line.split(": ")[1]) < bar,
      ),
    );

  test("all text can be read on every ground", () => {
    expect(below(TEXTS, TEXT)).toEqual([]);
  });

  test("text on filled buttons can be read", () => {
    const ratios = FILLED.map(([front, back]) => contrast(colour(front), colour(back)));
    expect(Math.min(...ratios)).toBeGreaterThanOrEqual(TEXT);
  });

  test("a terminal's text and cursor can be seen on its ground", () => {
    const colours: Record<string, string> = TERMINAL_THEMES[theme];
    const ground = colours["background"] ?? "";
    const names = Object.keys(colours).filter((name) => !/^(?:background|cursor|selection|scrollbar)/.test(name));
    const texts = names.filter((name) => !NOT_TEXT[theme].includes(name));
    expect(texts.length).toBeGreaterThan(14);
    expect(texts.filter((name) => contrast(colours[name] ?? "", ground) < TEXT)).toEqual([]);
    expect(contrast(colours["cursor"] ?? "", ground)).toBeGreaterThanOrEqual(SHAPE);
    expect(contrast(colours["foreground"] ?? "", colours["selectionBackground"] ?? "")).toBeGreaterThanOrEqual(TEXT);
  });

  test("inputs and the focus can be seen", () => {
    expect(below(SHAPES, SHAPE)).toEqual([]);
  });
});
