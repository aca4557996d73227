import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import type { DocumentFormat } from "../../base/document.ts";
import { errnoOf } from "../../base/errors.ts";
import { SESSION_PLATFORMS } from "../../contract/session-spec.ts";
import { ACTIVITY_SOURCES, SESSION_DEPTHS } from "../../contract/session-status.ts";
import { firstProblem } from "./first-problem.ts";
import { openStateDocument, type StateDocument, type StateDocumentDeps, type Understood } from "./state-document.ts";

const FORMAT: DocumentFormat = { format: "sluice.session", version: 1, minReader: 1 };

/** What must be known of a session after a restart of the agent, beside what runs. Times are wall times. */
const sessionMemorySchema = z.object({
  /** Where its files are; it stays there. */
  platform: z.enum(SESSION_PLATFORMS).optional(),
  /** The last wish that was carried out. */
  turn: z.int().nonnegative().default(0),
  /** It sleeps, or is on its way to. One that fell asleep by itself sleeps until a turn after this one says otherwise. */
  sleep: z
    .object({
      because: z.enum(["asked", "idle"]),
      turn: z.int().nonnegative(),
      sinceMs: z.number(),
      /** Reached. */
      depth: z.enum(SESSION_DEPTHS).optional(),
    })
    .optional(),
  /** Until its spec is another, or a turn after this one asks for it. */
  ended: z
    .object({ atMs: z.number(), reason: z.string().max(1000), specHash: z.string(), turn: z.int().nonnegative() })
    .optional(),
  /** Written before its process exists. */
  launched: z.object({ specHash: z.string(), turn: z.int().nonnegative() }).optional(),
  /** From here on `maxDuration` counts. */
  firstStartMs: z.number().optional(),
  /** When its use was last written down, where it may fall asleep for want of it: it may have been used a little later. */
  used: z.object({ atMs: z.number(), source: z.enum(ACTIVITY_SOURCES) }).optional(),
  /** By the depth it woke from, milliseconds. */
  wakeMs: z.partialRecord(z.enum(SESSION_DEPTHS), z.number()).optional(),
});
export type SessionMemory = z.output<typeof sessionMemorySchema>;

/** `workloads/<id>/session.json`. */
export interface SessionFile extends Pick<StateDocument, "commit"> {
  memory(): SessionMemory;
  /** Writes it behind the caller, and only where something is different. */
  remember(memory: SessionMemory): void;
}

export const NO_MEMORY: SessionMemory = { turn: 0 };

/** Loads what is there. Never throws, whatever stands in the file: then the session begins anew. */
export function openSessionFile(path: string, deps: StateDocumentDeps): SessionFile {
  const document = openStateDocument(
    { path, format: FORMAT, parse: parseMemory, snapshot: (): unknown => memory },
    deps,
  );
  let memory = document.loaded;
  return {
    memory: () => memory,
    remember: (next) => {
      memory = next;
      makeDirectory(dirname(path));
      document.changed();
    },
    commit: document.commit,
  };
}

function parseMemory(data: unknown): Understood<SessionMemory> {
  const memory = sessionMemorySchema.safeParse(data ?? NO_MEMORY);
  if (memory.success) return { value: memory.data, problems: [] };
  return { value: NO_MEMORY, problems: [firstProblem("data", memory.error)] };
}

/** On a disk that takes nothing the writer says so. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (thrown) {
    if (errnoOf(thrown) === undefined) throw thrown;
  }
}
