import { oneLine } from "../base/log.ts";
import type { TunnelView } from "../contract/fleet/tunnel.ts";
import type { TunnelStatus } from "../contract/tunnel-status.ts";
import { formatAge, formatBytes } from "./duration.ts";
import { countOf, type View } from "./output.ts";
import type { Tone } from "./paint.ts";
import { renderTable } from "./render-table.ts";

const TONES: Readonly<Record<TunnelView["phase"], Tone>> = {
  requested: "warn",
  prepared: "warn",
  linked: "warn",
  up: "good",
  degraded: "bad",
  down: "bad",
  ending: "quiet",
};

export function renderTunnels(tunnels: readonly TunnelView[], view: View): string {
  if (tunnels.length === 0) return "no tunnel\n";
  return renderTable(
    tunnels,
    [
      { head: "UID", text: ({ uid }) => uid, rank: 9, least: 8 },
      { head: "NAME", text: ({ name }) => name, rank: 4, least: 8 },
      { head: "PHASE", text: ({ phase }) => phase, tone: ({ phase }) => TONES[phase], rank: 9 },
      { head: "FOR", text: ({ since }) => formatAge(since, view.nowMs), align: "right", rank: 6 },
      { head: "PRODUCER", text: ({ producer }) => producer, rank: 8, least: 8 },
      { head: "CONSUMER", text: ({ consumer }) => consumer, rank: 8, least: 8 },
      { head: "ENTRY", text: entryOf, rank: 7, least: 14 },
      { head: "MBIT/S", text: ({ measuredMbit }) => measuredMbit, align: "right", rank: 5 },
      { head: "REASON", text: ({ reason }) => reason, rank: 3, least: 16 },
    ],
    view,
  );
}

function entryOf({ ways }: TunnelView): string {
  const [first] = ways;
  return `${first?.entry ?? ""}${ways.length > 1 ? ` and ${ways.length - 1} more` : ""}`;
}

/** The ways through, one a line. */
export function renderWays({ ways }: TunnelView): string {
  return ways.map(({ entry, gateway, source }) => `  ${entry} → ${gateway} → ${source}\n`).join("");
}

/** Everything about one tunnel, with the evidence that it is what it says. */
export function renderTunnel(tunnel: TunnelView, { paint, nowMs }: View): string {
  const { uid, name, phase, reason, since, steps, security, minTls, keys, ends } = tunnel;
  const took = steps.map((step) => `${step.phase} ${formatMs(step.afterMs)}`).join(", ");
  const rate = tunnel.rateMbit === undefined ? "" : `, promised ${tunnel.rateMbit}`;
  const told: (readonly [string, string | undefined])[] = [
    ["reason", reason],
    ["boxes", `${tunnel.producer} (producer) to ${tunnel.consumer} (consumer)`],
    ["took", took],
    [
      "Mbit/s",
      tunnel.measuredMbit === undefined && rate === "" ? undefined : `${tunnel.measuredMbit ?? "?"} measured${rate}`,
    ],
    ["ends", tunnel.endsAt],
    [
      "keys",
      `${security === "cert" ? "a certificate each" : "one shared key"}, generation ${keys.generation}, since ${keys.since}${keys.isRotating ? ", being changed" : ""}; TLS ${minTls} or later`,
    ],
  ];
  const head = `tunnel       ${paint("strong", uid)}${name === undefined ? "" : ` (${oneLine(name)})`}\n`;
  const state = `phase        ${paint(TONES[phase], phase)} for ${formatAge(since, nowMs) ?? "?"}\n`;
  return [
    head,
    state,
    ...told.flatMap(([label, text]) => (text === undefined ? [] : [`${label.padEnd(13)}${oneLine(text)}\n`])),
    `ways, from entry through gateway to source:\n${renderWays(tunnel)}`,
    ...(["producer", "consumer"] as const).map((role) =>
      renderEnd(role, tunnel[role], { end: ends[role], paint, nowMs }),
    ),
  ].join("");
}

function renderEnd(
  role: string,
  boxId: string,
  { end, paint, nowMs }: Pick<View, "paint" | "nowMs"> & { readonly end: TunnelStatus | undefined },
): string {
  const head = `${role}'s end, on ${paint("strong", boxId)}: `;
  if (end === undefined) return `${head}nothing was told of it yet\n`;
  const { proof } = end;
  const figures = [
    end.latencyMs === undefined ? undefined : `handshake ${formatMs(end.latencyMs)}`,
    end.connections === undefined ? undefined : countOf(end.connections, "connection"),
    end.bytes === undefined ? undefined : formatBytes(end.bytes),
  ].filter((text) => text !== undefined);
  const lines: (readonly [string, string | undefined])[] = [
    ["figures", figures.length === 0 ? undefined : figures.join(", ")],
    ["presents", end.presents],
    ["accepts", end.accepts?.join(", ")],
    [
      "proved",
      proof === undefined ? "not yet" : `${formatAge(proof.at, nowMs) ?? "?"} ago, in ${formatMs(proof.tookMs)}`,
    ],
    ["cipher", proof?.cipher === undefined ? undefined : `${proof.protocol ?? ""} ${proof.cipher}`.trim()],
    ["peer", proof?.peer],
    ["through", proof?.through],
    ...(proof?.attacks ?? []).map(
      ({ attack, isRefused, how }) =>
        [
          "attack",
          `${attack}: ${paint(isRefused ? "good" : "bad", isRefused ? "refused" : "LET IN")}, ${oneLine(how)}`,
        ] as const,
    ),
  ];
  const tone = TONES[end.phase === "preparing" ? "requested" : end.phase];
  return [
    `${head}${paint(tone, end.phase)}${end.reason === undefined ? "" : `, ${oneLine(end.reason)}`}\n`,
    ...lines.flatMap(([label, text]) => (text === undefined ? [] : [`  ${label.padEnd(11)}${text}\n`])),
  ].join("");
}

/** `85 ms`, `1.2 s` */
export function formatMs(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
