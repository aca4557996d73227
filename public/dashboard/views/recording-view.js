import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { pathOf } from "../api.js";
import { parseCast } from "../cast.js";
import { createCastPlayer } from "../cast-player.js";
import { clockOf } from "../remote-text.js";
import { createTerminalScreen } from "../terminal-screen.js";
import { drawTime } from "../time.js";

const SPEEDS = [0.5, 1, 2, 4, 8, 16];
const STEP_SECONDS = 5;

/** Plays what a terminal has shown. */
export function createRecordingView({ api, params, signal, redraw }) {
  const { id } = params;
  const path = pathOf("v1", "remote", "recordings", id);
  const screen = createTerminalScreen({ label: "Playback of the recorded terminal" });
  let text;
  let cast;
  let player;

  const open = async () => {
    const response = await api.download(path, signal);
    text = await response.text();
    cast = parseCast(text);
    const shown = await screen.loaded;
    if (signal.aborted) return;
    shown.shut(true);
    player = createCastPlayer({ cast, screen: shown, onChange: redraw });
    void player.play();
    redraw();
  };
  const save = () => {
    const address = URL.createObjectURL(new Blob([text], { type: "application/x-asciicast" }));
    const link = document.createElement("a");
    link.href = address;
    link.download = `${cast.sluice?.box ?? "terminal"}-${id}.cast`;
    link.click();
    URL.revokeObjectURL(address);
  };
  let opening;

  return {
    title: () => (cast?.sluice === undefined ? "Recording" : `Recording of ${cast.sluice.box}`),
    load: () => {
      opening ??= open().catch((error) => {
        opening = undefined;
        throw error;
      });
      return opening;
    },
    hears: () => false,
    close: () => player?.close(),
    draw: () => html`
      <section class="card terminal-card" aria-label="Recording" data-recording=${id}>
        <p class="soft">${cast === undefined ? "Asking the hub…" : drawAbout(cast)}</p>
        ${screen.node}
        ${player === undefined ? nothing : drawControls(player)}
        <div class="actions wrap">
          <button type="button" ?disabled=${text === undefined} @click=${save}>Save as asciicast</button>
          <a href="#/remote">All remote sessions</a>
        </div>
      </section>
    `,
  };
}

function drawAbout({ sluice, timestamp, events }) {
  if (sluice === undefined) return nothing;
  const { operator, box } = sluice;
  return html`${operator} on <a href=${hashOf("boxes", box)}>${box}</a>, ${drawTime(new Date(timestamp * 1000).toISOString())},
    ${clockOf(events.at(-1)?.at ?? 0)} long. What was typed is in it only where the shell has shown it.`;
}

function drawControls(player) {
  const { at, seconds, isPlaying, speed, isShort, isSeeking } = player.state;
  const shown = `${clockOf(at)} of ${clockOf(seconds)}`;
  return html`<div class="player" role="group" aria-label="Playback">
    <button type="button" class="primary" @click=${() => (isPlaying ? player.pause() : player.play())}>${isPlaying ? "Pause" : "Play"}</button>
    <button type="button" aria-label=${`Back ${STEP_SECONDS} seconds`} @click=${() => player.seek(at - STEP_SECONDS)}>−${STEP_SECONDS} s</button>
    <button type="button" aria-label=${`Forward ${STEP_SECONDS} seconds`} @click=${() => player.seek(at + STEP_SECONDS)}>+${STEP_SECONDS} s</button>
    <input type="range" aria-label="Position" aria-valuetext=${shown} min="0" max=${seconds} step="any" .value=${String(at)}
      @input=${(event) => void player.seek(Number(event.target.value))}>
    <span class="player-time" data-at=${at.toFixed(1)}>${isSeeking ? "drawing… " : ""}${shown}</span>
    <label class="inline">Speed
      <select @change=${(event) => player.setSpeed(Number(event.target.value))}>
        ${SPEEDS.map((one) => html`<option value=${one} ?selected=${one === speed}>${one} ×</option>`)}
      </select></label>
    <label class="check"><input type="checkbox" .checked=${isShort} @change=${(event) => player.shorten(event.target.checked)}>Shorten pauses</label>
  </div>`;
}
