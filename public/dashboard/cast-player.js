import { shortenPauses, sizeOf } from "./cast.js";

/** Written to the screen at a time, so that the page goes on meanwhile. */
const PIECE_CHARACTERS = 128 * 1024;

/**
 * Plays a recording on a screen. `state`: `at` and `seconds` of the recording, `isPlaying`, `speed`, `isShort` (pauses are shortened),
 * `isSeeking` while it draws all that came before.
 *
 * @param {object} options
 * @param {object} options.cast of `parseCast`
 * @param {object} options.screen of `terminal-frame.js`
 * @param {() => void} options.onChange
 * @param {() => number} [options.nowMs]
 * @param {(call: () => void) => void} [options.later] calls back a moment later
 */
export function createCastPlayer({ cast, screen, onChange, nowMs = () => performance.now(), later = defaultLater }) {
  const short = shortenPauses(cast.events);
  let events = cast.events;
  /** The next event that has not been drawn. */
  let next = 0;
  let lastMs = 0;
  /** Of what is drawn now; a later wish ends it. */
  let turn = 0;
  let isDrawing = false;
  let isClosed = false;
  const secondsOf = () => events.at(-1)?.at ?? 0;
  const state = { at: 0, seconds: secondsOf(), isPlaying: false, speed: 1, isShort: false, isSeeking: false };

  const set = (change) => {
    Object.assign(state, change);
    onChange();
  };
  const write = (text) => new Promise((done) => screen.write(text, done));
  const begin = () => {
    screen.clear();
    screen.fix({ cols: cast.width, rows: cast.height });
    next = 0;
  };
  /** Everything up to the moment that is shown. */
  const draw = async () => {
    const mine = turn;
    isDrawing = true;
    while (mine === turn && next < events.length && events[next].at <= state.at) {
      if (events[next].kind === "r") {
        screen.fix(sizeOf(events[next].data));
        next++;
        continue;
      }
      let text = "";
      while (events[next]?.kind === "o" && events[next].at <= state.at && text.length < PIECE_CHARACTERS) {
        text += events[next].data;
        next++;
      }
      await write(text);
    }
    if (mine === turn) isDrawing = false;
  };
  const tick = () => {
    if (isClosed || !state.isPlaying) return;
    const now = nowMs();
    // A screen that is slower than the recording holds it up, so that nothing is left out.
    if (!isDrawing) {
      const at = Math.min(state.seconds, state.at + ((now - lastMs) / 1000) * state.speed);
      set({ at, isPlaying: at < state.seconds });
      void draw();
    }
    lastMs = now;
    if (state.isPlaying) later(tick);
  };
  const seek = async (at) => {
    const target = Math.min(Math.max(0, at), state.seconds);
    turn++;
    const mine = turn;
    set({ at: target, isSeeking: true });
    // What is on its way to the screen comes first.
    await write("");
    if (mine !== turn) return;
    if (next > 0 && events[next - 1].at > target) begin();
    await draw();
    if (mine !== turn) return;
    lastMs = nowMs();
    set({ isSeeking: false });
  };
  begin();

  return {
    state,
    play: async () => {
      if (state.isPlaying) return;
      if (state.at >= state.seconds) await seek(0);
      lastMs = nowMs();
      set({ isPlaying: true });
      later(tick);
    },
    pause: () => set({ isPlaying: false }),
    seek,
    setSpeed: (speed) => set({ speed }),
    /** What is shown stays; it is then at another time. */
    shorten: (isShort) => {
      const shown = Math.max(0, next - 1);
      events = isShort ? short : cast.events;
      set({ isShort, seconds: secondsOf(), at: next === 0 ? 0 : (events[shown]?.at ?? 0) });
    },
    close: () => {
      isClosed = true;
      turn++;
    },
  };
}

function defaultLater(call) {
  setTimeout(call, 30);
}
