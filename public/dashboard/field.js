import { html, nothing } from "/vendor/lit-html/lit-html.js";

/**
 * One labelled input with its hint and the hub's message about it.
 *
 * @param {object} problem of `createFormProblem`
 * @param {{name: string, label: string, value?: string, hint?: string, type?: string, placeholder?: string,
 *   required?: boolean, list?: string, inputmode?: string, onInput?: (value: string) => void}} field
 */
export function drawField(problem, field) {
  const { name, label, hint, type = "text", value, placeholder, required = false, list, inputmode, onInput } = field;
  return html`<div class="field">
    <label for=${`field-${name}`}>${label}</label>
    <input id=${`field-${name}`} name=${name} type=${type} ?required=${required} autocomplete="off" spellcheck="false"
      placeholder=${placeholder ?? nothing} list=${list ?? nothing} inputmode=${inputmode ?? nothing} .defaultValue=${value ?? ""}
      aria-invalid=${problem.isAt(name) ? "true" : nothing} aria-describedby=${describedBy(problem, field)}
      @input=${onInput === undefined ? nothing : (event) => onInput(event.target.value)}>
    ${hint === undefined ? nothing : html`<span class="hint" id=${`hint-${name}`}>${hint}</span>`}
    ${problem.draw(name)}
  </div>`;
}

/** A labelled choice; with a hint it is as wide as an input. */
export function drawSelect(problem, { name, label, options, value, hint, onChange }) {
  return html`<div class=${hint === undefined ? "field narrow" : "field"}>
    <label for=${`field-${name}`}>${label}</label>
    <select id=${`field-${name}`} name=${name} aria-invalid=${problem.isAt(name) ? "true" : nothing}
      aria-describedby=${describedBy(problem, { name, hint })}
      @change=${onChange === undefined ? nothing : (event) => onChange(event.target.value)}>
      ${options.map(([key, text]) => html`<option value=${key} ?selected=${key === value}>${text}</option>`)}
    </select>
    ${hint === undefined ? nothing : html`<span class="hint" id=${`hint-${name}`}>${hint}</span>`}
    ${problem.draw(name)}
  </div>`;
}

/** Where its hint and its problem stand, for who hears the page. */
function describedBy(problem, { name, hint }) {
  const ids = [...(hint === undefined ? [] : [`hint-${name}`]), ...(problem.isAt(name) ? [`problem-${name}`] : [])];
  return ids.length === 0 ? nothing : ids.join(" ");
}
