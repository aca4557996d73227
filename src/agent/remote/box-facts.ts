import { accessSync, constants, lstatSync, realpathSync, statSync } from "node:fs";
import { userInfo } from "node:os";
import type { RunProgram } from "../../base/spawn.ts";
import type { BoxUser } from "../../contract/remote/remote-grant.ts";
import type { ProgramDisk } from "./judge-program.ts";

/** What the box itself says. */
export interface BoxFacts {
  readonly disk: ProgramDisk;
  readonly isRoot: boolean;
  /** The agent's own user. */
  readonly self: BoxUser;
  /** `undefined`: there is no such user. */
  readonly userOf: (name: string) => Promise<BoxUser | undefined>;
}

export const systemProgramDisk: ProgramDisk = {
  realpath: (path) => orUndefined(() => realpathSync(path)),
  hasEntry: (path) => orUndefined(() => lstatSync(path)) !== undefined,
  isProgram: (path) =>
    orUndefined(() => {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    }) === true,
};

/** As the box's own lists of users say, whatever they come from (files, LDAP, …). */
export function systemBoxFacts({
  runProgram,
  userId,
}: {
  readonly runProgram: RunProgram;
  readonly userId: number;
}): BoxFacts {
  const { username, uid, gid, homedir, shell } = userInfo();
  return {
    disk: systemProgramDisk,
    isRoot: userId === 0,
    self: { name: username, uid, gid, home: homedir, shell: shell ?? "", isOther: false },
    userOf: async (name) => {
      const { code, stdout } = await runProgram("getent", ["passwd", "--", name], {
        timeoutMs: 5000,
        maxOutputBytes: 4096,
      });
      return code === 0 ? parseUser(stdout, name) : undefined;
    },
  };
}

/** A line of passwd(5). `undefined`: it is none, or another's. */
export function parseUser(text: string, name: string): BoxUser | undefined {
  const [found, , uid = "", gid = "", , home = "", shell = ""] = text.trim().split(":");
  if (found !== name || !/^\d+$/.test(uid) || !/^\d+$/.test(gid)) return undefined;
  return { name, uid: Number(uid), gid: Number(gid), home, shell, isOther: true };
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
