import { z } from "zod";

/** Name of the command by which a hub asks a box how a remote session stands there. */
export const REMOTE_WHY_COMMAND = "remote-why";

export const remoteWhyArgsSchema = z.object({ session: z.string().min(1).max(64) });

const count = z.number().min(0);
const share = z.number().min(0);

/** One end's view of the other, as that tells it itself. */
const endSchema = z.object({
  /** Given to send, and waiting for credit, for its turn or for the link. */
  queuedBytes: count,
  /** Sent and not acknowledged. */
  unackedBytes: count,
  /** Received and not taken by whoever reads there. */
  heldBytes: count,
  /** How long nothing of it was taken. */
  heldMs: count,
});

/** The way between box and operator, as the box sees it. */
const linkSchema = z.object({
  isUp: z.boolean(),
  /** Smallest round trip; absent: not known yet. */
  rttMs: count.optional(),
  /** Since anything at all has come. */
  silentMs: count,
  /** The operator's end has answered after so long; absent: not within `waitedMs`. */
  answeredMs: count.optional(),
  waitedMs: count,
  unackedBytes: count,
  /** How much may be under way. */
  limitBytes: count,
  /** Since the operator's end had something new; absent: it never had. */
  ackedMs: count.optional(),
  /** Of the look: in how much of it bytes waited for the link, and for credit of the operator's end. 0 to 1. */
  fullShare: share,
  creditShare: share,
  /** Bytes of commands and connections in the look. */
  toBoxPerSecond: count,
  fromBoxPerSecond: count,
});

const commandSchema = z.object({
  pid: z.int(),
  hasExited: z.boolean(),
  /** Live ones of its session. */
  processes: z.int(),
  /** Of its busiest process: running, asleep, stopped by a signal, asleep and not to be woken (disk), or gone. */
  state: z.enum(["runs", "sleeps", "stopped", "uninterruptible", "gone"]),
  /** Processors in use in the look. */
  cpus: share,
  /** Function of the kernel that it sleeps in. */
  sleepsIn: z.string().max(64).optional(),
  /** It waits for its standard input; absent: the kernel does not tell. */
  readsInput: z.boolean().optional(),
  /** Its input may still get bytes. */
  isInputOpen: z.boolean(),
  /** What it has not taken of its input. */
  inputBytes: count,
});

const targetSchema = z.object({
  /** What it has taken. */
  bytes: count,
  /** What waits for it. */
  waitingBytes: count,
  /** What it has said. */
  saidBytes: count,
  /** Since it has said something; absent: it never has. */
  quietMs: count.optional(),
});

const channelSchema = z.object({
  id: z.int(),
  /** `command`, `terminal`, `tcp HOST:PORT`, `udp HOST:PORT`. */
  what: z.string().max(300),
  openMs: count,
  toBox: z.object({
    bytes: count,
    /** Not taken by the command or the target's socket. */
    heldBytes: count,
    heldMs: count,
    quietMs: count.optional(),
  }),
  fromBox: z.object({
    bytes: count,
    queuedBytes: count,
    creditBytes: count,
    quietMs: count.optional(),
    isEnded: z.boolean(),
  }),
  target: targetSchema.optional(),
  /** Of UDP: lost on the way here, not sent on, and flows that gave way. */
  drops: z.object({ lostBefore: count, notSent: count, evicted: count }).optional(),
});

/** How a remote session stands on its box. The answer to the command, as JSON: it must fit into 4000 characters. */
export const boxWhySchema = z.object({
  state: z.enum(["joining", "open", "broken", "detached", "ended"]),
  /** Why it is broken. */
  reason: z.string().max(300).optional(),
  link: linkSchema.optional(),
  /** Absent: it does not tell, or did not answer. */
  operator: endSchema.optional(),
  command: commandSchema.optional(),
  /** All of them; `channels` has those of which the most waits. */
  channelCount: z.int(),
  channels: z.array(channelSchema),
});
export type BoxWhy = z.output<typeof boxWhySchema>;
export type ChannelWhy = BoxWhy["channels"][number];
export type CommandWhy = NonNullable<BoxWhy["command"]>;
export const MAX_WHY_CHANNELS = 5;
