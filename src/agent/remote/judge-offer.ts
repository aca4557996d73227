import { join, normalize } from "node:path/posix";
import { AppError } from "../../base/errors.ts";
import { matchesEnding } from "../../base/matches-ending.ts";
import type { RemoteOffer } from "../../contract/remote/offer.ts";
import type { RemoteOperation } from "../../contract/remote/operation.ts";
import type { BoxUser, CommandGrant, RemoteGrant, SessionGrant } from "../../contract/remote/remote-grant.ts";
import { type RemotePolicy, remoteAbilities } from "../../contract/remote/remote-policy.ts";
import { isInsideRoots } from "../workload/stream/file-root.ts";
import type { BoxFacts } from "./box-facts.ts";
import { isAllowedProgram, lookUpProgram, type ProgramDisk } from "./judge-program.ts";
import { judgeRsync } from "./judge-rsync.ts";
import { judgeTargets } from "./judge-targets.ts";

const HOW = "allow it in the box's configuration (policy.remote)";

/**
 * Holds an offer against the box's policy, and says what of it may be done. Rejects with `refused` in one sentence that names the
 * rule, `not-found` for a user or a program that is not there, and `unsupported` for what this box cannot do.
 */
export async function judgeOffer(
  { operator, operation }: Pick<RemoteOffer, "operator" | "operation">,
  policy: RemotePolicy,
  box: BoxFacts,
): Promise<RemoteGrant> {
  if (!isOperatorAllowed(operator, policy)) {
    throw new AppError(
      "refused",
      remoteAbilities(policy).length === 0
        ? `remote access is off on this box; ${HOW}`
        : `policy.remote.operators: given ${operator}; allowed: ${listed(policy.operators)}`,
    );
  }
  return judgeOperation(operation, policy, box);
}

export function isOperatorAllowed(operator: string, { operators }: RemotePolicy): boolean {
  return operators.includes("*") || operators.includes(operator);
}

async function judgeOperation(operation: RemoteOperation, policy: RemotePolicy, box: BoxFacts): Promise<RemoteGrant> {
  switch (operation.kind) {
    case "exec":
      return judgeExec(operation, policy, box);
    case "shell":
      return judgeShell(operation, policy, box);
    case "attach":
      // Whose command it is, the holder knows.
      if (policy.commands.length === 0) throw new AppError("refused", `policy.remote.commands: given attach; ${HOW}`);
      return { kind: "attach", session: operation.session };
    case "forward":
      return { kind: "forward", targets: judgeTargets(operation.targets, policy.forward) };
    case "session":
      return judgeSession(operation, policy);
    case "rsync":
      return judgeRsync(operation, { rules: policy.rsync, user: await judgeUser(operation.user, policy, box) }, box);
  }
}

async function judgeExec(
  { argv, user: name, cwd, pty, detach }: Extract<RemoteOperation, { kind: "exec" }>,
  policy: RemotePolicy,
  box: BoxFacts,
): Promise<CommandGrant> {
  const user = await judgeUser(name, policy, box);
  const place = judgeDirectory(cwd, { user, policy, box });
  const [program = "", ...args] = argv;
  const isFree = policy.commands.includes("*");
  // Whether a program is there is nobody's business who may not run it.
  const found = lookUpProgram(program, place, box.disk);
  const allowed = found === undefined ? undefined : isAllowedProgram(found, policy.commands, box.disk);
  if (allowed === undefined && !(isFree && found === undefined)) {
    throw new AppError("refused", `policy.remote.commands: given ${program}; allowed: ${listed(policy.commands)}`);
  }
  return {
    kind: "command",
    asked: {
      argv: [...argv],
      ...(name === undefined ? {} : { user: name }),
      ...(cwd === undefined ? {} : { cwd }),
      pty,
    },
    // One that is not there is told when it is started: then its operator learns it as the end of that command.
    launch: { file: allowed ?? program, argv0: program, args },
    user,
    cwd: place,
    environment: isFree ? ["*"] : [...policy.environment],
    detach,
  };
}

