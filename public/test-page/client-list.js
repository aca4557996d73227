import { byId, createKeyedList, element, setText } from "../shared/element.js";
import { ageSeconds, bytesText, secondsText } from "../shared/quantity.js";

/** Who is connected to the events, and what its agent last reported of itself. */
export function createClientList() {
  const render = createKeyedList(
    byId("clients"),
    ({ client }) => String(client.id),
    ({ client }) => createItem(client),
  );
  return ({ clients, reports }) => {
    const soleReport = clients.length === 1 && reports.length === 1 ? reports[0] : undefined;
    render(
      clients.map((client) => ({
        client,
        received:
          reports.find(({ report }) => report.boxId === client.box) ??
          (client.box === undefined ? soleReport : undefined),
      })),
    );
    byId("no-clients").hidden = clients.length > 0;
  };
}

function createItem(client) {
  const name = element("b");
  const mark = element("span", { class: "state", "data-tone": "bad", hidden: true }, "silent");
  const line = element("p", { class: "facts-line" });
  const about = element("p", { class: "facts-line" });
  const node = element(
    "li",
    { "data-client": client.id },
    element("div", { class: "card-head" }, name, mark),
    line,
    about,
  );
  return {
    node,
    update: ({ client, received }) => {
      setText(name, client.box ?? received?.report.boxId ?? client.userAgent ?? "somebody");
      mark.hidden = !client.silent;
      const cursor = client.lastEventId === undefined ? "no cursor" : `after ${client.lastEventId}`;
      const form = client.form === "typed" ? cursor : `${client.form} form`;
      const sent = `${client.events} events, ${bytesText(client.bytes)}`;
      setText(line, `${client.address} · ${secondsText(ageSeconds(client.since))} · ${form} · ${sent}`);
      about.hidden = received === undefined;
      if (received !== undefined) setText(about, reportText(received));
    },
  };
}

function reportText({ receivedAt, report }) {
  const bad = Object.values(report.link.badEvents).reduce((sum, count) => sum + count, 0);
  const parts = [
    `agent ${report.agentVersion}`,
    `link ${report.link.state}`,
    `${report.link.connects} connects`,
    ...(bad > 0 ? [`${bad} bad events skipped`] : []),
    ...(report.applied.revision === undefined ? [] : [`applied revision ${report.applied.revision}`]),
    `reported ${secondsText(ageSeconds(receivedAt))} ago`,
  ];
  return parts.join(" · ");
}
