import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { Parts } from "../parts.ts";
import type { BookedCommand } from "../state/command-book.ts";
import { parseBody } from "./parse-body.ts";

const commandSchema = z.strictObject({
  name: z.string().min(1).max(128),
  args: z.record(z.string(), z.unknown()).default({}),
  /** The same id again is the same command again. Left out: a new one. */
  id: z.string().min(1).max(128).optional(),
  deadlineSeconds: z.number().min(0.1).max(86_400).default(60),
});

/** `POST /commands` asks every box that is connected to do something once; `GET /commands` shows what came of it. */
export function registerCommandsRoute(app: FastifyInstance, parts: Parts): void {
  let count = 0;
  app.post("/commands", (request, reply) => {
    const { name, args, id, deadlineSeconds } = parseBody(commandSchema, request.body);
    const deadlineMs = parts.clock.wallMs() + deadlineSeconds * 1000;
    const command = parts.commands.send({
      id: id ?? `c-${parts.set.snapshot().epoch}-${++count}`,
      name,
      args,
      deadlineMs,
    });
    const clients = parts.room.count();
    parts.log.write("command", `${name} (${command.id}) for ${clients} connected`);
    reply.code(201).send({ ...commandView(command), clients });
  });
  app.get("/commands", () => ({ commands: parts.commands.list().map(commandView) }));
}

export function commandView({ deadlineMs, sentAtMs, ...command }: BookedCommand) {
  return {
    ...command,
    sentAt: new Date(sentAtMs).toISOString(),
    deadline: new Date(deadlineMs).toISOString(),
  };
}
