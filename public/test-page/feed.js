const RETRY_MS = 1000;

/**
 * The page's own connection to the server. `on[name]` gets each part's data; `onState` gets `live` or `lost`. It comes back
 * by itself whatever the server answers.
 */
export function openFeed(on, onState) {
  const source = new EventSource("page-events");
  for (const [name, listener] of Object.entries(on)) {
    source.addEventListener(name, (event) => listener(JSON.parse(event.data)));
  }
  source.addEventListener("open", () => onState("live"));
  source.addEventListener("error", () => {
    onState("lost");
    // A browser gives up for good on some answers, and waits long after others.
    source.close();
    setTimeout(() => openFeed(on, onState), RETRY_MS);
  });
}
