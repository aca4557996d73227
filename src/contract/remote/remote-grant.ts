import { z } from "zod";

const boxUserSchema = z.object({
  name: z.string(),
  uid: z.int(),
  gid: z.int(),
  home: z.string(),
  shell: z.string(),
  /** Not the agent's own: only root can become it. */
  isOther: z.boolean(),
});
/** A user as the box knows it. */
export type BoxUser = z.output<typeof boxUserSchema>;

/**
 * What the box's policy made of an offer: what may be opened in the session, down to the file that runs. The holder does this and
 * nothing else, and judges nothing anew but what only shows itself then (variables, the addresses of a name).
 */
export const remoteGrantSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("command"),
    /** What the operator's side has to ask for, word for word. */
    asked: z.object({
      argv: z.array(z.string()),
      user: z.string().optional(),
      cwd: z.string().optional(),
      pty: z.boolean(),
    }),
    launch: z.object({ file: z.string(), argv0: z.string(), args: z.array(z.string()) }),
    user: boxUserSchema,
    cwd: z.string(),
    /** Names that may be set; `*` at the end of one stands for any ending. */
    environment: z.array(z.string()),
    /** It goes on without its operator. */
    detach: z.boolean(),
  }),
  /** To a command that this operator detached. */
  z.object({ kind: z.literal("attach"), session: z.string() }),
  z.object({
    kind: z.literal("forward"),
    targets: z.array(
      z.object({
        protocol: z.enum(["tcp", "udp"]),
        host: z.string(),
        from: z.int(),
        to: z.int(),
        /** `named`: what a name leads to must not be this machine, its links, or nobody: only a rule with the address itself allows that. */
        reach: z.enum(["any", "named"]),
        /** Of `localhost`, where rules name its addresses: these and no other, without a look-up. */
        addresses: z.array(z.string()).optional(),
      }),
    ),
  }),
  /** Ports of an application session, by where it listens. The agent is asked at each connection where they are. */
  z.object({
    kind: z.literal("session"),
    session: z.string(),
    ports: z.array(z.object({ port: z.int(), protocol: z.enum(["tcp", "udp"]) })),
  }),
]);
export type RemoteGrant = z.output<typeof remoteGrantSchema>;
export type CommandGrant = Extract<RemoteGrant, { kind: "command" }>;
export type ForwardGrant = Extract<RemoteGrant, { kind: "forward" }>;
export type SessionGrant = Extract<RemoteGrant, { kind: "session" }>;
export type GrantedTarget = ForwardGrant["targets"][number];
