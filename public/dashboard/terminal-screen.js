import { element } from "../shared/element.js";

/**
 * A terminal in a frame of its own: what draws it writes styles inline, which the policy of this page, that holds the token, forbids.
 * The frame is to stand in the page, and to stay where it stands, for a frame that is moved is loaded anew.
 *
 * @param {{label: string, onTyped?: (bytes: Uint8Array) => void, onSize?: (size: {cols: number, rows: number}) => void,
 *   onLeave?: () => void}} options
 */
export function createTerminalScreen({ label, onTyped, onSize, onLeave }) {
  const node = element("iframe", {
    class: "terminal-frame",
    title: label,
    src: "/terminal-frame.html",
    allow: "clipboard-read; clipboard-write",
  });
  const loaded = Promise.withResolvers();
  node.addEventListener("load", () => {
    const screen = node.contentWindow?.terminalScreen;
    if (screen === undefined) {
      loaded.reject(new Error("The terminal could not be loaded: reload the page."));
      return;
    }
    screen.listen({
      onTyped: (bytes) => onTyped?.(bytes),
      onSize: (size) => onSize?.(size),
      onLeave: () => onLeave?.(),
    });
    loaded.resolve(screen);
  });
  loaded.promise.catch(() => undefined);
  return {
    node,
    /** What `terminal-frame.js` offers; rejects where it could not be loaded. */
    loaded: loaded.promise,
  };
}
