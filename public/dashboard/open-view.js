const AFTER_EVENT_MS = 300;
const REFRESH_MS = 5000;

/**
 * Opens one view and keeps it true: it is loaded at once, a moment after each event that it says concerns it, and every few
 * seconds while the page is seen. A view gives `{title, draw(), load?(signal), hears?(event), refreshMs?, close?()}`.
 *
 * @param {object} route
 * @param {object} context what `dashboard.js` gives every view
 */
export function openView(route, context) {
  const life = new AbortController();
  let isLoading = false;
  let isWanted = false;
  let problem;
  let soon;

  const load = async () => {
    if (life.signal.aborted) return;
    isWanted = true;
    if (isLoading) return;
    isLoading = true;
    while (isWanted && !life.signal.aborted) {
      isWanted = false;
      try {
        await view.load?.(life.signal);
        problem = undefined;
      } catch (error) {
        if (!life.signal.aborted) problem = error;
      }
      if (!life.signal.aborted) context.redraw();
    }
    isLoading = false;
  };
  const view = route.create({ ...context, signal: life.signal, reload: load });
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
      soon = setTimeout(() => {
        soon = undefined;
        void load();
      }, AFTER_EVENT_MS);
    },
    close: () => {
      life.abort();
      clearInterval(timer);
      clearTimeout(soon);
      view.close?.();
    },
  };
}
