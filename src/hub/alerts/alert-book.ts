import type { AlertState } from "../store/alerts.ts";

/** Where alerts stand, as of the last look, by box: most reports concern none. */
export interface AlertBook {
  get(ruleId: string, subject: string): AlertState | undefined;
  set(state: AlertState): void;
  delete(ruleId: string, subject: string): void;
  replace(states: readonly AlertState[]): void;
  ofBox(boxId: string): readonly AlertState[];
  all(): readonly AlertState[];
}

export function createAlertBook(): AlertBook {
  const byBox = new Map<string, Map<string, AlertState>>();
  const set = (state: AlertState) => {
    const boxId = boxOf(state.subject);
    const ofBox = byBox.get(boxId) ?? new Map<string, AlertState>();
    ofBox.set(`${state.ruleId}/${state.subject}`, state);
    byBox.set(boxId, ofBox);
  };
  return {
    get: (ruleId, subject) => byBox.get(boxOf(subject))?.get(`${ruleId}/${subject}`),
    set,
    delete: (ruleId, subject) => {
      const boxId = boxOf(subject);
      const ofBox = byBox.get(boxId);
      ofBox?.delete(`${ruleId}/${subject}`);
      if (ofBox?.size === 0) byBox.delete(boxId);
    },
    replace: (states) => {
      byBox.clear();
      for (const state of states) set(state);
    },
    ofBox: (boxId) => [...(byBox.get(boxId)?.values() ?? [])],
    all: () => [...byBox.values()].flatMap((ofBox) => [...ofBox.values()]),
  };
}

/** `box/north-1/cam-2` → `north-1`. */
export function boxOf(subject: string): string {
  return subject.split("/")[1] ?? "";
}
