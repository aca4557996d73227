const KEY = "sluice.terminal.shell";

/**
 * The shell that this tab shows, for when its page is loaded anew: what the hub calls it, which opens it only together with the token.
 *
 * @param {Storage} storage of the tab
 */
export function createKeptShell(storage) {
  return {
    /** @param {string | undefined} id `undefined`: there is none any more */
    set: (boxId, id) => {
      if (id === undefined) storage.removeItem(KEY);
      else storage.setItem(KEY, JSON.stringify({ boxId, id }));
    },
    /** What is left of it for this box; it is given once. */
    take: (boxId) => {
      const text = storage.getItem(KEY);
      storage.removeItem(KEY);
      const { boxId: of, id } = text === null ? {} : JSON.parse(text);
      return of === boxId ? id : undefined;
    },
  };
}
