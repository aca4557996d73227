/** Of `src/contract/fleet/remote-terminal.ts`. */
export const TERMINAL_PROTOCOL = "sluice.terminal.v1";
export const WINDOW_BYTES = 256 * 1024;

const PIECE_BYTES = 32 * 1024;
/** What is typed and has not arrived. A person types less; a paste may be more. */
const MAX_TYPED_BYTES = 4 * 1024 * 1024;
/** The hub says something every 10 s. */
const SILENCE_MS = 25_000;
/** The hub waits 30 s for a page that it takes for gone, and needs a while to take it for gone. */
const AWAY_MS = 60_000;
const RETRY_MS = { first: 250, most: 4000 };
/** On the way back these may pass. */
const PASSING = [4429, 4503];

/**
 * The page's end of a shell on a box, over as many connections as it takes: both directions count their bytes, so that nothing is lost
 * and nothing comes twice.
 *
 * `phase` of its state: `connecting`, `open`, `away` (the hub cannot be reached, and is tried again), `over`.
 *
 * @param {object} options
 * @param {() => WebSocket} options.connect
 * @param {object} options.wish of the first message, without its size
 * @param {string} [options.known] the shell that this page had before it was loaded anew; nothing is asked for then but that one
 * @param {() => {token: string, cols: number, rows: number}} options.facts
 * @param {(bytes: Uint8Array, shown: () => void) => void} options.onOutput
 * @param {() => void} options.onChange
 */
export function createTerminalLink({ connect, wish, known, facts, onOutput, onChange }) {
  const state = { phase: "connecting", note: "", id: known, isRecorded: false };
  let id = known;
  let socket;
  /** Unknown until the hub has told what it shows first. */
  let received = known === undefined ? 0 : undefined;
  let shown = 0;
  /** What programs ask of a terminal up to here was answered by the page before this one. */
  let answeredUntil = 0;
  let acknowledged = 0;
  /** What has been typed and has not arrived, and where it begins. */
  let pending = [];
  let arrived = 0;
  let pendingBytes = 0;
  let retry;
  let silence;
  let failure;
  let attempts = 0;
  let awaySinceMs;

  const set = (change) => {
    Object.assign(state, change);
    onChange();
  };
  const say = (message) => {
    if (state.phase === "open" && socket?.readyState === 1) socket.send(JSON.stringify(message));
  };
  const acknowledge = () => {
    if (shown === acknowledged) return;
    if (shown - acknowledged < WINDOW_BYTES / 2 && state.exit === undefined) return;
    acknowledged = shown;
    say({ type: "ack", received: shown });
  };
  const send = (bytes) => {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) socket.send(bytes.subarray(at, at + PIECE_BYTES));
  };
  const forget = (until) => {
    while (pending.length > 0 && arrived < until) {
      const [first] = pending;
      const taken = Math.min(first.length, until - arrived);
      arrived += taken;
      pendingBytes -= taken;
      pending = taken === first.length ? pending.slice(1) : [first.subarray(taken), ...pending.slice(1)];
    }
  };
  const hear = () => {
    clearTimeout(silence);
    if (state.phase !== "over") silence = setTimeout(() => drop(socket), SILENCE_MS);
  };

  const onText = (told) => {
    if (told.type === "ready") {
      id = told.id;
      attempts = 0;
      awaySinceMs = undefined;
      if (received === undefined) {
        received = shown = told.start;
        answeredUntil = told.end;
        // Nothing that was typed before is known here.
        arrived = told.received;
      }
      forget(told.received);
      set({ phase: "open", note: "", id, isRecorded: told.isRecorded, session: told.session });
      const { cols, rows } = facts();
      say({ type: "resize", cols, rows });
      for (const bytes of pending) send(bytes);
      // What was shown meanwhile.
      acknowledged = received;
    } else if (told.type === "ack") forget(told.received);
    else if (told.type === "note") set({ note: told.text });
    else if (told.type === "exit") {
      set({ exit: told, note: "" });
      acknowledge();
    } else if (told.type === "error") failure = told;
  };
  const onBytes = (bytes) => {
    received += bytes.length;
    onOutput(bytes, () => {
      shown += bytes.length;
      acknowledge();
    });
  };

  const finish = (error) => {
    clearTimeout(silence);
    clearTimeout(retry);
    pending = [];
    set({ phase: "over", note: "", ...(error === undefined ? {} : { error }) });
  };
  const onClosed = ({ code, reason }) => {
    clearTimeout(silence);
    const wasOpen = state.phase === "open";
    if (state.phase === "over") return;
    if (code === 1000 || state.exit !== undefined) return finish();
    const told = failure?.message ?? reason;
    const mayPass = !wasOpen && id !== undefined && PASSING.includes(code);
    if (code >= 4000 && !mayPass) {
      return finish(
        code === 4404 && id !== undefined ? "The shell is gone: this page was away from the hub for too long." : told,
      );
    }
    if (id === undefined) return finish("The hub cannot be reached, or it does not let this page have a terminal.");
    awaySinceMs ??= Date.now();
    if (Date.now() - awaySinceMs > AWAY_MS) {
      return finish(`The hub was not reached for ${AWAY_MS / 1000} s, and has ended the shell by now.`);
    }
    set({ phase: "away" });
    retry = setTimeout(open, Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** attempts++));
  };
  /** It says nothing more: another one is tried without waiting for its end. */
  const drop = (dead) => {
    if (dead === undefined) return;
    dead.onopen = dead.onmessage = dead.onclose = null;
    dead.close();
    onClosed({ code: 1006, reason: "" });
  };
  const open = () => {
    failure = undefined;
    const mine = connect();
    socket = mine;
    mine.binaryType = "arraybuffer";
    hear();
    mine.onopen = () => {
      const ask =
        id === undefined
          ? { type: "open", ...wish }
          : { type: "resume", id, ...(received === undefined ? {} : { received }) };
      mine.send(JSON.stringify({ ...ask, ...facts() }));
    };
    mine.onmessage = ({ data }) => {
      hear();
      if (typeof data === "string") onText(JSON.parse(data));
      else onBytes(new Uint8Array(data));
    };
    mine.onclose = onClosed;
  };
  open();

  return {
    state,
    /** False: it is over, or too much is on its way. */
    type: (bytes) => {
      if (state.phase === "over" || state.exit !== undefined || pendingBytes + bytes.length > MAX_TYPED_BYTES)
        return false;
      if (shown < answeredUntil) return true;
      pending.push(bytes);
      pendingBytes += bytes.length;
      if (state.phase === "open" && socket.readyState === 1) send(bytes);
      return true;
    },
    resize: ({ cols, rows }) => say({ type: "resize", cols, rows }),
    /** Hangs up. */
    end: () => {
      if (state.phase === "over") return;
      const wasOpen = state.phase === "open";
      say({ type: "end" });
      finish();
      // The hub closes it; one that does not stand has nobody to say it.
      if (!wasOpen) socket.close();
    },
    /** Tries now what would be tried later. */
    retryNow: () => {
      if (state.phase !== "away") return;
      clearTimeout(retry);
      open();
    },
    awayForMs: () => (awaySinceMs === undefined ? 0 : Date.now() - awaySinceMs),
  };
}
