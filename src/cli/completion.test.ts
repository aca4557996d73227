import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MAIN_PROGRAM } from "../../test-server/main-program.ts";
import { createTestContext } from "./command-context.fake.ts";
import { runProgram } from "./program.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-completion-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function run(args: readonly string[]) {
  const context = createTestContext(directory);
  const exitCode = await runProgram(args, context);
  return { exitCode, out: context.out(), err: context.err() };
}

test("bash completes commands, options and values from the program itself", async () => {
  const script = join(directory, "sluice.bash");
  await writeFile(script, (await run(["completion", "bash"])).out);
  const program = join(directory, "sluice");
  await writeFile(program, `#!/bin/sh\nexec "${process.execPath}" "${MAIN_PROGRAM}" "$@"\n`);
  await chmod(program, 0o755);
  const complete = async (...words: string[]) => {
    const line = `. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sluice; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const args = ["-c", line, "bash", script, program, ...words];
    const { stdout } = await promisify(execFile)("bash", args, { env: { HOME: directory, PATH: process.env["PATH"] } });
    return stdout.trim().split("\n");
  };
  expect(await complete("stre")).toEqual(["stream"]);
  expect(await complete("box", "enrol-token", "")).toEqual(["create", "ls", "rm"]);
  expect(await complete("token", "create", "x", "--role", "")).toEqual(["admin", "operator", "viewer", "router"]);
});

test("a hub that is not there completes nothing and says nothing", async () => {
  expect(await run(["completion", "words", "--", "box", "show", ""])).toEqual({ exitCode: 0, out: "", err: "" });
});

test.each(["zsh", "fish"])("there is a script for %s, and what is no shell is refused", async (shell) => {
  expect((await run(["completion", shell])).out).toContain("completion words --");
  expect(await run(["completion", "tcsh"])).toMatchObject({ exitCode: 64 });
});
