import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { bytesText } from "../shared/quantity.js";
import { hashOf } from "./address.js";
import { drawFacts } from "./facts.js";
import { drawAgo } from "./time.js";
import { drawState } from "./tone.js";
import { attackText, mbitText, pinText } from "./tunnel-text.js";

/** One end of a tunnel: where it stands, which keys it has loaded, and the last proof with everything that it refused. */
export function drawTunnelEnd({ role, box, end }, nowMs) {
  const title = role === "producer" ? "Producer" : "Consumer";
  return html`<section class="card" aria-label=${`${title}: ${box}`} data-end=${role}>
    <div class="section-head"><h2>${title} <a href=${hashOf("boxes", box)}>${box}</a></h2>
      <div class="row-states">${drawState(end?.phase ?? "not reported")}</div></div>
    ${
      end === undefined
        ? html`<p class="empty">Its box has said nothing of it yet.</p>`
        : html`
          ${end.reason === undefined ? nothing : html`<p class="cause" data-tone=${end.phase === "down" ? "bad" : "warn"}>${end.reason}</p>`}
          ${drawFacts([
            ["since", drawAgo(end.since, nowMs)],
            ["TLS", end.minTls === "1.3" ? "1.3 only" : "1.2 or newer"],
            ["connections", end.connections === undefined ? undefined : String(end.connections)],
            ["latency", end.latencyMs === undefined ? undefined : `${Math.round(end.latencyMs * 10) / 10} ms`],
            ["rate", end.bitsPerSecond === undefined ? undefined : mbitText(end.bitsPerSecond / 1e6)],
            ["carried", end.bytes === undefined ? undefined : bytesText(end.bytes)],
            ["presents", end.presents === undefined ? undefined : drawPin(end.presents)],
            [
              "accepts",
              end.accepts === undefined
                ? undefined
                : end.accepts.length === 0
                  ? "nobody yet"
                  : end.accepts.map(drawPin),
            ],
          ])}
          ${drawProof(end.proof, nowMs)}`
    }
  </section>`;
}

function drawProof(proof, nowMs) {
  if (proof === undefined) return html`<p class="empty">Not proved yet.</p>`;
  const { at, tookMs, protocol, cipher, peer, through, attacks } = proof;
  const refused = attacks.filter(({ isRefused }) => isRefused).length;
  return html`
    <h3>Proof</h3>
    ${drawFacts([
      ["when", drawAgo(at, nowMs)],
      ["took", `${Math.round(tookMs)} ms`],
      ["protocol", protocol],
      ["cipher", cipher],
      ["peer", peer === undefined ? undefined : drawPin(peer)],
      [
        "came through",
        through === undefined
          ? undefined
          : through === "byte"
            ? "a byte of the source's"
            : "the handshake with the peer",
      ],
      ["attacks refused", `${refused} of ${attacks.length}`],
    ])}
    ${
      attacks.length === 0
        ? nothing
        : html`<div class="scroll" tabindex="0" role="group" aria-label="Attacks on itself"><table>
          <thead><tr><th scope="col">attack on itself</th><th scope="col">ended</th><th scope="col">how</th></tr></thead>
          <tbody>${attacks.map(
            ({ attack, isRefused, how }) => html`<tr><td>${attackText(attack)}</td>
              <td><span class="state" data-tone=${isRefused ? "good" : "bad"}>${isRefused ? "refused" : "got through"}</span></td>
              <td>${how}</td></tr>`,
          )}</tbody></table></div>`
    }`;
}

function drawPin(pin) {
  return html`<code class="pin" title=${pin}>${pinText(pin)}</code> `;
}
