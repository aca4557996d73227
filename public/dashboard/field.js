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
  const described = [hint === undefined ? "" : `hint-${name}`, problem.isAt(name) ? `problem-${name}` : ""]
    .join(" ")
    .trim();
  return html`<div class="field">
    <label for=${`field-${name}`}>${label}</label>
    <input id=${`field-${name}`} name=${name} type=${type} ?required=${required} autocomplete="off" spellcheck="false"
      placeholder=${placeholder ?? nothing} list=${list ?? nothing} inputmode=${inputmode ?? nothing} .defaultValue=${value ?? ""}
      aria-invalid=${problem.isAt(name) ? "true" : nothing} aria-describedby=${described === "" ? nothing : described}
      @input=${onInput === undefined ? nothing : (event) => onInput(event.target.value)}>
    ${hint === undefined ? nothing : html`<span class="hint" id=${`hint-${name}`}>${hint}</span>`}
    ${problem.draw(name)}
  </div>`;
}

export function drawSelect(problem, { name, label, options, value, onChange }) {
  return html`<div class="field narrow">
    <label for=${`field-${name}`}>${label}</label>
    <select id=${`field-${name}`} name=${name} aria-invalid=${problem.isAt(name) ? "true" : nothing}
      @change=${onChange === undefined ? nothing : (event) => onChange(event.target.value)}>
      ${options.map(([key, text]) => html`<option value=${key} ?selected=${key === value}>${text}</option>`)}
    </select>
    ${problem.draw(name)}
  </div>`;
}
