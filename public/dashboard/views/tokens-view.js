import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { pathOf } from "../api.js";
import { confirmAction } from "../confirm.js";
import { drawField, drawSelect } from "../field.js";
import { createFormSubmit } from "../form-submit.js";
import { drawSecret } from "../secret-card.js";
import { drawAgo, drawTime } from "../time.js";
import { drawState } from "../tone.js";

const LIFETIMES = [
  ["", "until it is revoked"],
  ["86400", "a day"],
  ["2592000", "30 days"],
  ["31536000", "a year"],
];

/** Who may use this hub, and how much. */
export function createTokensView({ api, session, redraw, reload, attempt }) {
  const sending = createFormSubmit(redraw);
  const { problem } = sending;
  let tokens;
  let created;

  const make = sending.on(async (form) => {
    const { name, role, expiresInSeconds } = form.elements;
    const lifetime = expiresInSeconds.value === "" ? {} : { expiresInSeconds: Number(expiresInSeconds.value) };
    created = await api.post("/v1/tokens", { body: { name: name.value, role: role.value, ...lifetime } });
    form.reset();
    void reload();
  });
  const revoke = async (token) => {
    const agreed = await confirmAction({
      title: `Revoke the token of ${token.name}?`,
      text:
        token.id === session.whoami().tokenId
          ? "This is the token that you use."
          : "It opens nothing any more within seconds.",
      action: "Revoke",
    });
    if (agreed)
      await attempt(`The token of ${token.name} is revoked`, () => api.remove(pathOf("v1", "tokens", token.id)));
  };

  return {
    title: "Operator tokens",
    load: async (signal) => {
      const page = await api.get("/v1/tokens", { limit: 1000 }, signal);
      tokens = page.items;
    },
    hears: ({ kind }) => kind.startsWith("token"),
    draw: () => html`
      ${
        created?.token === undefined
          ? nothing
          : drawSecret({
              title: `Token of ${created.name}`,
              text: `Its role is ${created.role}. It is shown this once.`,
              secret: created.token,
              onDone: () => {
                created = undefined;
                redraw();
              },
            })
      }
      <form class="card stack" @submit=${make} novalidate aria-label="New operator token">
        <h2>New token</h2>
        <div class="fields">
          ${drawField(problem, { name: "name", label: "Whose it is", required: true })}
          ${drawSelect(problem, {
            name: "role",
            label: "Role",
            value: "viewer",
            options: [
              ["viewer", "viewer: looks"],
              ["operator", "operator: changes what runs"],
              ["admin", "admin: everything"],
            ],
          })}
          ${drawSelect(problem, { name: "expiresInSeconds", label: "It lasts", value: "", options: LIFETIMES })}
        </div>
        ${problem.drawRest()}
        ${sending.drawActions("Make a token")}
      </form>
      <ul class="rows" aria-label="Tokens">${repeat(
        tokens ?? [],
        ({ id }) => id,
        (token) => html`<li class="card row-card" data-token=${token.id}>
          <div class="row-name"><b>${token.name}</b>${token.id === session.whoami().tokenId ? html` <span class="soft">you</span>` : nothing}</div>
          <div class="row-states"><span class="state">${token.role}</span>${token.revokedAt === undefined ? nothing : drawState("revoked")}</div>
          <div class="row-facts">
            <span>used ${drawAgo(token.lastUsedAt, api.nowMs())}</span>
            <span>made ${drawAgo(token.createdAt, api.nowMs())}</span>
            ${token.expiresAt === undefined ? nothing : html`<span>ends ${drawTime(token.expiresAt)}</span>`}
          </div>
          ${
            token.revokedAt === undefined
              ? html`<div class="actions row-actions"><button type="button" class="danger" aria-label=${`Revoke ${token.name}`} @click=${() => revoke(token)}>Revoke</button></div>`
              : nothing
          }
        </li>`,
      )}</ul>
    `,
  };
}
