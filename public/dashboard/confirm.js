import { element } from "../shared/element.js";

/** Asks before something that is not taken back easily. Resolves with whether the person agreed. */
export function confirmAction({ title, text, action }) {
  return new Promise((done) => {
    const cancel = element("button", { type: "submit", value: "no" }, "Cancel");
    const agree = element("button", { type: "submit", value: "yes", class: "primary danger" }, action);
    const form = element(
      "form",
      { method: "dialog" },
      element("h2", { id: "confirm-title" }, title),
      element("p", {}, text),
      element("div", { class: "actions" }, cancel, agree),
    );
    const dialog = element("dialog", { class: "card", "aria-labelledby": "confirm-title" }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
    cancel.focus();
  });
}
