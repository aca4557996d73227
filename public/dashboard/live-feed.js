import { readEvents } from "./read-events.js";

const MIN_RETRY_MS = 1000;
const MAX_RETRY_MS = 15_000;
/** The hub writes a comment at least this often; a connection without a byte for longer is dead. */
const SILENCE_MS = 45_000;

/**
 * Follows `/v1/events` for as long as the signal lives, from where it broke off. `onEvent` gets each event, `onState` gets
 * `live` or `lost`, `onGap` is called when events may have been missed and everything must be read afresh.
 */
export async function followEvents({ api, signal, onEvent, onState, onGap }) {
  let cursor;
  let retryMs = MIN_RETRY_MS;
  while (!signal.aborted) {
    const attempt = new AbortController();
    const both = AbortSignal.any([signal, attempt.signal]);
    try {
      const response = await api.open("/v1/events", { signal: both, lastEventId: cursor });
      onState("live");
      onGap();
      for await (const event of readEvents(watchSilence(response.body, attempt))) {
        retryMs = MIN_RETRY_MS;
        if (event.id !== undefined) cursor = event.id;
        if (event.name === "reset") onGap();
        else if (event.name === "message") handle(event, onEvent);
      }
    } catch (error) {
      if (error.status === 401) return;
    }
    if (signal.aborted) return;
    onState("lost");
    await pause(retryMs * (0.5 + Math.random()), signal);
    retryMs = Math.min(MAX_RETRY_MS, retryMs * 2);
  }
}

function handle({ data }, onEvent) {
  try {
    onEvent(JSON.parse(data));
  } catch {
    // An event that this page cannot read costs nothing: it reads the state itself again and again.
  }
}

function watchSilence(body, attempt) {
  let timer;
  const arm = () => {
    clearTimeout(timer);
    timer = setTimeout(() => attempt.abort(), SILENCE_MS);
  };
  arm();
  return body.pipeThrough(
    new TransformStream({
      transform: (chunk, controller) => {
        arm();
        controller.enqueue(chunk);
      },
      flush: () => clearTimeout(timer),
    }),
  );
}

function pause(ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    });
  });
}
