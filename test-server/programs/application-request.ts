import { z } from "zod";

const id = z.int();
const port = z.int();
const host = z.string();

/** What `application.ts` is asked for. */
export const applicationRequestSchema = z.discriminatedUnion("do", [
  z.object({ id, do: z.literal("serve"), port, kind: z.enum(["echo", "count"]) }),
  /** Whether this text came in at the `echo` server of this port. */
  z.object({ id, do: z.literal("heard"), port, text: z.string() }),
  z.object({ id, do: z.literal("serve-rtmp"), port }),
  z.object({ id, do: z.literal("media-bytes"), key: z.string() }),
  z.object({ id, do: z.literal("open"), host, port }),
  z.object({ id, do: z.literal("say"), handle: z.int(), text: z.string() }),
  z.object({ id, do: z.literal("is-open"), handle: z.int() }),
  z.object({ id, do: z.literal("close"), handle: z.int() }),
  z.object({
    id,
    do: z.literal("exchange"),
    host,
    port,
    connections: z.int(),
    /** Over each connection. */
    bytes: z.int(),
    /** What is sent over and over. */
    payload: z.string(),
  }),
]);
type WithId = z.output<typeof applicationRequestSchema>;
type WithoutId<Request> = Request extends unknown ? Omit<Request, "id"> : never;
export type ApplicationRequest = WithoutId<WithId>;

export const exchangedSchema = z.object({
  /** Connections over which the other side got just what was sent. */
  right: z.int(),
  tookMs: z.number(),
});
export type Exchanged = z.output<typeof exchangedSchema>;

export const applicationAnswerSchema = z.object({ id, value: z.unknown().optional(), error: z.string().optional() });
