import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "./address.js";
import { pathOf } from "./api.js";
import { confirmAction } from "./confirm.js";

/** Change, hibernate, wake and stop. What a rollout owns is changed at the rollout, and a session at the session. */
export function drawWorkloadActions({ workload, box, desired, owner }, { api, session, attempt }, onStopped) {
  if (!session.may("operator") || workload.kind === "session") return nothing;
  const { id } = workload;
  const path = pathOf("v1", "boxes", box, "workloads", id);
  const stop = async () => {
    const agreed = await confirmAction({
      title: `Stop ${id} on ${box}?`,
      text: "It is taken out of what the box should run. To have it back, start it again.",
      action: "Stop",
    });
    if (agreed && (await attempt(`${id}: asked to stop`, () => api.remove(path)))) onStopped?.();
  };
  const sleep = () => attempt(`${id}: asked to hibernate`, () => api.post(`${path}/hibernate`));
  const wake = () => attempt(`${id}: asked to wake`, () => api.post(`${path}/wake`));
  const isOwn = owner === undefined;
  return html`<div class="actions row-actions">
    ${
      isOwn && workload.kind === "stream"
        ? html`<a class="button" aria-label=${`Change ${id}`} href=${hashOf("boxes", box, "workloads", id, "edit")}>Change</a>`
        : nothing
    }
    ${
      desired === "running"
        ? html`<button type="button" aria-label=${`Hibernate ${id}`} @click=${sleep}>Hibernate</button>`
        : html`<button type="button" class="primary" aria-label=${`Wake ${id}`} @click=${wake}>Wake</button>`
    }
    ${isOwn ? html`<button type="button" aria-label=${`Stop ${id}`} @click=${stop}>Stop</button>` : nothing}
  </div>`;
}
