import { z } from "zod";
import type { SessionCommandName } from "./session-command.ts";
import { volumeRuleSchema } from "./session-spec.ts";
import type { BadEventReason, WireEvent } from "./wire-event.ts";
import { describeProblem } from "./wire-event-problem.ts";
import { isObject, unknownFields } from "./wire-event-workload.ts";

const commandSchema = z.object({
  eventType: z.string(),
  commandId: z.string().min(1).max(128).optional(),
  deadline: z.iso.datetime({ offset: true, error: "a time such as 2026-01-15T10:30:45Z" }).optional(),
  id: z.string().min(1).max(63),
  generation: z.int().optional(),
  /** Of a stop: what becomes of its volumes. */
  volumes: volumeRuleSchema.optional(),
  /** What is to run, without its id. */
  session: z.looseObject({}).optional(),
});

export type SimpleCommandResult =
  | { readonly ok: WireEvent; readonly unknownFields: readonly string[] }
  | { readonly bad: BadEventReason; readonly message: string };

/**
 * `{"eventType":"StartSession","id":"web","generation":3,"session":{…}}`: a command in the simple form. Without a `commandId` the
 * same wish is the same command, however often it comes.
 */
export function parseSimpleCommand(name: SessionCommandName, raw: unknown): SimpleCommandResult {
  const parsed = commandSchema.safeParse(raw);
  if (!parsed.success) return { bad: "invalid", message: describeProblem(parsed.error, raw) };
  const { id, generation, volumes, session, deadline, commandId } = parsed.data;
  if (name === "TouchSession" && commandId === undefined) {
    return { bad: "invalid", message: "commandId: given nothing; allowed: a text, another one for each call" };
  }
  const args = name === "StartSession" ? { spec: { ...session, id } } : { id };
  return {
    ok: {
      kind: "command",
      id: commandId ?? `${name}.${id}.${generation}`,
      name,
      args: {
        ...args,
        ...(generation === undefined ? {} : { generation }),
        ...(volumes === undefined ? {} : { volumes }),
      },
      deadlineMs: deadline === undefined ? undefined : Date.parse(deadline),
    },
    unknownFields: isObject(raw) ? unknownFields(raw, parsed.data) : [],
  };
}
