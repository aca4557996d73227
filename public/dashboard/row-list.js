import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html } from "/vendor/lit-html/lit-html.js";

/**
 * Rows of a form that come and go. Each has a key of its own, so that a row that goes takes no other's text with it; `draw` gets
 * where the row stands in the request (`volumes[0]`) and its key.
 *
 * @param {{at: string, title: string, add: string, noun: string, most: number, redraw: () => void,
 *   draw: (at: string, key: number) => unknown}} options
 */
export function createRowList({ at, title, add, noun, most, redraw, draw }) {
  let keys = [];
  let nextKey = 0;

  return {
    draw: () => html`<fieldset class="stack row-list"><legend>${title}</legend>
      ${repeat(
        keys,
        (key) => key,
        (key, index) => html`<div class="with-button" role="group" aria-label=${`${noun} ${index + 1}`}>
          ${draw(`${at}[${index}]`, key)}
          <button type="button" aria-label=${`Take ${noun} ${index + 1} away`} @click=${() => {
            keys = keys.filter((one) => one !== key);
            redraw();
          }}>Take away</button>
        </div>`,
      )}
      <div class="actions"><button type="button" ?disabled=${keys.length >= most} @click=${() => {
        keys.push(nextKey++);
        redraw();
      }}>${add}</button></div>
    </fieldset>`,
  };
}
