/**
 * Leases whose bytes somebody else has to bring: who, and which process of it. A destination that waits for a sender that has died need not
 * wait to its end. Of this hub: one that knows nothing of a lease says nothing.
 */
export interface SenderWatch {
  /** The sender of a lease, when it is told to serve it; again when it has taken that on. */
  sends(lease: string, worker: string): void;
  /** Why nobody brings anything for this lease any more; nothing: as far as is known somebody does, or has. */
  problemOf(lease: string): string | undefined;
  over(lease: string): void;
  prune(isAlive: (lease: string) => boolean): void;
}

export interface SenderWatchDeps {
  /** Which process of a worker is known to be there. */
  readonly bootOf: (worker: string) => string | undefined;
  readonly isHeard: (worker: string) => boolean;
}

export function createSenderWatch({ bootOf, isHeard }: SenderWatchDeps): SenderWatch {
  const senders = new Map<string, { readonly worker: string; readonly boot: string | undefined }>();
  return {
    sends: (lease, worker) => void senders.set(lease, { worker, boot: bootOf(worker) }),
    problemOf: (lease) => {
      const sender = senders.get(lease);
      if (sender === undefined) return undefined;
      const { worker, boot } = sender;
      if (!isHeard(worker)) return `${worker}, which was to bring it, is not heard any more`;
      const isAnother = boot !== undefined && bootOf(worker) !== boot;
      return isAnother ? `${worker}, which was to bring it, has begun anew` : undefined;
    },
    over: (lease) => void senders.delete(lease),
    prune: (isAlive) => {
      for (const lease of senders.keys()) if (!isAlive(lease)) senders.delete(lease);
    },
  };
}
