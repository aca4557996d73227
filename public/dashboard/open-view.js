import { changesIn } from "./changes.js";

const AFTER_EVENT_MS = 300;
const REFRESH_MS = 5000;
/** In a large fleet something happens all the time: looking must not be all that page and hub do. */
const REST_PER_LOOK = 3;
const MAX_REST_MS = 5000;

/**
 * Opens one view and keeps it true: it is loaded at once, a moment after each event that it says concerns it, and every few
 * seconds while the page is seen. A view gives `{title, draw(), load?(signal), hears?(event), announces?(), refreshMs?, close?()}`;
 * `announces` gives pairs of a key and a sentence, and a sentence that differs from the one before is said aloud, once.
 *
 * @param {object} route
 * @param {object} context what `dashboard.js` gives every view
 */
export function openView(route, context) {
  const life = new AbortController();
  let loading;
  let isWanted = false;
  let problem;
  let soon;
  let said;
  let restUntil = 0;

  const announce = () => {
    const sentences = new Map(view.announces?.() ?? []);
    if (said !== undefined) context.announce(changesIn(said, sentences));
    said = sentences;
  };
  const load = async () => {
    if (life.signal.aborted) return;
    isWanted = true;
    if (loading !== undefined) return;
    while (isWanted && !life.signal.aborted) {
      isWanted = false;
      loading = new AbortController();
      await look(AbortSignal.any([life.signal, loading.signal]));
      if (!life.signal.aborted) context.redraw();
    }
    loading = undefined;
  };
  const look = async (signal) => {
    const startMs = performance.now();
    try {
      await view.load?.(signal);
      problem = undefined;
      announce();
    } catch (error) {
      if (!signal.aborted) problem = error;
    }
    const endMs = performance.now();
    restUntil = endMs + Math.min(MAX_REST_MS, (endMs - startMs) * REST_PER_LOOK);
  };
  /** What is asked for has changed: an answer to the old question is of no use to anybody. */
  const ask = () => {
    loading?.abort();
    void load();
  };
  const view = route.create({ ...context, signal: life.signal, reload: load, ask });
  const timer = setInterval(() => {
    if (document.visibilityState === "visible" && view.load !== undefined) void load();
  }, view.refreshMs ?? REFRESH_MS);
  void load();

  return {
    title: () => (typeof view.title === "function" ? view.title() : view.title),
    draw: () => view.draw(),
    problem: () => problem,
    reload: load,
    hear: (event) => {
      if (view.hears?.(event) !== true || soon !== undefined) return;
      soon = setTimeout(
        () => {
          soon = undefined;
          void load();
        },
        Math.max(AFTER_EVENT_MS, restUntil - performance.now()),
      );
    },
    close: () => {
      life.abort();
      clearInterval(timer);
      clearTimeout(soon);
      view.close?.();
    },
  };
}
