import { randomUUID } from "node:crypto";
import { z } from "zod";
import { systemClock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { commandViewSchema } from "../../src/contract/fleet/command-view.ts";
import { expectedChangeSchema } from "../../src/contract/fleet/expected-view.ts";
import type { Chance } from "../torture/draw-action.ts";
import { violation } from "../torture/violation.ts";
import { type BoxModel, drawWrite, type FleetWrite, firstWrite } from "./draw-write.ts";

/** Writes what one box should run, as people do over the balancer: each request is repeated under its id until it is answered. */
export interface FleetWriter {
  model(): BoxModel;
  /** Commands that the fleet acknowledged. */
  commands(): readonly string[];
  /** Requests whose answer was lost or a refusal for now, and which were sent again. */
  repeated(): number;
  /** The stream that is never to be interrupted. */
  begin(): Promise<void>;
  /** One write; with a small chance also a command. Rejects with `violated` when an answer cannot be. */
  step(): Promise<void>;
}

export interface FleetWriterOptions {
  readonly boxId: string;
  readonly origin: string;
  readonly token: string;
}

const REQUEST_MS = 10_000;
/** For one write, over all its repetitions. */
const INSIST_MS = 60_000;
const COMMANDS_IN_A_HUNDRED = 10;

export function createFleetWriter(options: FleetWriterOptions, chance: Chance): FleetWriter {
  const { boxId, origin, token } = options;
  const commands: string[] = [];
  let model: BoxModel = { boxId, revision: 0, entries: new Map() };
  let repeated = 0;

  /** The answer's body. A request whose answer never came is sent again under the same id, so that it happens once. */
  const insist = async (asked: Pick<FleetWrite, "method" | "path" | "body"> & { readonly ifMatch?: number }) => {
    const key = randomUUID();
    const endMs = systemClock.monotonicMs() + INSIST_MS;
    for (;;) {
      const answer = await send(asked, key).catch((thrown: unknown) => ({ status: 0, text: messageOf(thrown) }));
      if (answer.status >= 200 && answer.status < 300) return JSON.parse(answer.text) as unknown;
      const isForNow = answer.status === 0 || answer.status === 429 || answer.status >= 500;
      const said = `${asked.method} ${asked.path}: ${answer.status} ${answer.text}`;
      if (!isForNow) throw violation("writes", said);
      if (systemClock.monotonicMs() > endMs) throw new AppError("timeout", `not within ${INSIST_MS} ms: ${said}`);
      repeated++;
      await systemClock.delay(100);
    }
  };
  const send = async (asked: Parameters<typeof insist>[0], key: string) => {
    const { method, path, body, ifMatch } = asked;
    const response = await fetch(`${origin}${path}`, {
      method,
      signal: AbortSignal.timeout(REQUEST_MS),
      headers: {
        authorization: `Bearer ${token}`,
        "idempotency-key": key,
        ...(ifMatch === undefined ? {} : { "if-match": `"${ifMatch}"` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, text: await response.text() };
  };

  const write = async (asked: FleetWrite) => {
    const { method, path, body, next } = asked;
    const condition = asked.isConditional ? { ifMatch: model.revision } : {};
    const answer = expectedChangeSchema.parse(await insist({ method, path, body, ...condition }));
    if (!answer.changed || answer.revision !== next.revision) {
      const given = `revision ${answer.revision}${answer.changed ? "" : ", nothing changed"}`;
      throw violation("writes", `${method} ${path} was to be revision ${next.revision} and was answered: ${given}`);
    }
    model = next;
  };

  return {
    model: () => model,
    commands: () => commands,
    repeated: () => repeated,
    begin: () => write(firstWrite(boxId)),
    step: async () => {
      await write(drawWrite(chance, model));
      if (chance.below(100) >= COMMANDS_IN_A_HUNDRED) return;
      const body = { name: "reconcile", deadlineSeconds: 30 };
      const made = await insist({ method: "POST", path: `/v1/boxes/${boxId}/commands`, body });
      commands.push(
        commandViewSchema
          .pick({ id: true })
          .extend({ box: z.literal(boxId) })
          .parse(made).id,
      );
    },
  };
}
