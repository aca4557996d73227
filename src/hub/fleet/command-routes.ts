import { AppError } from "../../base/errors.ts";
import { boxPathSchema } from "../../contract/fleet/box-view.ts";
import {
  type CommandView,
  commandCreateSchema,
  commandPathSchema,
  commandViewSchema,
  MAX_COMMAND_ARGS_BYTES,
} from "../../contract/fleet/command-view.ts";
import { pageQuerySchema, pageSchema } from "../../contract/fleet/page.ts";
import { maskWorkload } from "../../contract/mask-workload.ts";
import { maskOffer } from "../../contract/remote/mask-offer.ts";
import { REMOTE_COMMAND } from "../../contract/remote/offer.ts";
import { isSessionCommand, parseSessionCommand, type SessionCommand } from "../../contract/session-command.ts";
import { type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import type { Command } from "../store/command-list.ts";
import { notFound } from "../store/store-error.ts";
import { isoOf, writeOf } from "./write-of.ts";

/** What a box is asked to do once: at most once, and never after its deadline. */
export function createCommandRoutes({ store, clock, newSecret }: HubContext): readonly Route[] {
  const listOf = async (boxId: string) => {
    if ((await store.boxes.get(boxId)) === undefined) throw notFound("box", boxId);
    return store.commands.list(boxId, clock.wallMs());
  };

  /** A box that has not said what it takes may come to take it before the deadline. */
  const requireCapability = async (boxId: string, name: string) => {
    const capabilities = (await store.reports.get(boxId))?.report.capabilities;
    if (capabilities === undefined || capabilities.includes(`command:${name}`)) return;
    const taken = capabilities.flatMap((text) => (text.startsWith("command:") ? [text.slice("command:".length)] : []));
    throw new AppError(
      "unsupported",
      `name: ${name} given; the agent of box ${boxId} takes ${taken.join(", ") || "no commands"}`,
      { field: "name" },
    );
  };

  return [
    route({
      method: "POST",
      path: "/v1/boxes/{box}/commands",
      access: "operator",
      summary: "Ask a box to do something once; its answer is in the command",
      params: boxPathSchema,
      body: commandCreateSchema,
      answer: commandViewSchema,
      status: 201,
      handle: async (call) => {
        const { box } = call.params;
        const { name, args, deadlineSeconds } = call.body;
        if (name === REMOTE_COMMAND) throw noOffer();
        const subject = subjectOf(name, args);
        if (subject !== undefined) await requireCapability(box, name);
        const id = `c-${newSecret().slice(0, 16)}`;
        const detail = `${name} (${id})${subject === undefined ? "" : ` for ${subject}`}`;
        const context = writeOf(call, clock, { action: "command.create", subject: `box/${box}`, detail });
        const deadlineMs = clock.wallMs() + deadlineSeconds * 1000;
        const asked = { id, name, args, deadlineMs, isAudited: true };
        return commandView(await store.commands.create(box, asked, context));
      },
    }),
    route({
      method: "GET",
      path: "/v1/boxes/{box}/commands",
      access: "viewer",
      summary: "Commands of a box, newest first: all that are open, and the last that are finished",
      params: boxPathSchema,
      query: pageQuerySchema,
      answer: pageSchema(commandViewSchema),
      handle: async ({ params, query }) => {
        const newestFirst = [...(await listOf(params.box))].sort((one, other) => other.generation - one.generation);
        const from = newestFirst.findIndex(({ id }) => id === query.after) + 1;
        const items = newestFirst.slice(from, from + query.limit);
        const last = items.at(-1);
        const isMore = from + items.length < newestFirst.length && last !== undefined;
        return { items: items.map(commandView), ...(isMore ? { next: last.id } : {}) };
      },
    }),
    route({
      method: "GET",
      path: "/v1/boxes/{box}/commands/{id}",
      access: "viewer",
      summary: "One command, with its answer when it has one",
      params: commandPathSchema,
      answer: commandViewSchema,
      handle: async ({ params }) => {
        const command = (await listOf(params.box)).find(({ id }) => id === params.id);
        if (command === undefined) throw notFound(`command of box ${params.box}`, params.id);
        return commandView(command);
      },
    }),
  ];
}

/** A session that nobody admitted would pass limits, rights and the audit log. */
function noOffer(): AppError {
  return new AppError("refused", "name: remote given; remote sessions are made by POST /v1/boxes/{box}/remote alone", {
    field: "name",
  });
}

/**
 * The session that a command is about, as `session web (generation 3)`; undefined for one that is about none. Throws `invalid`
 * with the first field that is wrong.
 */
function subjectOf(name: string, args: Readonly<Record<string, unknown>>): string | undefined {
  const bytes = Buffer.byteLength(JSON.stringify(args));
  if (bytes > MAX_COMMAND_ARGS_BYTES) {
    throw new AppError("invalid", `args: given ${bytes} bytes; allowed: at most ${MAX_COMMAND_ARGS_BYTES}`, {
      field: "args",
    });
  }
  if (!isSessionCommand(name)) return undefined;
  const parsed = parseSessionCommand(name, args);
  if ("problem" in parsed) throw new AppError("invalid", parsed.problem, { field: parsed.field });
  return describe(parsed.command);
}

function describe(command: SessionCommand): string {
  if (command.name === "TouchSession") return `session ${command.id}`;
  const id = command.name === "StartSession" ? command.spec.id : command.id;
  return `session ${id} (generation ${command.generation})`;
}

/** Pure. */
export function commandView(command: Command): CommandView {
  const { id, boxId, name, args, generation, state, createdMs, deadlineMs, takenMs, finishedMs, answer } = command;
  return {
    id,
    box: boxId,
    name,
    args: { ...maskOffer(name, maskWorkload(args)) },
    generation,
    state,
    createdAt: isoOf(createdMs),
    deadline: isoOf(deadlineMs),
    ...(takenMs === undefined ? {} : { takenAt: isoOf(takenMs) }),
    ...(finishedMs === undefined ? {} : { finishedAt: isoOf(finishedMs) }),
    ...(answer === undefined ? {} : { answer }),
  };
}
