import { z } from "zod";
import type { DocumentFormat } from "../../base/document.ts";
import { type SessionVolume, type VolumeRule, volumeRuleSchema } from "../../contract/session-spec.ts";
import { firstProblem } from "./first-problem.ts";
import { openStateDocument, type StateDocument, type StateDocumentDeps, type Understood } from "./state-document.ts";

const FORMAT: DocumentFormat = { format: "sluice.volumes", version: 1, minReader: 1 };
/** Sessions whose volumes' rules are remembered. Those of which nothing was said for longest are forgotten first. */
const KEPT = 2000;

/** By session and by volume. */
const documentSchema = z.object({
  rules: z.array(z.tuple([z.string(), z.array(z.tuple([z.string(), volumeRuleSchema]))])),
});
type Rules = ReadonlyMap<string, ReadonlyMap<string, VolumeRule>>;

/**
 * `volume_rules.json`: what becomes of a session's volumes when it is stopped, as the box was told last. It is asked when nothing
 * expects the session any more, so nothing else knows it by then; and a platform keeps with a volume only what was said when that
 * was made.
 */
export interface VolumeRules extends Pick<StateDocument, "commit" | "status" | "problems"> {
  /** The session is expected with these volumes. */
  note(sessionId: string, volumes: readonly Pick<SessionVolume, "name" | "hostPath" | "onStop">[]): void;
  /** By the volume's name; empty where nothing was said. */
  of(sessionId: string): ReadonlyMap<string, VolumeRule>;
}

/** Never throws, whatever stands in the file: then counts what was said when each volume was made. */
export function openVolumeRules(options: { readonly file: string }, deps: StateDocumentDeps): VolumeRules {
  const snapshot = (): unknown => ({ rules: [...rules].map(([id, of]) => [id, [...of]]) });
  const { loaded, changed, commit, status, problems } = openStateDocument(
    { path: options.file, format: FORMAT, parse, snapshot },
    deps,
  );
  const rules = new Map(loaded);
  return {
    commit,
    status,
    problems,
    note: (sessionId, volumes) => {
      const held = rules.get(sessionId);
      const own = volumes.filter(({ hostPath }) => hostPath === undefined);
      if (own.every(({ name, onStop = "keep" }) => held?.get(name) === onStop)) return;
      // One that is listed no more may still be there, as it was meant last.
      const next = new Map([...(held ?? []), ...own.map(({ name, onStop = "keep" }) => [name, onStop] as const)]);
      rules.delete(sessionId);
      rules.set(sessionId, next);
      for (const [oldest] of rules) {
        if (rules.size <= KEPT) break;
        rules.delete(oldest);
      }
      changed();
    },
    of: (sessionId) => rules.get(sessionId) ?? new Map(),
  };
}

function parse(data: unknown): Understood<Rules> {
  const document = documentSchema.safeParse(data ?? { rules: [] });
  if (!document.success) return { value: new Map(), problems: [firstProblem("data", document.error)] };
  return { value: new Map(document.data.rules.map(([id, of]) => [id, new Map(of)])), problems: [] };
}
