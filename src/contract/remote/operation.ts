import { z } from "zod";
import { PORT_PROTOCOLS, sessionIdSchema } from "../session-spec.ts";

/** Bytes of all arguments of a command together: an offer travels as one event. */
export const MAX_ARGV_BYTES = 32 * 1024;
const MAX_TARGETS = 64;
const MAX_ARGUMENTS = 1024;

const portSchema = z.int().min(1).max(65_535);
const argument = z.string().refine((text) => !text.includes("\0"), "must not hold a NUL character");
const argv = z
  .array(argument)
  .min(1)
  .max(MAX_ARGUMENTS)
  .refine(([program = ""]) => program !== "", "must begin with a program")
  .refine(
    (all) => Buffer.byteLength(all.join("\0")) <= MAX_ARGV_BYTES,
    `must have at most ${MAX_ARGV_BYTES} bytes in all`,
  );
const userName = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?$/, "must be the name of a user of the box");
const directory = z.string().max(4096).startsWith("/", "must be an absolute path");

/** Where the connections of a forward go, as seen from the box. */
export const forwardTargetSchema = z
  .strictObject({
    protocol: z.enum(["tcp", "udp"]),
    /** Name or address. Looked up on the box. */
    host: z.string().min(1).max(253),
    from: portSchema,
    /** The last port of a range; the same as `from` for one. */
    to: portSchema,
  })
  .refine(({ from, to }) => from <= to, { message: "must not be below from", path: ["to"] });
export type ForwardTarget = z.output<typeof forwardTargetSchema>;

/** A port that an application session declares, as it declares it. Where it is on the box the box alone says. */
const declaredPortSchema = z.strictObject({ port: portSchema, protocol: z.enum(PORT_PROTOCOLS) });
export type DeclaredPort = z.output<typeof declaredPortSchema>;

/**
 * What a remote session is for. It is fixed when the session is created: the hub writes it into its audit log, the box judges it by
 * its own policy and does nothing else in this session.
 */
export const remoteOperationSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("exec"),
    /** Program and arguments, never a shell's text. */
    argv,
    /** Absent: the agent's own user. */
    user: userName.optional(),
    cwd: directory.optional(),
    pty: z.boolean().default(false),
    /** It goes on without its operator. */
    detach: z.boolean().default(false),
  }),
  z.strictObject({
    /** The user's own login shell, on a terminal unless `pty` is false. */
    kind: z.literal("shell"),
    user: userName.optional(),
    cwd: directory.optional(),
    pty: z.boolean().default(true),
  }),
  z.strictObject({
    /** To a command that was detached. */
    kind: z.literal("attach"),
    session: z.string().min(1).max(64),
  }),
  z.strictObject({
    kind: z.literal("forward"),
    targets: z.array(forwardTargetSchema).min(1).max(MAX_TARGETS),
  }),
  z.strictObject({
    /** Ports of an application session, wherever they are on the box at the time of each connection. */
    kind: z.literal("session"),
    session: sessionIdSchema,
    ports: z.array(declaredPortSchema).min(1).max(MAX_TARGETS),
  }),
  z.strictObject({
    /** What the user's own rsync asks for: `rsync --server …`. */
    kind: z.literal("rsync"),
    argv,
    /** Absent: the agent's own user. */
    user: userName.optional(),
  }),
]);
export type RemoteOperation = z.output<typeof remoteOperationSchema>;

/** One line for people and for audit logs. Pure. */
export function describeOperation(operation: RemoteOperation): string {
  switch (operation.kind) {
    case "exec":
      return `exec ${operation.argv.map(quote).join(" ")}${operation.user === undefined ? "" : ` as ${operation.user}`}`;
    case "shell":
      return `shell${operation.user === undefined ? "" : ` as ${operation.user}`}${operation.cwd === undefined ? "" : ` in ${operation.cwd}`}`;
    case "attach":
      return `attach to ${operation.session}`;
    case "forward":
      return `forward to ${operation.targets.map(describeTarget).join(", ")}`;
    case "session":
      return `session ${operation.session}, ${operation.ports.map(({ port, protocol }) => `${port}/${protocol}`).join(", ")}`;
    case "rsync":
      return `${operation.argv.map(quote).join(" ")}${operation.user === undefined ? "" : ` as ${operation.user}`}`;
  }
}

function describeTarget({ protocol, host, from, to }: ForwardTarget): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return `${name}:${from === to ? from : `${from}-${to}`}/${protocol}`;
}

function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
