import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { pathOf } from "../api.js";
import { drawLabels } from "../facts.js";
import { drawField, drawSelect } from "../field.js";
import { createFormSubmit } from "../form-submit.js";
import { parseLabels } from "../labels.js";
import { drawSecret } from "../secret-card.js";
import { drawAgo, drawTime } from "../time.js";

/** Lets new boxes in: one-time tokens, and boxes that wait for approval. */
export function createEnrolmentView({ api, session, redraw, reload, attempt }) {
  const sending = createFormSubmit(redraw);
  const { problem } = sending;
  let enrolments;
  let waiting;
  let created;

  const make = sending.on(async (form) => {
    const { box, labels, approve, expiresInSeconds } = form.elements;
    created = await api.post("/v1/enrolments", {
      body: {
        ...(box.value.trim() === "" ? {} : { box: box.value.trim() }),
        labels: parseLabels(labels.value),
        ...(approve.value === "" ? {} : { approve: approve.value === "true" }),
        expiresInSeconds: Number(expiresInSeconds.value),
      },
    });
    form.reset();
    void reload();
  });
  const approve = ({ id }) => attempt(`${id} is approved`, () => api.post(pathOf("v1", "boxes", id, "approve")));
  const remove = ({ id }) =>
    attempt("The token opens nothing any more", () => api.remove(pathOf("v1", "enrolments", id)));

  return {
    title: "Enrolment",
    load: async (signal) => {
      [enrolments, waiting] = (
        await Promise.all([api.get("/v1/enrolments", {}, signal), api.get("/v1/boxes", { state: "pending" }, signal)])
      ).map(({ items }) => items);
    },
    hears: ({ kind }) => kind.startsWith("box.") || kind.startsWith("enrol"),
    announces: () => [["waiting", `Boxes that wait for approval: ${waiting.map(({ id }) => id).join(", ") || "none"}`]],
    draw: () => html`
      ${
        created?.token === undefined
          ? nothing
          : drawSecret({
              title: "Run this on the box",
              text: `It works once, until ${new Date(created.expiresAt).toLocaleString()}. It is shown this once.`,
              secret: `sluice enrol ${created.token}`,
              onDone: () => {
                created = undefined;
                redraw();
              },
            })
      }
      <form class="card stack" @submit=${make} novalidate aria-label="New enrolment token">
        <h2>New token</h2>
        <div class="fields">
          ${drawField(problem, { name: "box", label: "Only for the box (may stay empty)", placeholder: "north-1" })}
          ${drawField(problem, { name: "labels", label: "Labels that the box gets", placeholder: "site=north, gpu" })}
          ${drawSelect(problem, {
            name: "approve",
            label: "The box works",
            value: "",
            options: [
              ["", "as the hub is set"],
              ["true", "at once"],
              ["false", "after approval"],
            ],
          })}
          ${drawSelect(problem, {
            name: "expiresInSeconds",
            label: "The token lasts",
            value: "86400",
            options: [
              ["3600", "an hour"],
              ["86400", "a day"],
              ["604800", "a week"],
              ["2592000", "30 days"],
            ],
          })}
        </div>
        ${problem.drawRest()}
        ${sending.drawActions("Make a token")}
      </form>
      <section aria-labelledby="waiting-title">
        <h2 id="waiting-title">Boxes that wait for approval</h2>
        ${waiting?.length === 0 ? html`<p class="empty card">None.</p>` : nothing}
        <ul class="rows" aria-label="Boxes that wait">${repeat(
          waiting ?? [],
          ({ id }) => id,
          (box) => html`<li class="card row-card" data-pending=${box.id}>
            <div class="row-name"><a href=${hashOf("boxes", box.id)}><b>${box.name}</b></a> <code>${box.id}</code></div>
            <div class="row-facts"><span>enrolled ${drawAgo(box.createdAt, api.nowMs())}</span></div>
            <div class="row-labels">${drawLabels(box.labels)}</div>
            ${
              session.may("admin")
                ? html`<div class="actions row-actions"><button type="button" class="primary" aria-label=${`Approve ${box.id}`} @click=${() => approve(box)}>Approve</button></div>`
                : html`<p class="hint">An admin approves it.</p>`
            }
          </li>`,
        )}</ul>
      </section>
      <section class="card" aria-labelledby="tokens-title">
        <h2 id="tokens-title">Tokens</h2>
        ${enrolments?.length === 0 ? html`<p class="empty">None.</p>` : nothing}
        <ul class="plain-list">${repeat(
          enrolments ?? [],
          ({ id }) => id,
          (token) => html`<li>
            <span>${token.box === undefined ? "any box" : html`<code>${token.box}</code>`}</span>
            <span class="row-labels">${drawLabels(token.labels)}</span>
            <span class="soft">${
              token.takenBy === undefined
                ? html`until ${drawTime(token.expiresAt)}`
                : html`taken by <a href=${hashOf("boxes", token.takenBy)}>${token.takenBy}</a> ${drawAgo(token.takenAt, api.nowMs())}`
            }</span>
            ${
              token.takenBy === undefined
                ? html`<button type="button" class="quiet danger" aria-label=${`Withdraw the token ${token.id}`} @click=${() => remove(token)}>Withdraw</button>`
                : nothing
            }
          </li>`,
        )}</ul>
      </section>
    `,
  };
}
