import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { createAlertRuleForm } from "../alert-rule-form.js";
import { pathOf } from "../api.js";
import { confirmAction } from "../confirm.js";
import { drawTable } from "../history.js";
import { drawAgo, drawTime } from "../time.js";
import { drawState } from "../tone.js";

const LIMIT = 500;

/** What fires now, the rules behind it, and what was sent. */
export function createAlertsView(context) {
  const { api, session, attempt } = context;
  const form = createAlertRuleForm(context);
  let alerts;
  let hasMore = false;
  let rules;
  let deliveries;

  const remove = async ({ id }) => {
    const agreed = await confirmAction({
      title: `Remove the rule ${id}?`,
      text: "Its alerts end with it.",
      action: "Remove",
    });
    if (agreed) await attempt(`${id} is removed`, () => api.remove(pathOf("v1", "alert-rules", id)));
  };

  return {
    title: "Alerts",
    load: async (signal) => {
      const pages = await Promise.all(
        ["/v1/alerts", "/v1/alert-rules", "/v1/deliveries"].map((path) => api.get(path, { limit: LIMIT }, signal)),
      );
      [alerts, rules, deliveries] = pages.map(({ items }) => items);
      hasMore = pages[0].next !== undefined;
    },
    hears: ({ kind }) => kind.startsWith("alert"),
    announces: () => [
      ["alerts", alerts.length === 0 ? "Nothing fires" : `Firing: ${alerts.map(({ subject }) => subject).join(", ")}`],
    ],
    draw: () => {
      if (rules === undefined) return html`<p class="empty">Asking the hub…</p>`;
      const nowMs = api.nowMs();
      return html`
        <section aria-labelledby="firing-title">
          <h2 id="firing-title">Now <span class="soft">${alerts.length === 0 ? nothing : hasMore ? `the first ${alerts.length}` : alerts.length}</span></h2>
          ${alerts.length === 0 ? html`<p class="empty card">Nothing fires.</p>` : nothing}
          <ul class="rows" aria-label="Firing">${repeat(
            alerts,
            ({ rule, subject }) => `${rule} ${subject}`,
            ({ rule, subject, phase, since, text }) => html`<li class="card row-card" data-alert=${subject}>
              <div class="row-name"><b>${drawSubject(subject)}</b> <span class="soft">${rule}</span></div>
              <div class="row-states">${drawState(phase)}</div>
              <div class="row-facts"><span>since ${drawAgo(since, nowMs)}</span></div>
              <p class="cause">${text}</p>
            </li>`,
          )}</ul>
        </section>
        <section aria-labelledby="rules-title">
          <div class="section-head"><h2 id="rules-title">Rules</h2>
            ${session.may("operator") ? html`<button type="button" class="primary" @click=${() => form.open()}>New rule</button>` : nothing}</div>
          ${form.draw()}
          ${rules.length === 0 ? html`<p class="empty card">No rule yet: nobody is told of anything.</p>` : nothing}
          <ul class="rows" aria-label="Rules">${repeat(
            rules,
            ({ id }) => id,
            (rule) => html`<li class="card row-card" data-rule=${rule.id}>
              <div class="row-name"><b>${rule.id}</b> <span class="soft">${rule.condition}</span></div>
              <div class="row-states"><span class="state" data-tone=${rule.enabled ? "good" : "neutral"}>${rule.enabled ? "enabled" : "off"}</span></div>
              <div class="row-facts"><span>${rule.selector || "every box"}</span>
                <span>fires after ${rule.forSeconds} s, ends after ${rule.clearAfterSeconds} s</span>
                ${rule.condition === "disk-full" ? html`<span>from ${rule.threshold} %</span>` : nothing}
                <span>${rule.webhook.url}${rule.webhook.signed ? ", signed" : ""}</span></div>
              ${
                session.may("operator")
                  ? html`<div class="actions row-actions"><button type="button" aria-label=${`Change ${rule.id}`} @click=${() => form.open(rule)}>Change</button>
                    <button type="button" class="danger" aria-label=${`Remove ${rule.id}`} @click=${() => remove(rule)}>Remove</button></div>`
                  : nothing
              }
            </li>`,
          )}</ul>
        </section>
        ${drawTable({
          title: "Messages",
          none: "None was sent yet.",
          heads: ["made", "rule", "state", "attempts", "last error"],
          rows: deliveries.map(({ createdAt, rule, state, attempt: count, lastError }) => [
            drawTime(createdAt),
            rule,
            drawState(state),
            String(count),
            lastError ?? "",
          ]),
        })}
      `;
    },
  };
}

/** `box/north-1/cam-1` as a link to what it is about. */
function drawSubject(subject) {
  const [kind, box, workload] = subject.split("/");
  if (kind !== "box" || box === undefined) return subject;
  return workload === undefined
    ? html`<a href=${hashOf("boxes", box)}>${box}</a>`
    : html`<a href=${hashOf("boxes", box, "workloads", workload)}>${workload}</a> on <a href=${hashOf("boxes", box)}>${box}</a>`;
}