async function judgeShell(
  { user: name, cwd, pty }: Extract<RemoteOperation, { kind: "shell" }>,
  policy: RemotePolicy,
  box: BoxFacts,
): Promise<CommandGrant> {
  if (!policy.shell) throw new AppError("refused", `policy.remote.shell: given true; allowed: false; ${HOW}`);
  const user = await judgeUser(name, policy, box);
  const place = judgeDirectory(cwd, { user, policy, box });
  const shell = loginShellOf(user, box.disk);
  return {
    kind: "command",
    asked: { argv: [], ...(name === undefined ? {} : { user: name }), ...(cwd === undefined ? {} : { cwd }), pty },
    // A dash before its name makes it a login shell.
    launch: { file: shell, argv0: `-${shell.slice(shell.lastIndexOf("/") + 1)}`, args: [] },
    user,
    cwd: place,
    environment: ["*"],
    detach: false,
  };
}

/** Whether it is here, sleeps or declares those ports is asked at each connection: it may come, go and wake meanwhile. */
function judgeSession(
  { session, ports }: Extract<RemoteOperation, { kind: "session" }>,
  { sessions }: RemotePolicy,
): SessionGrant {
  if (!sessions.some((pattern) => matchesEnding(pattern, session))) {
    throw new AppError("refused", `policy.remote.sessions: given ${session}; allowed: ${listed(sessions)}`);
  }
  return { kind: "session", session, ports: [...ports] };
}

const NO_LOGIN = /\/(?:nologin|false|true|sync)$/;

/** The agent's own user is a system user, whose entry forbids logins: a shell that policy allows is then the plain one. */
function loginShellOf({ shell, name, isOther }: BoxUser, disk: ProgramDisk): string {
  if (shell !== "" && !NO_LOGIN.test(shell) && disk.isProgram(shell)) return shell;
  if (isOther)
    throw new AppError("refused", `user: given ${name}; allowed: a user who may log in (its shell is ${shell})`);
  const plain = ["/bin/bash", "/bin/sh"].find((path) => disk.isProgram(path));
  if (plain === undefined) throw new AppError("unsupported", "this box has no shell: neither /bin/bash nor /bin/sh");
  return plain;
}

async function judgeUser(name: string | undefined, policy: RemotePolicy, box: BoxFacts): Promise<BoxUser> {
  if (name === undefined || name === box.self.name) return box.self;
  if (!policy.users.includes("*") && !policy.users.includes(name)) {
    throw new AppError(
      "refused",
      `policy.remote.users: given ${name}; allowed: ${listed([box.self.name, ...policy.users])}`,
    );
  }
  if (!box.isRoot) {
    throw new AppError(
      "unsupported",
      `user: given ${name}; allowed: ${box.self.name}, because the agent of this box does not run as root`,
    );
  }
  const user = await box.userOf(name);
  if (user === undefined) throw new AppError("not-found", `user: given ${name}; this box has no such user`);
  return user;
}

function judgeDirectory(
  cwd: string | undefined,
  { user, policy, box }: { readonly user: BoxUser; readonly policy: RemotePolicy; readonly box: BoxFacts },
): string {
  const home = homeOf(user, box.disk);
  if (cwd === undefined || normalize(join(cwd, "/")) === normalize(join(home, "/"))) return home;
  const real = cwd.split("/").includes("..") ? undefined : box.disk.realpath(cwd);
  if (real !== undefined && isInsideRoots(real, policy.directories, box.disk)) return real;
  const roots = policy.directories.map((root) => `${root} and what lies below`);
  throw new AppError("refused", `policy.remote.directories: given ${cwd}; allowed: ${listed([home, ...roots])}`);
}

/** Where that is gone or hidden, as it is for a hardened unit: the root. */
function homeOf({ home }: BoxUser, disk: ProgramDisk): string {
  return home !== "" && disk.realpath(home) !== undefined ? home : "/";
}

function listed(items: readonly string[]): string {
  return items.length === 0 ? "none" : items.join(", ");
}
