import { element } from "../shared/element.js";

/**
 * Asks before something that is not taken back easily. Resolves with whether the person agreed; with `tick`, the words of a
 * choice beside it, agreement is `{isTicked}`.
 */
export function confirmAction({ title, text, action, tick }) {
  return new Promise((done) => {
    const cancel = element("button", { type: "submit", value: "no" }, "Cancel");
    const agree = element("button", { type: "submit", value: "yes", class: "primary danger" }, action);
    const box = element("input", { type: "checkbox" });
    const form = element(
      "form",
      { method: "dialog" },
      element("h2", { id: "confirm-title" }, title),
      element("p", {}, text),
      ...(tick === undefined ? [] : [element("label", { class: "check" }, box, tick)]),
      element("div", { class: "actions" }, cancel, agree),
    );
    const dialog = element("dialog", { class: "card", "aria-labelledby": "confirm-title" }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue === "yes" && { isTicked: box.checked });
    });
    document.body.append(dialog);
    dialog.showModal();
    cancel.focus();
  });
}
