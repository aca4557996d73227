import { html, nothing } from "/vendor/lit-html/lit-html.js";

/**
 * How much of something is done. Without a share it says only that something goes on.
 *
 * @param {{label: string, share: number | undefined, text: string}} bar
 */
export function drawProgress({ label, share, text }) {
  return html`<div class="progress">
    <progress aria-label=${label} max="1" value=${share ?? nothing}></progress>
    <span>${share === undefined ? "" : `${Math.floor(share * 100)} %`} <span class="soft">${text}</span></span>
  </div>`;
}
