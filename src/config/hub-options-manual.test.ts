import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { withHubOptionsManual } from "./print-hub-options.ts";

const PAGE = new URL("../../docs/hub-configuration.md", import.meta.url).pathname;

// Rewrite the page after a change of the table: npx vitest run src/config/hub-options-manual.test.ts -u
test("the manual lists every option of the hub as the table has it", async () => {
  await expect(withHubOptionsManual(await readFile(PAGE, "utf8"))).toMatchFileSnapshot(PAGE);
});
