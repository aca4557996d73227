import { html } from "/vendor/lit-html/lit-html.js";
import { secondsText } from "../shared/quantity.js";

/** `4 min 2 s ago`, with the whole time for who points at it. */
export function drawAgo(iso, nowMs) {
  if (iso === undefined) return "never";
  return html`<time datetime=${iso} title=${new Date(iso).toLocaleString()}
    >${secondsText((nowMs - Date.parse(iso)) / 1000)} ago</time>`;
}

export function drawTime(iso) {
  if (iso === undefined) return "";
  return html`<time datetime=${iso}>${new Date(iso).toLocaleString([], { hour12: false })}</time>`;
}

/** `2 min 3 s`, or how long it has gone on. */
export function spanText({ start, end }, nowMs) {
  const seconds = ((end === undefined ? nowMs : Date.parse(end)) - Date.parse(start)) / 1000;
  return end === undefined ? `${secondsText(seconds)} so far` : secondsText(seconds);
}
