import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { pathOf } from "./api.js";
import { confirmAction } from "./confirm.js";
import { isOver, nounOf, placeText } from "./transfer-text.js";

/** Ends a transfer, has a failed one go on, or forgets one that is over. Viewers get nothing. */
export function drawTransferActions(transfer, { api, session, attempt }, onGone) {
  const { request_id: id, state, destination_box, destination_path } = transfer;
  if (!session.may("operator") || state === "CANCELLED") return nothing;
  const remove = (what) => attempt(what, () => api.remove(pathOf("sync", id)));
  const cancel = async () => {
    const agreed = await confirmAction({
      title: `Cancel the ${nounOf(transfer)} ${id}?`,
      text:
        transfer.mode === "verify"
          ? "It has written nothing, and leaves nothing."
          : `Files that have arrived whole stay at ${placeText(destination_box, destination_path)}; what is half there is removed.`,
      action: "Cancel it",
    });
    if (agreed) await remove(`${id}: asked to end`);
  };
  const retry = () => attempt(`${id}: it goes on`, () => api.post(pathOf("sync", id, "retry")));
  const forget = async () => {
    if (await remove(`${id}: forgotten`)) onGone?.();
  };
  return html`<div class="actions row-actions">${
    isOver(transfer)
      ? html`${state === "FAILED" ? html`<button type="button" aria-label=${`Retry ${id}`} @click=${retry}>Retry</button>` : nothing}
          <button type="button" aria-label=${`Forget ${id}`} @click=${forget}>Forget</button>`
      : html`<button type="button" class="danger" aria-label=${`Cancel ${id}`} @click=${cancel}>Cancel</button>`
  }</div>`;
}
