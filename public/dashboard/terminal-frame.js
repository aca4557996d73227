import { Terminal } from "/vendor/xterm/lib/xterm.mjs";
import { FitAddon } from "/vendor/xterm-fit/addon-fit.mjs";
import { MIN_CONTRAST, TERMINAL_THEMES } from "./terminal-theme.js";

/** Fills this page with a terminal. The dashboard around it writes what is to be seen and hears what is typed. */

const FONT_PX = { least: 8, first: 14, most: 28 };
const SCROLLBACK_LINES = 5000;
const darkness = matchMedia("(prefers-color-scheme: dark)");
const themeNow = () => TERMINAL_THEMES[darkness.matches ? "dark" : "light"];

const terminal = new Terminal({
  fontFamily: 'ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace',
  fontSize: FONT_PX.first,
  theme: themeNow(),
  minimumContrastRatio: MIN_CONTRAST,
  scrollback: SCROLLBACK_LINES,
  cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
});
const fit = new FitAddon();
terminal.loadAddon(fit);
darkness.addEventListener("change", () => {
  terminal.options.theme = themeNow();
});

/** It measures its letters when it is opened, and so only where it can be seen. */
let isOpen = false;
/** Undefined: as many columns and rows as there is room for. */
let fixed;
let onLeave;
const layOut = () => {
  if (innerWidth === 0 || innerHeight === 0) return;
  if (!isOpen) terminal.open(document.getElementById("terminal"));
  isOpen = true;
  if (fixed === undefined) fit.fit();
  else shrinkTo(fixed.cols);
};
/** So that all columns can be seen, where letters can be that small. */
const shrinkTo = (cols) => {
  terminal.options.fontSize = FONT_PX.first;
  const room = fit.proposeDimensions()?.cols;
  if (!(room > 0) || room >= cols) return;
  terminal.options.fontSize = Math.max(FONT_PX.least, Math.floor((FONT_PX.first * room * 2) / cols) / 2);
};
new ResizeObserver(layOut).observe(document.documentElement);

const copy = async () => {
  const text = terminal.getSelection();
  if (text === "") return false;
  // Only there on a page that came over TLS, or from this machine.
  if (navigator.clipboard !== undefined) await navigator.clipboard.writeText(text);
  // The terminal hears the event of it, and puts its selection in.
  else if (!document.execCommand("copy")) return false;
  return true;
};

terminal.attachCustomKeyEventHandler((event) => {
  if (!event.ctrlKey || !event.shiftKey || event.altKey || event.metaKey) return true;
  const key = event.key.toLowerCase();
  if (key !== "e" && key !== "c") return true;
  event.preventDefault();
  if (event.type !== "keydown") return false;
  if (key === "e") onLeave?.();
  else copy().catch(() => undefined);
  return false;
});

const ARROWS = { up: "A", down: "B", right: "C", left: "D" };
const toBytes = (text) => new TextEncoder().encode(text);

window.terminalScreen = {
  /** `done` once it can be seen. @param {Uint8Array | string} data */
  write: (data, done) => terminal.write(data, done),
  clear: () => {
    terminal.reset();
  },
  size: () => ({ cols: terminal.cols, rows: terminal.rows }),
  layOut,
  /** @param {{cols: number, rows: number} | undefined} size `undefined`: as there is room */
  fix: (size) => {
    fixed = size;
    document.documentElement.classList.toggle("is-fixed", size !== undefined);
    if (size !== undefined) terminal.resize(size.cols, size.rows);
    layOut();
  },
  enlarge: (steps) => {
    const next = terminal.options.fontSize + steps;
    terminal.options.fontSize = Math.min(FONT_PX.most, Math.max(FONT_PX.least, next));
    layOut();
  },
  readAloud: (isOn) => {
    terminal.options.screenReaderMode = isOn;
  },
  /** Nothing that is typed counts any more, and no cursor asks for it. */
  shut: (isShut) => {
    terminal.options.disableStdin = isShut;
    terminal.options.cursorInactiveStyle = isShut ? "none" : "outline";
    if (isShut) terminal.blur();
  },
  focus: () => terminal.focus(),
  /** Resolves with whether there was anything to copy. */
  copy,
  paste: (text) => terminal.paste(text),
  /** A key that a phone has not: `up`, `down`, `left`, `right`, or what it sends. */
  press: (key) => {
    const arrow = ARROWS[key];
    const sent = arrow === undefined ? key : `\x1b${terminal.modes.applicationCursorKeysMode ? "O" : "["}${arrow}`;
    terminal.input(sent);
  },
  /** @param {{onTyped: (bytes: Uint8Array) => void, onSize: (size: {cols: number, rows: number}) => void, onLeave: () => void}} listeners */
  listen: (listeners) => {
    onLeave = listeners.onLeave;
    terminal.onData((text) => listeners.onTyped(toBytes(text)));
    // Reports of the mouse in the old form are bytes and no text.
    terminal.onBinary((text) => listeners.onTyped(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
    terminal.onResize(({ cols, rows }) => listeners.onSize({ cols, rows }));
  },
};
layOut();
