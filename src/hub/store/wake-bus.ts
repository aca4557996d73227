import type { Wake, WakeListener } from "./engine.ts";

/** Tells the listeners in this process. A listener that throws is the caller's fault, and must not fail a commit: it is told apart from it. */
export interface WakeBus {
  /** In this order, a topic without news once. `undefined`: topics may have been missed. */
  wake(wakes: readonly (Wake | undefined)[]): void;
  onWake(listener: WakeListener): () => void;
}

export function createWakeBus(): WakeBus {
  const listeners = new Set<WakeListener>();
  return {
    wake: (wakes) => {
      if (listeners.size === 0 || wakes.length === 0) return;
      queueMicrotask(() => {
        for (const wake of new Set(wakes)) {
          for (const listener of [...listeners]) {
            if (typeof wake === "object") listener(wake.topic, wake.news);
            else listener(wake);
          }
        }
      });
    },
    onWake: (listener) => {
      const own: WakeListener = (topic, news) => listener(topic, news);
      listeners.add(own);
      return () => listeners.delete(own);
    },
  };
}
