import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { pathOf } from "./api.js";
import { confirmAction } from "./confirm.js";

/** Change the keys of a tunnel, and end it. Viewers get nothing. */
export function drawTunnelActions(
  { uid, name = uid, producer, consumer, phase, keys },
  { api, session, attempt },
  onEnded,
) {
  if (!session.may("operator") || phase === "ending") return nothing;
  const path = pathOf("v1", "tunnels", uid);
  const rotate = () => attempt(`${name}: its keys are being changed`, () => api.post(`${path}/rotate`));
  const end = async () => {
    const agreed = await confirmAction({
      title: `End the tunnel ${name}?`,
      text: `It is taken from ${producer} and ${consumer}, and what is connected through it is cut. Its keys and ports are given up.`,
      action: "End it",
    });
    if (agreed && (await attempt(`${name}: asked to end`, () => api.remove(path)))) onEnded?.();
  };
  return html`<div class="actions row-actions">
    <button type="button" aria-label=${`Change the keys of ${name}`} ?disabled=${keys.isRotating} @click=${rotate}>Change keys</button>
    <button type="button" class="danger" aria-label=${`End ${name}`} @click=${end}>End</button>
  </div>`;
}
