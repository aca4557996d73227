/** Which number each peer of a local UDP socket has on the channel. The one that was quiet for longest makes room. */
export interface FlowTable<Peer> {
  /** The peer's flow; a new one where it has none, or has been quiet for too long. */
  flowOf(peer: Peer, nowMs: number): number;
  /** Undefined: it has been forgotten. */
  peerOf(flow: number, nowMs: number): Peer | undefined;
  readonly size: number;
  /** Peers that had to make room, since the beginning. */
  readonly evicted: number;
}

export const FLOW_LIMITS = { most: 1024, idleMs: 60_000 } as const;

interface Flow<Peer> {
  readonly peer: Peer;
  readonly key: string;
  lastMs: number;
}

/** Numbers are never used again: a late answer cannot reach another peer. */
export function createFlowTable<Peer>(
  keyOf: (peer: Peer) => string,
  limits: { readonly most: number; readonly idleMs: number } = FLOW_LIMITS,
): FlowTable<Peer> {
  const flows = new Map<number, Flow<Peer>>();
  const numbers = new Map<string, number>();
  let last = 0;
  let evicted = 0;

  const forget = (number: number) => {
    const flow = flows.get(number);
    flows.delete(number);
    if (flow !== undefined) numbers.delete(flow.key);
  };
  /** The order of a map is that of its last use: the front is the oldest. */
  const touch = (number: number, flow: Flow<Peer>, nowMs: number) => {
    flow.lastMs = nowMs;
    flows.delete(number);
    flows.set(number, flow);
  };
  const expire = (nowMs: number) => {
    for (const [number, { lastMs }] of flows) {
      if (nowMs - lastMs < limits.idleMs) return;
      forget(number);
    }
  };
  return {
    flowOf: (peer, nowMs) => {
      expire(nowMs);
      const key = keyOf(peer);
      const known = numbers.get(key);
      const flow = known === undefined ? undefined : flows.get(known);
      if (known !== undefined && flow !== undefined) {
        touch(known, flow, nowMs);
        return known;
      }
      const [oldest] = flows.keys();
      if (flows.size >= limits.most && oldest !== undefined) {
        forget(oldest);
        evicted += 1;
      }
      last += 1;
      flows.set(last, { peer, key, lastMs: nowMs });
      numbers.set(key, last);
      return last;
    },
    peerOf: (number, nowMs) => {
      expire(nowMs);
      const flow = flows.get(number);
      if (flow !== undefined) touch(number, flow, nowMs);
      return flow?.peer;
    },
    get size() {
      return flows.size;
    },
    get evicted() {
      return evicted;
    },
  };
}
