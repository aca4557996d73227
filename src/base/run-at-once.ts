import { execaSync } from "execa";

const LIMIT_MS = 2000;

/** Runs a program that takes milliseconds, with nothing else going on meanwhile. False where it failed, or is not there. */
export function runAtOnce(file: string, args: readonly string[]): boolean {
  return execaSync(file, [...args], { reject: false, stdio: "ignore", timeout: LIMIT_MS }).exitCode === 0;
}
