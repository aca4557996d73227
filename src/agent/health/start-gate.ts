/**
 * Spreads starts over time: a queue with reserved places, one place an interval. Pure.
 * Who must wait keeps its place, so that nobody is overtaken by one that asks more often.
 */
export interface StartGate {
  readonly nextFreeMs: number;
  readonly places: ReadonlyMap<string, number>;
}

export const EMPTY_GATE: StartGate = { nextFreeMs: Number.NEGATIVE_INFINITY, places: new Map() };

export interface GateAnswer {
  readonly gate: StartGate;
  /** 0: start now. */
  readonly waitMs: number;
}

export function askGate(
  gate: StartGate,
  id: string,
  at: { readonly nowMs: number; readonly intervalMs: number },
): GateAnswer {
  const { nowMs, intervalMs } = at;
  const reserved = gate.places.get(id);
  if (reserved !== undefined && reserved > nowMs) return { gate, waitMs: reserved - nowMs };
  if (reserved !== undefined) {
    const places = new Map(gate.places);
    places.delete(id);
    return { gate: { ...gate, places }, waitMs: 0 };
  }
  const placeMs = Math.max(nowMs, gate.nextFreeMs);
  const nextFreeMs = placeMs + intervalMs;
  if (placeMs <= nowMs) return { gate: { ...gate, nextFreeMs }, waitMs: 0 };
  return { gate: { nextFreeMs, places: new Map(gate.places).set(id, placeMs) }, waitMs: placeMs - nowMs };
}

/** Where in a spread of `spreadMs` an id belongs: the same on every run, different from its neighbours' (FNV-1a). */
export function staggerMs(id: string, spreadMs: number): number {
  let hash = 0x811c9dc5;
  for (const character of id) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return hash % Math.max(1, spreadMs);
}
