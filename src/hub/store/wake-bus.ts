/** Tells the listeners in this process. A listener that throws is the caller's fault, and must not fail a commit: it is told apart from it. */
export interface WakeBus {
  /** `undefined`: topics may have been missed. */
  wake(topics: readonly (string | undefined)[]): void;
  onWake(listener: (topic: string | undefined) => void): () => void;
}

export function createWakeBus(): WakeBus {
  const listeners = new Set<(topic: string | undefined) => void>();
  return {
    wake: (topics) => {
      if (listeners.size === 0 || topics.length === 0) return;
      queueMicrotask(() => {
        for (const topic of new Set(topics)) for (const listener of [...listeners]) listener(topic);
      });
    },
    onWake: (listener) => {
      const own = (topic: string | undefined) => listener(topic);
      listeners.add(own);
      return () => listeners.delete(own);
    },
  };
}
