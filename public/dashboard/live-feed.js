import { readEvents } from "./read-events.js";

const MIN_RETRY_MS = 1000;
const MAX_RETRY_MS = 15_000;
/** Until a connection has told how often it beats; an answer that does not begin takes no longer either. */
const SILENCE_MS = 15_000;
/** Beats that may fail to come before a connection counts as dead: one lost, the next one late by half. */
const BEATS = 2.5;

/**
 * Follows `/v1/events` for as long as the signal lives, from where it broke off. `onEvent` gets each event, `onState` gets
 * `live` or `lost`, `onGap` is called when events may have been missed and everything must be read afresh.
 */
export async function followEvents({ api, signal, onEvent, onState, onGap }) {
  let cursor;
  let retryMs = MIN_RETRY_MS;
  while (!signal.aborted) {
    const silence = watchSilence();
    const both = AbortSignal.any([signal, silence.signal]);
    try {
      const response = await api.open("/v1/events", { signal: both, lastEventId: cursor });
      onState("live");
      onGap();
      const beat = (comment) => silence.beatsEvery(/^\s*beat\s+(\d{1,3})\b/.exec(comment)?.[1]);
      for await (const event of readEvents(silence.hear(response.body), beat)) {
        retryMs = MIN_RETRY_MS;
        if (event.id !== undefined) cursor = event.id;
        if (event.name === "reset") onGap();
        else if (event.name === "message") handle(event, onEvent);
      }
    } catch (error) {
      if (error.status === 401) return;
    } finally {
      silence.end();
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

/** A hub that has no power, or whose network is gone, ends nothing: only its silence tells. */
function watchSilence() {
  const over = new AbortController();
  let limitMs = SILENCE_MS;
  let timer;
  const arm = () => {
    clearTimeout(timer);
    if (!over.signal.aborted) timer = setTimeout(() => over.abort(), limitMs);
  };
  arm();
  return {
    signal: over.signal,
    /** Seconds, as the hub told them; `undefined`: it told none. */
    beatsEvery: (seconds) => {
      if (seconds === undefined) return;
      limitMs = Math.max(1, Number(seconds)) * BEATS * 1000;
      arm();
    },
    hear: (body) =>
      body.pipeThrough(
        new TransformStream({
          transform: (chunk, controller) => {
            arm();
            controller.enqueue(chunk);
          },
        }),
      ),
    end: () => {
      over.abort();
      clearTimeout(timer);
    },
  };
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
