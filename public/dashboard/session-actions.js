import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { pathOf } from "./api.js";
import { confirmAction } from "./confirm.js";

const ASLEEP = ["hibernated", "hibernating"];

/** Hibernate or wake, keep awake, stop. Viewers get nothing. */
export function drawSessionActions(view, { api, session, attempt }, onStopped) {
  const { id, name = id, state, power, wish } = view;
  if (!session.may("operator") || state === "stopping") return nothing;
  const path = pathOf("v1", "sessions", id);
  const hibernate = async () => {
    const isFrozen = wish.hibernation === "frozen";
    const agreed = await confirmAction({
      title: `Hibernate ${name}?`,
      text: isFrozen
        ? "It stands still and keeps its memory. Nobody can use it until it is woken."
        : "Its processes end and its files stay. What it holds in memory alone is lost, and who uses it is cut off.",
      action: "Hibernate",
    });
    if (agreed) await attempt(`${name}: asked to hibernate`, () => api.post(`${path}/hibernate`));
  };
  const wake = () => attempt(`${name}: asked to wake`, () => api.post(`${path}/wake`));
  const touch = () => attempt(`${name}: counts as used`, () => api.post(`${path}/touch`));
  const stop = async () => {
    const hasVolumes = (wish.volumes ?? []).some(({ hostPath }) => hostPath === undefined);
    const agreed = await confirmAction({
      title: `Stop ${name}?`,
      text: "It is ended and forgotten. To have it back, start it again.",
      action: "Stop",
      ...(hasVolumes ? { tick: "Delete its volumes too" } : {}),
    });
    if (agreed === false) return;
    const query = agreed.isTicked ? "?volumes=delete" : "";
    if (await attempt(`${name}: asked to stop`, () => api.remove(`${path}${query}`))) onStopped?.();
  };
  const sleeps = power.state === "hibernated" || ASLEEP.includes(state);
  return html`<div class="actions row-actions">
    ${
      sleeps || state === "ended"
        ? html`<button type="button" class="primary" aria-label=${`Wake ${name}`} @click=${wake}>${state === "ended" ? "Start again" : "Wake"}</button>`
        : ["unplaced", "refused"].includes(state)
          ? nothing
          : html`<button type="button" aria-label=${`Hibernate ${name}`} @click=${hibernate}>Hibernate</button>`
    }
    ${
      view.session?.idle === undefined || sleeps
        ? nothing
        : html`<button type="button" aria-label=${`Keep ${name} awake`} @click=${touch}>Keep awake</button>`
    }
    <button type="button" class="danger" aria-label=${`Stop ${name}`} @click=${stop}>Stop</button>
  </div>`;
}
