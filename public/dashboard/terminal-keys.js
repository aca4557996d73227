import { html } from "/vendor/lit-html/lit-html.js";

/** Keys that the keyboard of a phone has not, and what they send. */
const KEYS = [
  ["Esc", "\x1b", "Escape"],
  ["Tab", "\t", "Tab"],
  ["^C", "\x03", "Control C"],
  ["^D", "\x04", "Control D"],
  ["^Z", "\x1a", "Control Z"],
  ["↑", "up", "Up"],
  ["↓", "down", "Down"],
  ["←", "left", "Left"],
  ["→", "right", "Right"],
];

/** @param {{press: (key: string) => void}} screen */
export function drawTerminalKeys(screen) {
  return html`<div class="terminal-keys" role="group" aria-label="Keys">${KEYS.map(
    ([text, key, name]) =>
      html`<button type="button" aria-label=${name} @click=${() => {
        screen.press(key);
        screen.focus();
      }}>${text}</button>`,
  )}</div>`;
}
