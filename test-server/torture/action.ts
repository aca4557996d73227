import type { FaultName, FaultValues } from "../faults/fault-catalog.ts";

/** A stream that the server expects. Another `version` is another stream key: the stream has to be started anew. */
export interface TortureStream {
  readonly id: string;
  readonly version: number;
}

export const TAMPERED_FILES = [
  "registry.json",
  "persistent_state.json",
  "gaps.json",
  "report-queue.jsonl",
  ".boot_marker",
  "agent.lock.owner",
] as const;
export const TAMPER_WAYS = ["empty", "half", "garbage", "nul", "gone", "lost", "link", "directory"] as const;

/** What happens to the state directory while no agent runs. */
export type Tamper =
  | {
      readonly kind: "file";
      readonly file: (typeof TAMPERED_FILES)[number];
      readonly how: (typeof TAMPER_WAYS)[number];
    }
  /** Records that are whole and name a process of somebody else. */
  | { readonly kind: "forge" }
  | { readonly kind: "lock"; readonly how: "dead-owner" | "other-process" | "file" };

export type Action =
  | { readonly kind: "put" | "change" | "remove"; readonly stream: TortureStream }
  /** A snapshot that would stop nearly everything. */
  | { readonly kind: "shrink"; readonly keep: number; readonly how: "replace" | "lose-state" }
  | { readonly kind: "fault"; readonly name: FaultName; readonly args: FaultValues; readonly ms: number }
  | { readonly kind: "send"; readonly raw: string }
  | { readonly kind: "disk"; readonly how: "full" | "read-only"; readonly ms: number }
  | { readonly kind: "stray"; readonly id: string }
  | { readonly kind: "clock"; readonly seconds: number }
  | {
      readonly kind: "agent-end";
      readonly signal: "SIGKILL" | "SIGTERM";
      readonly downMs: number;
      readonly tamper: Tamper | undefined;
    }
  | { readonly kind: "agent-freeze"; readonly ms: number }
  | { readonly kind: "agent-second" }
  | { readonly kind: "ffmpeg"; readonly id: string; readonly signal: "SIGKILL" | "SIGTERM" | "SIGSTOP" }
  | { readonly kind: "server-kill"; readonly downMs: number }
  | { readonly kind: "server-freeze"; readonly ms: number }
  | { readonly kind: "network"; readonly how: "both" | "in" | "out" | "cable"; readonly ms: number };
