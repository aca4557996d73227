import type { Command } from "commander";
import type { CommandContext, Finish } from "./command-context.ts";
import { REMOTE_EXIT } from "./remote/remote-failure.ts";

export type CreateCommand = (context: CommandContext, finish: Finish) => Command;

export interface CommandEntry {
  readonly name: string;
  /** For the list of all commands. */
  readonly summary: string;
  readonly group: CommandGroup;
  /** Exit status of wrong arguments, where 64 may be that of a program on a box. */
  readonly usageExit?: number;
  /** Its code is read when it is named and not before: an agent holds none of the others'. */
  readonly load: () => Promise<CreateCommand>;
}

export type CommandGroup = "On a box:" | "On a hub's machine:" | "A fleet, through its hub:" | "Everywhere:";

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "agent",
    summary: "run the agent: keep the streams that the server expects of this box",
    group: "On a box:",
    load: async () => (await import("./commands/agent.ts")).agentCommand,
  },
  {
    name: "hub",
    summary: "run a hub: hold what every box should run, and show what it does",
    group: "On a hub's machine:",
    load: async () => (await import("./commands/hub.ts")).hubCommand,
  },
  {
    name: "router",
    summary: "run a router: bring both ends of remote sessions together, for a hub",
    group: "On a hub's machine:",
    load: async () => (await import("./commands/router.ts")).routerCommand,
  },
  {
    name: "enrol",
    summary: "make this box one of a hub's, with a one-time token",
    group: "On a box:",
    load: async () => (await import("./commands/enrol.ts")).enrolCommand,
  },
  {
    name: "status",
    summary: "show the link, what is expected, and every workload with its state and cause",
    group: "On a box:",
    load: async () => (await import("./commands/status.ts")).statusCommand,
  },
  {
    name: "explain",
    summary: "say why a workload is in its state",
    group: "On a box:",
    load: async () => (await import("./commands/explain.ts")).explainCommand,
  },
  {
    name: "reconcile",
    summary: "compare what runs with what is expected now, and mend the difference",
    group: "On a box:",
    load: async () => (await import("./commands/reconcile.ts")).reconcileCommand,
  },
  {
    name: "cleanup",
    summary: "stop processes that are ours and should not be there",
    group: "On a box:",
    load: async () => (await import("./commands/cleanup.ts")).cleanupCommand,
  },
  {
    name: "doctor",
    summary: "check what streams need here, and the way to the server",
    group: "On a box:",
    load: async () => (await import("./commands/doctor.ts")).doctorCommand,
  },
  {
    name: "login",
    summary: "keep the address and the token of a hub",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/login.ts")).loginCommand,
  },
  {
    name: "context",
    summary: "show and choose among the hubs that were logged in to",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/context.ts")).contextCommand,
  },
  {
    name: "box",
    summary: "the boxes of the fleet: look, label, drain, approve, revoke, enrol",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/box.ts")).boxCommand,
  },
  {
    name: "stream",
    summary: "the streams of the fleet: look, start, stop, hibernate, explain",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/stream.ts")).streamCommand,
  },
  {
    name: "rollout",
    summary: "one stream on every box whose labels match",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/rollout.ts")).rolloutCommand,
  },
  {
    name: "tunnel",
    summary: "two boxes joined by verified encryption: up, look, change keys, down",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/tunnel.ts")).tunnelCommand,
  },
  {
    name: "session",
    summary: "applications on boxes: start, look, hibernate, wake, stop",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/session.ts")).sessionCommand,
  },
  {
    name: "sync",
    summary: "files and trees from box to box: copy, compare, look, cancel, retry",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/sync.ts")).syncCommand,
  },
  {
    name: "exec",
    summary: "run a command on a box, or on many, or open a shell there",
    group: "A fleet, through its hub:",
    usageExit: REMOTE_EXIT.usage,
    load: async () => (await import("./commands/exec.ts")).execCommand,
  },
  {
    name: "forward",
    summary: "reach ports of a box, and what it can reach, from here",
    group: "A fleet, through its hub:",
    usageExit: REMOTE_EXIT.usage,
    load: async () => (await import("./commands/forward.ts")).forwardCommand,
  },
  {
    name: "rsync",
    summary: "copy files to and from boxes with rsync, once or on every change",
    group: "A fleet, through its hub:",
    usageExit: REMOTE_EXIT.usage,
    load: async () => (await import("./commands/rsync.ts")).rsyncCommand,
  },
  {
    name: "rsh",
    summary: "what rsync calls in the place of ssh",
    group: "A fleet, through its hub:",
    usageExit: REMOTE_EXIT.usage,
    load: async () => (await import("./commands/rsh.ts")).rshCommand,
  },
  {
    name: "remote",
    summary: "open remote sessions: look, end",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/remote.ts")).remoteCommand,
  },
  {
    name: "link",
    summary: "links to hubs that stay behind commands: look, end",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/link.ts")).linkCommand,
  },
  {
    name: "why",
    summary: "say what holds a remote session up",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/why.ts")).whyCommand,
  },
  {
    name: "apply",
    summary: "make the fleet what a file says: show what differs, ask, change only that",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/apply.ts")).applyCommand,
  },
  {
    name: "events",
    summary: "what happens in the fleet",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/events.ts")).eventsCommand,
  },
  {
    name: "alert",
    summary: "alerts that fire, their rules and messages",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/alert.ts")).alertCommand,
  },
  {
    name: "token",
    summary: "tokens of the people and programs that use the hub",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/token.ts")).tokenCommand,
  },
  {
    name: "audit",
    summary: "who did what to what",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/audit.ts")).auditCommand,
  },
  {
    name: "backup",
    summary: "fetch the hub's whole store into a file",
    group: "A fleet, through its hub:",
    load: async () => (await import("./commands/backup.ts")).backupCommand,
  },
  {
    name: "logs",
    summary: "print a workload's own output, or the agent's log",
    group: "Everywhere:",
    load: async () => (await import("./commands/logs.ts")).logsCommand,
  },
  {
    name: "completion",
    summary: "print a script that lets a shell complete commands and names",
    group: "Everywhere:",
    load: async () => (await import("./commands/completion.ts")).completionCommand,
  },
  {
    name: "version",
    summary: "print the version of Sluice and of the Node it runs on",
    group: "Everywhere:",
    load: async () => (await import("./commands/version.ts")).versionCommand,
  },
];
