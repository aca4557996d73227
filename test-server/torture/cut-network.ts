import { execFileSync } from "node:child_process";
import { messageOf } from "../../src/base/errors.ts";

export type CutHow = "both" | "in" | "out" | "cable";

/** A second machine at the end of a cable of its own: a network namespace, and a firewall there that swallows packets. */
export interface CutNetwork extends Disposable {
  readonly namespace: string;
  /** Of the second machine. */
  readonly address: string;
  cut(how: CutHow): void;
  heal(): void;
}

/** The reason as text where this machine or this user cannot have one. */
export function makeCutNetwork(): CutNetwork | string {
  if (process.getuid?.() !== 0) return "not root";
  const index = process.pid % 10_000;
  const namespace = `sluice-t${index}`;
  const [near, far] = [`slt${index}a`, `slt${index}b`];
  const subnet = `10.${200 + (index % 50)}.${Math.floor(index / 50) % 250}`;
  const inside = (...words: string[]) => run("ip", "netns", "exec", namespace, ...words);
  const discard = () => {
    try {
      run("ip", "netns", "del", namespace);
    } catch {
      // It was never made.
    }
  };
  try {
    run("ip", "netns", "add", namespace);
    run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", namespace);
    run("ip", "addr", "add", `${subnet}.1/30`, "dev", near);
    run("ip", "link", "set", near, "up");
    run("ip", "-n", namespace, "addr", "add", `${subnet}.2/30`, "dev", far);
    for (const name of ["lo", far]) run("ip", "-n", namespace, "link", "set", name, "up");
    inside("nft", "list", "ruleset");
  } catch (thrown) {
    discard();
    return messageOf(thrown).split("\n")[0] ?? "";
  }
  return {
    namespace,
    address: `${subnet}.2`,
    cut: (how) => {
      if (how === "cable") {
        run("ip", "-n", namespace, "link", "set", far, "down");
        return;
      }
      inside("nft", "add", "table", "inet", "t");
      for (const hook of how === "both" ? ["input", "output"] : [`${how}put`]) {
        inside("nft", `add chain inet t ${hook} { type filter hook ${hook} priority 0; policy drop; }`);
      }
    },
    heal: () => {
      inside("nft", "flush", "ruleset");
      run("ip", "-n", namespace, "link", "set", far, "up");
    },
    [Symbol.dispose]: discard,
  };
}

function run(file: string, ...args: string[]): void {
  execFileSync(file, args, { stdio: "pipe" });
}
