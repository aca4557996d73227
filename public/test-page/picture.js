import { element, setText } from "./element.js";

/** A picture that does not move for this long is fetched anew. */
const FROZEN_MS = 6000;
const LOOK_MS = 1000;
/** Further behind than this is not live: the player jumps to the end. */
const MAX_BEHIND_SECONDS = 3;

/**
 * The live picture of one stream key. It follows the publisher by itself: waits for it, plays it muted, says that it ended,
 * and starts again after any failure.
 */
export function createPicture() {
  const video = element("video", { playsinline: true, "aria-label": "Live picture" });
  video.muted = true;
  const text = element("span");
  const cover = element("div", { class: "cover" }, text);
  const badge = element("span", { class: "live-badge" }, "live");
  const node = element("div", { class: "picture", "data-picture": "none" }, video, cover, badge);
  let player;
  let key;
  let publisher;
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
    const url = new URL(`live/${key.split("/").map(encodeURIComponent).join("/")}.flv`, location.href);
    // A WebSocket, because a browser opens only six HTTP connections to one server.
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const hasAudio = publisher.audioCodec !== undefined;
    const source = { type: "flv", isLive: true, url: url.href, hasVideo: publisher.video !== undefined, hasAudio };
    player = window.mpegts.createPlayer(source, {
      enableStashBuffer: false,
      lazyLoad: false,
      autoCleanupSourceBuffer: true,
      liveBufferLatencyChasing: true,
      liveBufferLatencyMaxLatency: MAX_BEHIND_SECONDS,
      liveBufferLatencyMinRemain: 0.5,
    });
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
    if (publisher?.publishing !== true) {
      close();
      if (hadPicture || publisher !== undefined) show("ended", "The stream ended");
      else show("none", key === undefined ? "Its output does not come here" : "No picture yet");
      return;
    }
    if (publisher.video === undefined) {
      show("none", publisher.audioCodec === undefined ? "Connected, waiting for media" : "Sound only");
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
    /** `app/key`, where the stream comes to this server, and what the server says of its publisher. */
    update: (nextKey, nextPublisher) => {
      if (nextKey !== key) {
        close();
        hadPicture = false;
      }
      // Another connection of the publisher: its clock starts anew, and so must the player.
      else if (nextPublisher?.connects !== publisher?.connects) close();
      key = nextKey;
      publisher = nextPublisher;
      look();
    },
    remove: () => {
      clearInterval(timer);
      close();
    },
  };
}
