import { z } from "zod";
import { END_REASONS } from "../remote/end-reason.ts";
import { routerAddressSchema } from "../remote/offer.ts";
import { ticketKeySchema } from "../remote/ticket-key.ts";
import { instantSchema } from "./page.ts";

/** A router tells its hub of itself this often, and at once where a session changes. */
export const ROUTER_BEAT_SECONDS = 2;
/** One that was not heard for so long gets no new sessions, and those that it had are taken to be broken. */
export const ROUTER_LOST_SECONDS = 10;

export const routerIdSchema = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/, "must be 1 to 64 lower-case letters, digits and dashes");

const countSchema = z.int().min(0);

/**
 * What has happened to a session at a router: both ends have met (`open`); or they are parted (`parted`) for this reason, and the
 * router has forgotten it.
 */
export const routerChangeSchema = z.discriminatedUnion("what", [
  z.object({ id: z.string().min(1).max(64), what: z.literal("open"), rendezvousMs: countSchema }),
  z.object({
    id: z.string().min(1).max(64),
    what: z.literal("parted"),
    reason: z.enum(END_REASONS),
    /** The end that went first; absent: the router itself. */
    by: z.enum(["operator", "box"]).optional(),
    /** One sentence. */
    message: z.string().max(1000),
    /** Since this pair has met. */
    bytesToBox: countSchema,
    bytesFromBox: countSchema,
  }),
]);
export type RouterChange = z.output<typeof routerChangeSchema>;

export const routerFigureSchema = z.object({
  id: z.string().min(1).max(64),
  /** Since this pair has met. */
  bytesToBox: countSchema,
  bytesFromBox: countSchema,
  /** How long the box, or the operator's program, has not read what waits for it; 0: it reads. Absent: an earlier router. */
  boxStalledMs: countSchema.optional(),
  operatorStalledMs: countSchema.optional(),
  /** Since it last said anything at all. */
  boxQuietMs: countSchema.optional(),
  operatorQuietMs: countSchema.optional(),
});
export type RouterFigure = z.output<typeof routerFigureSchema>;

/** `POST /v1/routers`: a router of its own registers, and with each later one says that it is still there. */
export const routerBeatSchema = z.strictObject({
  ...routerAddressSchema.shape,
  id: routerIdSchema,
  /** Where other routers reach this very one. Absent: calls for it are not handed on. */
  peerUrl: z.url({ protocol: /^https?$/ }).optional(),
  /** Program and version, for people. */
  version: z.string().min(1).max(100),
  /** It is about to end and takes no session. */
  draining: z.boolean().default(false),
  /** All that are open here now. */
  sessions: z.array(routerFigureSchema).max(10_000).default([]),
  /** Since the last beat that was answered, oldest first. */
  changes: z.array(routerChangeSchema).max(1000).default([]),
});
export type RouterBeat = z.input<typeof routerBeatSchema>;

/** `GET /v1/routers/keys`, for everybody: what tickets are signed with, a JWK Set. The next one is in it before it is used. */
export const ticketKeysSchema = z.object({ keys: z.array(ticketKeySchema) });

export const routerBeatAnswerSchema = z.object({
  /** Until the next beat. */
  beatSeconds: z.number(),
  keys: z.array(ticketKeySchema),
  /**
   * Sessions that are over, for the next two minutes: whoever is in one, or joins one, hears `Ended` with `TERMINATED` and this
   * message.
   */
  ended: z.array(z.object({ id: z.string(), message: z.string() })),
  /** The other routers that are there and have a `peerUrl`: calls with their tickets are handed on to them. */
  peers: z.array(routerAddressSchema).default([]),
});
export type RouterBeatAnswer = z.output<typeof routerBeatAnswerSchema>;

/** `GET /v1/routers`. */
export const routerViewSchema = z.object({
  id: z.string(),
  url: z.string(),
  version: z.string(),
  /** `lost`: not heard for `ROUTER_LOST_SECONDS`. */
  state: z.enum(["live", "draining", "lost"]),
  /** Part of a hub, and not a program of its own. */
  isHub: z.boolean(),
  sessions: z.int(),
  heardAt: instantSchema,
});
export type RouterView = z.output<typeof routerViewSchema>;
export const routerPathSchema = z.object({ id: routerIdSchema });
