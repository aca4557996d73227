import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../../src/base/errors.ts";
import { createSystemdBox, type SystemdBox, systemdBoxProblem } from "../../../test-server/systemd-box.ts";
import type { Lab } from "../lab.ts";
import type { Peer } from "./peer.ts";

/** systemd alone, with its defaults and `Restart=always`: first process of a container of its own. Throws `unavailable` where there can be none. */
export async function createSystemd(version: string, lab: Lab): Promise<Peer> {
  const problem = systemdBoxProblem();
  if (problem !== undefined) throw new AppError("unavailable", `systemd: ${problem}`);
  const box: SystemdBox = await createSystemdBox({ shared: [lab.directory] });
  let count = 0;
  return {
    name: version,
    start: async (program, copies) => {
      count = copies;
      // The lab knows its processes by their home.
      const lines = ["[Service]", `ExecStart=${program}`, "Restart=always", `Environment=HOME=${lab.directory}`];
      writeFileSync(join(box.root, "etc/systemd/system/program@.service"), `${lines.join("\n")}\n`);
      await box.boot();
      for (let index = 0; index < count; index++) await box.ok("systemctl", "start", `program@${index}`);
    },
    daemonPid: () => -1,
    hostPid: (pid) => lab.pids().find((candidate) => numberInside(candidate) === pid) ?? -1,
    killDaemon: box.powerCut,
    startAgain: () => box.boot(),
    stop: async () => box[Symbol.asyncDispose](),
  };
}

/** Of the innermost process namespace. */
function numberInside(pid: number): number {
  try {
    return Number(/^NSpid:.*\s(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return Number.NaN;
  }
}
