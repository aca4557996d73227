/** So many buffers and no more: who takes one waits until one is free. */
export interface BufferRing {
  take(): Promise<Buffer>;
  release(buffer: Buffer): void;
  /** Resolves when all are free. */
  idle(): Promise<void>;
}

/** What rings have left behind, by size: new memory is slow the first time. */
const left = new Map<number, Buffer[]>();
const MAX_LEFT = 64;

export function createBufferRing(count: number, bytes: number): BufferRing {
  const free: Buffer[] = [];
  const waiting: ((buffer: Buffer) => void)[] = [];
  let made = 0;
  let used = 0;
  let idle: PromiseWithResolvers<void> | undefined;
  return {
    take: () => {
      used += 1;
      const buffer = free.pop();
      if (buffer !== undefined) return Promise.resolve(buffer);
      if (made < count) {
        made += 1;
        return Promise.resolve(left.get(bytes)?.pop() ?? Buffer.from(new ArrayBuffer(bytes)));
      }
      return new Promise((resolve) => waiting.push(resolve));
    },
    release: (buffer) => {
      used -= 1;
      const next = waiting.shift();
      if (next !== undefined) return next(buffer);
      free.push(buffer);
      if (used > 0) return;
      const kept = left.get(bytes) ?? [];
      left.set(bytes, kept);
      while (free.length > 0 && kept.length < MAX_LEFT) {
        const one = free.pop();
        if (one !== undefined) kept.push(one);
        made -= 1;
      }
      idle?.resolve();
      idle = undefined;
    },
    idle: () => {
      if (used === 0) return Promise.resolve();
      idle ??= Promise.withResolvers();
      return idle.promise;
    },
  };
}
