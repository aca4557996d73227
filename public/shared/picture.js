import { element, setText } from "./element.js";
import { socketLoaderOf } from "./socket-loader.js";

/** A picture that does not move for this long is fetched anew. */
const FROZEN_MS = 6000;
const LOOK_MS = 1000;
/** Further behind than this is not live: the player jumps to the end. */
const MAX_BEHIND_SECONDS = 3;

/**
 * The live picture of one stream. It follows its source by itself: waits for it, plays it muted, says that it ended, and
 * starts again after any failure.
 */
export function createPicture() {
  const video = element("video", { playsinline: true, "aria-label": "Live picture" });
  video.muted = true;
  const text = element("span");
  const cover = element("div", { class: "cover" }, text);
  const badge = element("span", { class: "live-badge" }, "live");
  const node = element("div", { class: "picture", "data-picture": "none" }, video, cover, badge);
  let player;
  let source;
  let idleText = "No picture yet";
  let movedAtMs = 0;
  let lastTime = -1;
  let hadPicture = false;

  const show = (state, message) => {
    node.dataset.picture = state;
    setText(text, message);
  };
  const close = () => {
    player?.destroy();
    player = undefined;
    lastTime = -1;
  };
  const open = () => {
    close();
    movedAtMs = performance.now();
    const { url, hasVideo, hasAudio } = source;
    const { protocol, pathname } = new URL(url);
    const type = /\.(?:ts|m2ts)$/.test(pathname) ? "mpegts" : "flv";
    player = window.mpegts.createPlayer(
      { type, isLive: true, url, ...(hasVideo === undefined ? {} : { hasVideo, hasAudio }) },
      {
        enableStashBuffer: false,
        lazyLoad: false,
        autoCleanupSourceBuffer: true,
        liveBufferLatencyChasing: true,
        liveBufferLatencyMaxLatency: MAX_BEHIND_SECONDS,
        liveBufferLatencyMinRemain: 0.5,
        ...(protocol.startsWith("ws") ? { customLoader: socketLoaderOf(window.mpegts) } : {}),
      },
    );
    const failed = player;
    const drop = () => {
      if (player === failed) close();
    };
    player.on(window.mpegts.Events.ERROR, drop);
    player.on(window.mpegts.Events.LOADING_COMPLETE, drop);
    player.attachMediaElement(video);
    player.load();
    // Refused while nothing has arrived or the page is in the background: `look` tries again.
    video.play().catch(() => undefined);
  };

  const look = () => {
    const nowMs = performance.now();
    if (video.currentTime !== lastTime) {
      if (lastTime >= 0 && video.readyState >= 2) hadPicture = true;
      lastTime = video.currentTime;
      movedAtMs = nowMs;
    }
    if (source?.isOn !== true) {
      close();
      if (hadPicture || source !== undefined) show("ended", "The stream ended");
      else show("none", idleText);
      return;
    }
    if (source.hasVideo === false) {
      show("none", source.hasAudio ? "Sound only" : "Connected, waiting for media");
      return;
    }
    const isMoving = video.readyState >= 2 && nowMs - movedAtMs < LOOK_MS * 2.5;
    if (player === undefined || nowMs - movedAtMs > FROZEN_MS) open();
    else if (video.paused) video.play().catch(() => undefined);
    if (isMoving && player !== undefined) show("live", "");
    else show("waiting", hadPicture ? "Waiting for the next picture" : "No picture yet");
  };
  const timer = setInterval(look, LOOK_MS);

  return {
    node,
    /**
     * @param {{url: string, isOn: boolean, connects?: number, hasVideo?: boolean, hasAudio?: boolean} | undefined} next
     *   `url`: FLV or MPEG-TS, over HTTP or a WebSocket; `connects`: connections of its publisher so far
     * @param {string} [whyNone] said where there is no source
     */
    update: (next, whyNone = "No picture yet") => {
      if (next?.url !== source?.url) {
        close();
        hadPicture = false;
      }
      // Another connection of the publisher: its clock starts anew, and so must the player.
      else if (next?.connects !== source?.connects) close();
      source = next;
      idleText = whyNone;
      look();
    },
    remove: () => {
      clearInterval(timer);
      close();
    },
  };
}
