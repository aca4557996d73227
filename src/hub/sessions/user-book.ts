import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { createSheets, type SheetsDeps } from "../sheets.ts";

export const SESSION_USERS_KIND = "session-users";

const sheetSchema = z.object({ sessions: z.record(z.string(), z.object({ atMs: z.number() })) });
type Sheet = z.output<typeof sheetSchema>;

/** Whose sessions there are, one sheet a user: however many are made at once, nobody has more than they may. */
export interface UserBook {
  /** `conflict` with the numbers, where they have as many as they may. */
  add(user: string, sessionId: string): Promise<void>;
  /** The same for a session that is there already, whatever they may have. */
  note(user: string, sessionId: string): Promise<void>;
  remove(user: string, sessionId: string): Promise<void>;
  /** Clears what `isOwn` denies and what is older than a creation can take. */
  sweep(isOwn: (user: string, sessionId: string) => Promise<boolean>): Promise<void>;
}

const ORPHAN_MS = 120_000;

export function createUserBook(
  { sessionsPerUser }: { readonly sessionsPerUser: number | undefined },
  deps: SheetsDeps,
): UserBook {
  const { clock } = deps;
  const sheets = createSheets<Sheet>({ kind: SESSION_USERS_KIND, schema: sheetSchema, empty: { sessions: {} } }, deps);
  const without = (user: string, ids: ReadonlySet<string>) =>
    sheets.edit(user, (sheet) => {
      const kept = Object.entries(sheet.sessions).filter(([id]) => !ids.has(id));
      const isSame = kept.length === Object.keys(sheet.sessions).length;
      return { sheet: isSame ? sheet : { sessions: Object.fromEntries(kept) }, answer: undefined };
    });
  const add = (user: string, sessionId: string, limit: number | undefined) =>
    sheets.edit(user, (sheet) => {
      if (sheet.sessions[sessionId] !== undefined) return { sheet, answer: undefined };
      const count = Object.keys(sheet.sessions).length;
      if (limit !== undefined && count >= limit) {
        throw new AppError(
          "conflict",
          `user: given ${user}, who has ${count} sessions; allowed: ${limit} (sessions.perUser)`,
          { field: "user" },
        );
      }
      const sessions = { ...sheet.sessions, [sessionId]: { atMs: clock.wallMs() } };
      return { sheet: { sessions }, answer: undefined };
    });
  return {
    add: (user, sessionId) => add(user, sessionId, sessionsPerUser),
    note: (user, sessionId) => add(user, sessionId, undefined),
    remove: (user, sessionId) => without(user, new Set([sessionId])),
    sweep: async (isOwn) => {
      for await (const { id: user, sheet } of sheets.list()) {
        const orphans = new Set<string>();
        for (const [id, { atMs }] of Object.entries(sheet.sessions)) {
          if (clock.wallMs() - atMs > ORPHAN_MS && !(await isOwn(user, id))) orphans.add(id);
        }
        if (orphans.size > 0) await without(user, orphans);
      }
    },
  };
}
