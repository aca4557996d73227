import { type LabelRequirement, matchesSelector } from "../../contract/fleet/selector.ts";

/** What the hub holds of a box. Times are wall time in milliseconds. */
export interface Box {
  readonly id: string;
  /** Grows by one with each change of this record: the condition of conditional writes. */
  readonly revision: number;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `pending`: enrolled, and a person must approve it before it may do anything. `revoked`: its keys open nothing. */
  readonly state: BoxState;
  /** No new work is placed on it. */
  readonly draining: boolean;
  readonly createdMs: number;
  readonly key: BoxKey;
  /** The key it is changing to. Both open until it has used this one. */
  readonly nextKey?: BoxKey;
  /** Why it is kept away from its workloads although it is approved: a cloned identity. */
  readonly quarantine?: { readonly sinceMs: number; readonly reason: string };
}

export const BOX_STATES = ["pending", "approved", "revoked"] as const;
export type BoxState = (typeof BOX_STATES)[number];

export interface BoxKey {
  /** Hash of the key, as hex. Keys themselves are never stored. */
  readonly hash: string;
  readonly sinceMs: number;
}

/** What a person may change. A field that is left out stays as it is. */
export interface BoxPatch {
  readonly name?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly state?: BoxState | undefined;
  readonly draining?: boolean | undefined;
  /** `null` ends it. */
  readonly quarantine?: { readonly reason: string } | null | undefined;
}

/** One-time leave to become a box. */
export interface EnrolmentToken {
  /** Hash of the token, as hex. */
  readonly hash: string;
  /** What people call it by. */
  readonly id: string;
  readonly createdMs: number;
  readonly expiresMs: number;
  /** Only this box may use it, and it may then replace the keys of the box of that id. */
  readonly boxId?: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Whether the box is approved at once. */
  readonly approve: boolean;
  readonly takenMs?: number;
  readonly takenBy?: string;
}

export interface BoxFilter {
  /** Each must hold. */
  readonly labels?: readonly LabelRequirement[] | undefined;
  readonly state?: BoxState | undefined;
  readonly draining?: boolean | undefined;
  /** Part of the id or the name, in any case. */
  readonly text?: string | undefined;
}

export function matchesBox(box: Box, filter: BoxFilter): boolean {
  const text = filter.text?.toLowerCase();
  return (
    (filter.state === undefined || box.state === filter.state) &&
    (filter.draining === undefined || box.draining === filter.draining) &&
    (text === undefined || box.id.toLowerCase().includes(text) || box.name.toLowerCase().includes(text)) &&
    matchesSelector(box.labels, filter.labels ?? [])
  );
}
