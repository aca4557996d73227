/** The streams that are open, so that they end with the hub: one listener for all of them, not one each. */
export interface OpenStreams {
  /** Aborts it when the hub ends, at once if it has. */
  add(control: AbortController): void;
  remove(control: AbortController): void;
}

export function createOpenStreams(life: AbortSignal): OpenStreams {
  const open = new Set<AbortController>();
  life.addEventListener("abort", () => {
    for (const control of [...open]) control.abort(life.reason);
  });
  return {
    add: (control) => {
      if (life.aborted) control.abort(life.reason);
      else open.add(control);
    },
    remove: (control) => void open.delete(control),
  };
}
