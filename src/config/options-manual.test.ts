import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { withOptionsManual } from "./options-manual.ts";

const PAGE = new URL("../../docs/configuration.md", import.meta.url).pathname;

// Rewrite the page after a change of the table: npx vitest run src/config/options-manual.test.ts -u
test("the manual lists every option as the table has it", async () => {
  await expect(withOptionsManual(await readFile(PAGE, "utf8"))).toMatchFileSnapshot(PAGE);
});
