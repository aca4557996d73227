import { html } from "/vendor/lit-html/lit-html.js";
import { createFormProblem } from "./form-problem.js";

/** What every form that asks the hub for something does when it is sent: once at a time, with the hub's message at its input. */
export function createFormSubmit(redraw) {
  const problem = createFormProblem(redraw);
  let isBusy = false;
  const run = async (form, send) => {
    // Two presses in one frame are one wish: the button is out of use only once it is drawn so.
    if (isBusy) return;
    problem.clear();
    isBusy = true;
    redraw();
    try {
      await send(form);
    } catch (error) {
      problem.show(error, form);
    }
    isBusy = false;
    redraw();
  };
  return {
    problem,
    run,
    /** @param {(form: HTMLFormElement) => Promise<void>} send what it throws is shown in the form */
    on: (send) => (event) => {
      event.preventDefault();
      return run(event.currentTarget, send);
    },
    /** The last line of the form; `beside` leaves it. */
    drawActions: (label, beside) => html`<div class="actions">
      <button type="submit" class="primary" ?disabled=${isBusy}>${label}</button>
      ${beside}</div>`,
  };
}
