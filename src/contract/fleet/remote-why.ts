import { z } from "zod";
import { boxWhySchema } from "../remote/box-why.ts";
import { remoteOperationSchema } from "../remote/operation.ts";
import { REMOTE_STATES } from "./remote.ts";

/** What holds a remote session up. One of them, and always one. */
export const VERDICTS = [
  /** Bytes move, and nothing holds them up for long. */
  "moving",
  /** Nothing waits for anything. */
  "idle",
  "ended",
  /** Its command goes on without its operator. */
  "detached",
  /** One end has not come to the router. */
  "waiting-for-operator",
  "waiting-for-box",
  /** The command reads its standard input, and nothing comes. */
  "waiting-for-input",
  /** The operator's end does not take the output. */
  "waiting-for-reader",
  /** The receiver reads, and has no memory to let more come. */
  "waiting-for-credit",
  /** The command is stopped, computes, or sleeps; or it does not take its input. */
  "waiting-for-process",
  /** What was dialled says nothing, or takes nothing. */
  "target-silent",
  /** As much is under way as the link carries. */
  "link-saturated",
  /** An end does not answer, or is away. */
  "link-dead",
  /** The box cannot be asked, and nobody else knows. */
  "unknown",
] as const;
export type Verdict = (typeof VERDICTS)[number];

const milliseconds = z.number().min(0);

/** The pair as its router has it. */
export const routerWhySchema = z.object({
  id: z.string(),
  sides: z.array(z.enum(["operator", "box"])).optional(),
  /** How long an end has not read what waits for it; 0: it reads. */
  operatorStalledMs: milliseconds,
  boxStalledMs: milliseconds,
  /** Since it said anything at all. */
  operatorQuietMs: milliseconds,
  boxQuietMs: milliseconds,
});
export type RouterWhy = z.output<typeof routerWhySchema>;

/** `GET /v1/remote/{id}/why`. */
export const remoteWhyViewSchema = z.object({
  id: z.string(),
  box: z.string(),
  operator: z.string(),
  operation: remoteOperationSchema,
  state: z.enum(REMOTE_STATES),
  verdict: z.enum(VERDICTS),
  /** One sentence. */
  sentence: z.string(),
  /** What could not be learnt, a sentence each. */
  missing: z.array(z.string()),
  /** Absent: it has no pair of this session, or is not heard here. */
  router: routerWhySchema.optional(),
  onBox: boxWhySchema.optional(),
});
export type RemoteWhyView = z.output<typeof remoteWhyViewSchema>;
