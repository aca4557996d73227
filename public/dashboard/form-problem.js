import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { nearestName } from "./nearest-name.js";

/**
 * Shows the hub's own message at the input it is about. An input is known by its name, which is where its value stands in the
 * request (`workload.spec.input.url`); a message about what stands above or below it is shown there too.
 */
export function createFormProblem(redraw) {
  let problem;
  return {
    clear: () => {
      problem = undefined;
    },
    /** @param {HTMLFormElement} form gets the focus where the problem is */
    show: (error, form) => {
      const names = [...form.elements].map((input) => input.name).filter((name) => name !== undefined && name !== "");
      const name = nearestName(error.field, names);
      problem = { name, message: name === undefined ? error.message : withoutField(error) };
      redraw();
      const input = form.elements[name];
      const folded = input?.closest?.("details");
      if (folded) folded.open = true;
      input?.focus?.();
    },
    /** For `aria-invalid` and `aria-describedby`. */
    isAt: (name) => problem?.name === name,
    draw: (name) =>
      problem?.name === name
        ? html`<span class="field-problem" role="alert" id=${`problem-${name}`}>${problem.message}</span>`
        : nothing,
    /** What belongs to no input. */
    drawRest: () =>
      problem !== undefined && problem.name === undefined
        ? html`<p class="field-problem" role="alert">${problem.message}</p>`
        : nothing,
  };
}

/** The hub's messages begin with the field, which a person sees already. */
function withoutField({ message, field }) {
  const prefix = `${field}: `;
  return message.startsWith(prefix) ? message.slice(prefix.length) : message;
}
