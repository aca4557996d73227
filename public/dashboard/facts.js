import { html } from "/vendor/lit-html/lit-html.js";

/** Pairs of a name and a value, without those that have none. */
export function drawFacts(pairs) {
  return html`<dl class="facts">
    ${pairs
      .filter(([, value]) => value !== undefined && value !== "")
      .map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

export function drawLabels(labels) {
  return Object.entries(labels).map(
    ([key, value]) => html`<span class="label">${value === "" ? key : `${key}=${value}`}</span>`,
  );
}

export function percentText(value) {
  return value === undefined ? undefined : `${Math.round(value)} %`;
}
