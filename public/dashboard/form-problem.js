import { html, nothing } from "/vendor/lit-html/lit-html.js";

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

/**
 * Pure: the name that stands closest to the field, or `undefined`.
 *
 * @param {string | undefined} field `body.workload.spec.outputs[0].url`
 * @param {readonly string[]} names
 */
export function nearestName(field, names) {
  if (field === undefined) return undefined;
  const wanted = partsOf(field);
  let best;
  for (const name of names) {
    const parts = partsOf(name);
    const common = Math.min(parts.length, wanted.length);
    if (!parts.slice(0, common).every((part, index) => part === wanted[index])) continue;
    if (best === undefined || common > best.common) best = { name, common };
  }
  return best?.name;
}

/** The hub's messages begin with the field, which a person sees already. */
function withoutField({ message, field }) {
  const prefix = `${field}: `;
  return message.startsWith(prefix) ? message.slice(prefix.length) : message;
}

function partsOf(field) {
  return field
    .replace(/\[(\d+)\]/g, ".$1")
    .split(".")
    .filter((part) => part !== "" && part !== "body");
}
