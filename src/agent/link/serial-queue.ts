/**
 * Hands items to `handle` strictly in order and one at a time. `room` is how the producer is slowed down: the caller waits
 * for it before it fetches more, so the queue exceeds its bound by at most what was already fetched.
 */
export interface SerialQueue<Item> {
  push(item: Item, bytes: number): void;
  /** Resolves once the queue is below its bounds. */
  room(): Promise<void>;
  /** Resolves when nothing is queued or handled. */
  idle(): Promise<void>;
}

export interface SerialQueueOptions {
  readonly maxItems: number;
  readonly maxBytes: number;
}

/** `handle` must not reject. */
export function createSerialQueue<Item>(
  options: SerialQueueOptions,
  handle: (item: Item) => Promise<void>,
): SerialQueue<Item> {
  const queued: { readonly item: Item; readonly bytes: number }[] = [];
  let queuedBytes = 0;
  let isWorking = false;
  let waiters: { readonly isMet: () => boolean; readonly resolve: () => void }[] = [];

  const hasRoom = () => queued.length < options.maxItems && queuedBytes < options.maxBytes;
  const isIdle = () => !isWorking && queued.length === 0;

  const wakeWaiters = () => {
    const met = waiters.filter(({ isMet }) => isMet());
    waiters = waiters.filter((waiter) => !met.includes(waiter));
    for (const { resolve } of met) resolve();
  };

  const work = async () => {
    isWorking = true;
    for (let next = queued[0]; next !== undefined; next = queued[0]) {
      await handle(next.item);
      queued.shift();
      queuedBytes -= next.bytes;
      wakeWaiters();
    }
    isWorking = false;
    wakeWaiters();
  };

  const until = (isMet: () => boolean): Promise<void> =>
    isMet() ? Promise.resolve() : new Promise((resolve) => waiters.push({ isMet, resolve }));

  return {
    push: (item, bytes) => {
      queued.push({ item, bytes });
      queuedBytes += bytes;
      if (!isWorking) void work();
    },
    room: () => until(hasRoom),
    idle: () => until(isIdle),
  };
}
