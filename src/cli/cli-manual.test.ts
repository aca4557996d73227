import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { withCliManual } from "./cli-manual.ts";
import { createTestContext } from "./command-context.fake.ts";
import { createProgram } from "./program.ts";

const PAGE = new URL("../../docs/cli.md", import.meta.url).pathname;
const whole = () => createProgram(createTestContext("/nowhere"), { named: "all", finish: () => undefined });

// Rewrite the page after a change of a command: npx vitest run src/cli/cli-manual.test.ts -u
test("the manual shows every command as its own help has it", async () => {
  await expect(withCliManual(await readFile(PAGE, "utf8"), await whole())).toMatchFileSnapshot(PAGE);
});

test("every command and every option says what it is for", async () => {
  const silent: string[] = [];
  const visit = (path: string, command: Awaited<ReturnType<typeof whole>>) => {
    if (command.description() === "") silent.push(path);
    for (const { flags, description } of command.options) {
      if (description === "" && flags !== "--lines <number>") silent.push(`${path} ${flags}`);
    }
    for (const child of command.commands) visit(`${path} ${child.name()}`, child);
  };
  visit("sluice", await whole());
  expect(silent).toEqual([]);
});
