import { html } from "/vendor/lit-html/lit-html.js";
import { showNotice } from "../shared/notice.js";

/** Something that is shown this once, with a button that copies it. */
export function drawSecret({ title, text, secret, onDone }) {
  const copy = () =>
    navigator.clipboard === undefined
      ? showNotice("The browser allows copying on a secure page only: mark the text and copy it by hand", "error")
      : navigator.clipboard.writeText(secret).then(
          () => showNotice("Copied"),
          () => showNotice("The browser does not allow copying", "error"),
        );
  return html`<section class="card secret" aria-label=${title} role="status">
    <h2>${title}</h2>
    <p>${text}</p>
    <pre tabindex="0" data-secret>${secret}</pre>
    <div class="actions">
      <button type="button" class="primary" @click=${copy}>Copy</button>
      <button type="button" @click=${onDone}>Done, take it from the screen</button>
    </div>
  </section>`;
}
