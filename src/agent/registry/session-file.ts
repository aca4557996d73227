import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { loadDocument } from "../../base/atomic-file.ts";
import type { DocumentFormat } from "../../base/document.ts";
import { createDocumentWriter } from "../../base/document-writer.ts";
import { errnoOf } from "../../base/errors.ts";
import { SESSION_PLATFORMS } from "../../contract/session-spec.ts";
import { SESSION_DEPTHS } from "../../contract/session-status.ts";
import { firstProblem } from "./first-problem.ts";
import type { RegistryDeps } from "./registry.ts";

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
  /** By the depth it woke from, milliseconds. */
  wakeMs: z.partialRecord(z.enum(SESSION_DEPTHS), z.number()).optional(),
});
export type SessionMemory = z.output<typeof sessionMemorySchema>;

/** `workloads/<id>/session.json`. */
export interface SessionFile {
  memory(): SessionMemory;
  /** Writes it behind the caller, and only where something is different. */
  remember(memory: SessionMemory): void;
  /** Resolves when what was remembered is durable, or when the disk has been given up on for now. Never rejects. */
  commit(): Promise<void>;
}

export const NO_MEMORY: SessionMemory = { turn: 0 };

/** Loads what is there. Never throws, whatever stands in the file: then the session begins anew. */
export function openSessionFile(path: string, deps: RegistryDeps): SessionFile {
  const found = loadDocument(path, FORMAT, deps);
  const parsed = sessionMemorySchema.safeParse(found.data ?? NO_MEMORY);
  if (!parsed.success) deps.log.warn(`${path} is ignored: ${firstProblem("data", parsed.error)}`);
  let memory: SessionMemory = parsed.data ?? NO_MEMORY;
  const { isCurrentGood } = found;
  const currentText = isCurrentGood && parsed.success ? JSON.stringify(found.data) : undefined;
  const writer = createDocumentWriter(
    { ...FORMAT, path, isCurrentGood, currentText },
    { ...deps, snapshot: () => memory },
  );
  return {
    memory: () => memory,
    remember: (next) => {
      memory = next;
      makeDirectory(dirname(path));
      writer.changed();
    },
    commit: writer.commit,
  };
}

/** On a disk that takes nothing the writer says so. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (thrown) {
    if (errnoOf(thrown) === undefined) throw thrown;
  }
}
