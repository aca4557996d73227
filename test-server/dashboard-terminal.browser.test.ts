import { readFile } from "node:fs/promises";
import { type Browser, chromium, type FrameLocator, type Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { tokenCreatedSchema } from "../src/contract/fleet/token.ts";
import { CHROMIUM } from "./chromium.ts";
import { go, hasBrowser, signIn, visit } from "./dashboard-visit.ts";
import { startRelay } from "./relay.ts";
import { createRemoteWorld, type RemoteWorld } from "./remote-world.ts";
import { enrolReportedBox } from "./reported-box.ts";

/** A real hub with its router, a real agent with its holder and a real shell, seen by a real browser. */
let browser: Browser;
let world: RemoteWorld;
beforeAll(async () => {
  if (!hasBrowser) return;
  [browser, world] = await Promise.all([
    chromium.launch(CHROMIUM),
    createRemoteWorld({ hubFlags: ["--remote-recordings", "asked"] }),
  ]);
}, 180_000);
afterAll(async () => {
  if (!hasBrowser) return;
  await browser.close();
  await world[Symbol.asyncDispose]();
});

/** A browser, two pages and four processes of Sluice on a busy machine. */
const STEP_MS = 80_000;

const frameOf = (page: Page) => page.frameLocator("iframe.terminal-frame");

/** Until the terminal shows it. */
function shows(frame: FrameLocator, text: string | RegExp) {
  return frame.locator(".xterm-rows").getByText(text).first().waitFor();
}

/** As the keyboard of a phone does it: many letters at once, which takes the browser less time. The terminal takes them after a key that was let go. */
async function type(page: Page, line: string) {
  await page.keyboard.press("Space");
  await page.keyboard.insertText(line);
  await page.keyboard.press("Enter");
}

test
  .skipIf(!hasBrowser)
  .concurrent(
    "an operator has a shell in the browser, over a broken connection, ends it, and plays what it has shown",
    { timeout: 240_000 },
    async ({ expect }) => {
      const hub = world.hub();
      await using relay = await startRelay(() => hub.port);
      const made = tokenCreatedSchema.parse(await hub.call("POST", "/v1/tokens", { name: "anna", role: "operator" }));
      const { page, complaints } = await visit(browser, `http://127.0.0.1:${relay.port}`);
      const card = page.getByRole("region", { name: "Terminal" });
      const status = card.locator("[data-status]");
      const frame = frameOf(page);
      const open = page.locator('[data-phase="open"]');
      page.setDefaultTimeout(STEP_MS);
      await signIn(page, made.token ?? "");
      await page.goto(`http://127.0.0.1:${relay.port}/#/boxes/${world.boxId}`);
      await page.getByRole("link", { name: "Terminal" }).click();

      // What the box does not allow is told in its words.
      await card.getByLabel("User (may stay empty)").fill("nobody-such");
      await card.getByRole("button", { name: "Open" }).click();
      await status.getByText(/policy\.remote\.users: given nobody-such; allowed:/).waitFor();
      await card.getByLabel("User (may stay empty)").fill("");
      await card.getByLabel("Directory (may stay empty)").fill(world.directory);
      await card.getByLabel("Record what it shows").check();
      await card.getByRole("button", { name: "Open again" }).click();
      await open.waitFor();
      await card.getByText("recorded", { exact: true }).waitFor();

      await type(page, "echo here:$PWD:$((6*7))");
      await shows(frame, `here:${world.directory}:42`);
      await page.setViewportSize({ width: 700, height: 700 });
      const sizeOf = async () => {
        const size: unknown = await frame.locator("html").evaluate("window.terminalScreen.size()");
        return size as { readonly cols: number; readonly rows: number };
      };
      await expect.poll(async () => (await sizeOf()).cols).toBeLessThan(90);
      const { cols, rows } = await sizeOf();
      await type(page, "echo size:$(stty size):");
      await shows(frame, `size:${rows} ${cols}:`);

      // The way out by keyboard, and back.
      await page.keyboard.press("Control+Shift+E");
      expect(await page.evaluate("document.activeElement.id")).toBe("terminal-tools");
      await frame.getByRole("textbox").focus();

      relay.cut();
      await page.locator('[data-phase="away"]').waitFor();
      await status.getByText(/connection to the hub is lost/).waitFor();
      await type(page, "echo kept:$((1+1)):once");
      relay.mend();
      await open.waitFor();
      await shows(frame, "kept:2:once");

      // Chromium asks whether the page may go, since a shell is open in it.
      page.once("dialog", (dialog) => void dialog.accept());
      await page.reload();
      await open.waitFor();
      await shows(frame, "kept:2:once");
      await card.getByText("recorded", { exact: true }).waitFor();
      await frame.getByRole("textbox").focus();
      await type(page, "exit 3");
      await status.getByText("The shell has ended with exit code 3.").waitFor();
      await expect.poll(() => page.evaluate("document.activeElement.id")).toBe("terminal-open");
      expect(
        await frame
          .locator(".xterm-rows > div")
          .filter({ hasText: /^kept:2:once/ })
          .count(),
      ).toBe(1);

      await card.getByRole("link", { name: "Play the recording" }).click();
      const player = page.getByRole("group", { name: "Playback" });
      await player.getByRole("button", { name: "Pause" }).click();
      await player.getByLabel("Position").fill("0");
      await expect.poll(() => frame.locator(".xterm-rows").textContent()).not.toContain("here:");
      await player.getByLabel("Speed").selectOption("16");
      await player.getByRole("button", { name: "Play" }).click();
      await shows(frame, "kept:2:once");
      await player.getByRole("button", { name: "Play" }).waitFor();
      const download = page.waitForEvent("download");
      await page.getByRole("button", { name: "Save as asciicast" }).click();
      const saved = await download;
      expect(saved.suggestedFilename()).toMatch(/\.cast$/);
      const [head = ""] = (await readFile(await saved.path(), "utf8")).split("\n");
      expect(JSON.parse(head)).toMatchObject({ version: 2, title: `anna on ${world.boxId}` });
      await page.close();
      expect(complaints).toEqual([]);
    },
  );

test
  .skipIf(!hasBrowser)
  .concurrent(
    "on a phone an admin ends somebody's shell, and a box without policy says so before anybody asks",
    { timeout: 240_000 },
    async ({ expect }) => {
      const hub = world.hub();
      const closed = await enrolReportedBox(hub, "closed-1");
      await closed.report({ capabilities: ["command:remote"] });
      const holder = world.start(["exec", world.boxId, "--", "/bin/sleep", "600"]);
      const { page, complaints } = await visit(browser, hub.origin, { width: 360, colorScheme: "dark" });
      page.setDefaultTimeout(STEP_MS);
      await signIn(page, hub.adminToken);
      const fits = async () =>
        expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);

      await page.goto(`${hub.origin}/#/boxes/${world.boxId}/terminal`);
      await page.getByRole("button", { name: "Open" }).click();
      await page.locator('[data-phase="open"]').waitFor();
      const frame = frameOf(page);
      await type(page, `sh -c 'trap "echo got:$((40+2)); exit" INT; echo go:$((1+1)); while sleep 0.1; do :; done'`);
      await shows(frame, "go:2");
      await page.getByRole("button", { name: "Control C" }).click();
      await shows(frame, "got:42");
      await page.getByLabel("For screen readers").check();
      await frame.locator(".live-region").waitFor({ state: "attached" });
      await fits();
      await page.getByRole("button", { name: "Hang up" }).click();
      await page.getByText("You have hung up.", { exact: true }).first().waitFor();

      await go(page, "Remote");
      const row = page.locator('[data-remote][data-state="open"]').filter({ hasText: "/bin/sleep 600" });
      await row.getByRole("button", { name: /^End the session of/ }).click();
      await page.getByRole("dialog").getByRole("button", { name: "End" }).click();
      await page
        .locator('[data-remote][data-state="ended"]')
        .filter({ hasText: "/bin/sleep 600" })
        .getByText(/has ended it/)
        .waitFor();
      expect((await holder.ended).err).toMatch(/has ended it/);
      await fits();

      await page.goto(`${hub.origin}/#/boxes/closed-1/terminal`);
      await page.getByText(/closed-1 lets nobody have a shell/).waitFor();
      await fits();
      await page.close();
      expect(complaints).toEqual([]);
    },
  );
