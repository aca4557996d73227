import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, type ExpectStatic, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { tokenCreatedSchema } from "../src/contract/fleet/token.ts";
import { CHROMIUM } from "./chromium.ts";
import { go, hasBrowser, signIn, visit, visitSignedIn } from "./dashboard-visit.ts";
import { startHubProcess } from "./hub-process.ts";
import { createHubWorld } from "./hub-world.ts";

const SMALL_INPUT = "test://bars?size=160x120&fps=10&tone=440";

let browser: Browser;
beforeAll(async () => {
  if (hasBrowser) browser = await chromium.launch(CHROMIUM);
});
afterAll(() => (hasBrowser ? browser.close() : undefined));

test
  .skipIf(!hasBrowser)
  .concurrent(
    "an operator enrols a box, starts a stream, watches it, freezes it, sees the cause, reads the logs and stops it",
    { timeout: 180_000 },
    async ({ expect }) => {
      await using hubWorld = await createHubWorld({ world: { agentArguments: ["--report-interval-seconds", "1"] } });
      const { hub, world, sluice } = hubWorld;
      const { page, complaints } = await visitSignedIn(browser, hub);

      await go(page, "Enrolment");
      await page.getByLabel("Labels that the box gets").fill("site=north, gpu");
      await page.getByLabel("The box works").selectOption("after approval");
      await page.getByRole("button", { name: "Make a token" }).click();
      const command = (await page.locator("[data-secret]").textContent()) ?? "";
      expect(command).toMatch(/^sluice enrol sluice1\./);
      await sluice(...command.split(" ").slice(1));
      await world.startAgent();
      await page.getByRole("button", { name: `Approve ${world.boxId}` }).click();
      await go(page, "Boxes");
      const row = page.locator(`[data-box="${world.boxId}"]`);
      await row.getByText("online", { exact: true }).waitFor();
      await row.getByText("site=north").waitFor();

      await go(page, "Start a stream");
      await page.getByLabel("Input", { exact: true }).fill("gopher");
      await page.getByLabel("Output", { exact: true }).fill(`${world.server.rtmp?.url}/cam-1`);
      await page.getByLabel("Live picture (may stay empty)").fill("no address");
      await page.getByRole("button", { name: "Start", exact: true }).click();
      await page.locator(".field-problem").getByText("allowed: an http, https, ws or wss address").waitFor();
      expect(await page.locator('[aria-invalid="true"]').getAttribute("name")).toBe("workload.pictureUrl");
      await page.getByLabel("Input", { exact: true }).fill(SMALL_INPUT);
      await page.getByLabel("Live picture (may stay empty)").fill(hubWorld.pictureUrl("cam-1"));
      await page.getByRole("button", { name: "Start", exact: true }).click();

      await page.locator('[data-workload="cam-1"][data-state="running"]').waitFor();
      await pictureOf(page).waitFor();
      await untilVideoMoves(page, expect);
      const elsewhere = new URL(world.server.origin);
      expect(await page.evaluate(`fetch("${elsewhere.origin}/log").catch((error) => error.message)`)).toBe(
        "Failed to fetch",
      );
      expect(complaints.splice(0).join()).toContain(
        `Refused to connect because it violates the document's Content Security Policy`,
      );
      const frames = page.locator('[data-chart="Frames a second"]');
      await frames.locator("canvas").waitFor();
      await expect.poll(() => frames.locator("figcaption").textContent()).toMatch(/\d/);

      world.server.fault("freeze", { seconds: 0 });
      // The kernel takes in what nobody reads for a while; then the agent names the receiver and tries a new connection.
      await page.locator('[data-workload="cam-1"]:not([data-state="running"])').waitFor({ timeout: 60_000 });
      const gaps = page.getByRole("region", { name: "Gaps in media" });
      await gaps.getByRole("cell", { name: "peer-stalled" }).waitFor({ timeout: 60_000 });
      await page.frameLocator("iframe").locator('.picture:not([data-picture="live"])').waitFor();
      world.server.board.clear("freeze");
      await page.locator('[data-workload="cam-1"][data-state="running"]').waitFor({ timeout: 60_000 });
      await untilVideoMoves(page, expect);

      await page.getByRole("link", { name: "Log", exact: true }).click();
      await page.getByRole("heading", { name: `Log of cam-1 on ${world.boxId}` }).waitFor();
      await page.getByRole("combobox", { name: /^Log of/ }).selectOption("the agent");
      const lines = page.getByRole("log");
      await lines
        .getByText(/Started cam-1/)
        .first()
        .waitFor();

      await page.getByRole("link", { name: `back to ${world.boxId}` }).click();
      await page.getByRole("button", { name: "Hibernate cam-1" }).click();
      await page.locator('[data-workload="cam-1"][data-state="hibernated"]').waitFor();
      await world.until(() => world.workloadPids().length === 0, "the process of cam-1 is gone");
      await page.getByRole("button", { name: "Wake cam-1" }).click();
      await page.locator('[data-workload="cam-1"][data-state="running"]').waitFor();
      await page.getByRole("button", { name: "Stop cam-1" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Stop", exact: true }).click();
      await page.locator('[data-workload="cam-1"]').waitFor({ state: "detached" });
      await world.until(() => world.workloadPids().length === 0, "the process of cam-1 is gone");

      await go(page, "Audit");
      await page.getByRole("cell", { name: "box.approve" }).waitFor();
      await page.close();
      expect(complaints.filter((text) => !text.startsWith("ws:"))).toEqual([]);
    },
  );

test.skipIf(!hasBrowser).concurrent("a viewer sees everything and is offered nothing to change", async ({ expect }) => {
  await using hub = await startHubProcess();
  const viewer = tokenCreatedSchema.parse(
    await hub.call("POST", "/v1/tokens", { name: "night watch", role: "viewer" }),
  );
  const { page, complaints } = await visit(browser, hub.origin);
  await signIn(page, viewer.token ?? "");
  const nav = page.getByRole("navigation", { name: "Main" }).getByRole("link");
  expect(await nav.allTextContents()).toEqual([
    "Boxes",
    "Workloads",
    "Tunnels",
    "Sessions",
    "Transfers",
    "Rollouts",
    "Events",
    "Alerts",
  ]);
  for (const name of ["Rollouts", "Alerts"]) {
    await go(page, name);
    await page.getByRole("heading", { name, level: 1 }).waitFor();
    expect(await page.getByRole("button").allTextContents()).toEqual(["Sign out"]);
  }
  await page.goto(`${hub.origin}/#/tokens`);
  await page.getByText("This needs a token with the role admin.").waitFor();
  await page.close();
  expect(complaints).toEqual([]);
});

test
  .skipIf(!hasBrowser)
  .concurrent(
    "a token stays in the tab, opens nothing once revoked, and is named wrong in words",
    async ({ expect }) => {
      await using hub = await startHubProcess();
      const made = tokenCreatedSchema.parse(await hub.call("POST", "/v1/tokens", { name: "short", role: "viewer" }));
      const { page, complaints } = await visit(browser, hub.origin);
      await page.getByLabel("Operator token").fill("slo_not-a-token-of-this-hub");
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("alert").getByText("The hub does not know this token.").waitFor();

      await signIn(page, made.token ?? "");
      await page.reload();
      await page.getByRole("heading", { name: "Boxes", level: 1 }).waitFor();
      const stored = await page.evaluate("JSON.stringify([{...localStorage}, document.cookie])");
      expect(stored).toBe('[{},""]');
      await hub.call("DELETE", `/v1/tokens/${made.id}`);
      await page.getByLabel("Operator token").waitFor({ timeout: 15_000 });
      expect(await page.evaluate("sessionStorage.length")).toBe(0);
      await page.close();
      expect(complaints).toEqual([]);
    },
  );

test
  .skipIf(!hasBrowser)
  .concurrent(
    "what comes from outside is text, nothing is wider than a phone, and keys alone do",
    async ({ expect }) => {
      await using hub = await startHubProcess();
      const evil = '<img src=x onerror="document.title=1">';
      await hub.call("POST", "/v1/tokens", { name: evil, role: "viewer" });
      await hub.call("POST", "/v1/enrolments", { labels: { ["x".repeat(63)]: "y".repeat(63) } });
      const { page, complaints } = await visit(browser, hub.origin, { width: 360 });
      await page.getByLabel("Operator token").fill(hub.adminToken);
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "Boxes", level: 1 }).waitFor();

      await page.keyboard.press("Tab");
      await page.getByRole("link", { name: "Tokens", exact: true }).focus();
      await page.keyboard.press("Enter");
      await page.getByText(evil).waitFor();
      expect(await page.locator("img[src=x]").count()).toBe(0);
      await expect.poll(() => page.evaluate("document.activeElement.id")).toBe("title");

      for (const name of [
        "Boxes",
        "Workloads",
        "Start a stream",
        "Tunnels",
        "Sessions",
        "Rollouts",
        "Events",
        "Alerts",
        "Enrolment",
        "Tokens",
        "Audit",
      ]) {
        await go(page, name);
        await page.locator("nav [aria-current=page]").getByText(name, { exact: true }).waitFor();
        await systemClock.delay(300);
        const unnamed = await page.evaluate(UNNAMED_CONTROLS);
        expect(unnamed, name).toEqual([]);
        expect(await page.evaluate("document.documentElement.scrollWidth"), name).toBeLessThanOrEqual(360);
      }
      await go(page, "Sessions");
      await page.getByRole("link", { name: "Start a session" }).click();
      for (const row of ["port", "variable", "volume"])
        await page.getByRole("button", { name: `Add a ${row}` }).click();
      await page.getByRole("group", { name: "volume 1" }).waitFor();
      expect(await page.evaluate(UNNAMED_CONTROLS), "Start a session").toEqual([]);
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
      await page.close();
      expect(complaints).toEqual([]);
    },
  );

test.skipIf(!hasBrowser).concurrent("the page says that the hub is gone and keeps what it showed", async () => {
  const first = await startHubProcess();
  const { page } = await visitSignedIn(browser, first);
  await first[Symbol.asyncDispose]();
  await page.getByText("hub not heard, retrying").waitFor();
  await page.getByRole("alert").getByText("The hub cannot be reached").waitFor();
  await page.getByRole("heading", { name: "Boxes", level: 1 }).waitFor();
  await page.close();
});

test
  .skipIf(!hasBrowser)
  .concurrent(
    "the page says within seconds that a hub is away which ends no connection, as one without power, and that it is back",
    { timeout: 120_000 },
    async ({ expect }) => {
      await using hub = await startHubProcess();
      const { page, complaints } = await visit(browser, hub.origin);
      await signIn(page, hub.adminToken);
      const live = page.getByText("live", { exact: true });
      await live.waitFor();
      hub.signal("SIGSTOP");
      try {
        // Of 7.5 s; the rest is for a machine that is busy.
        await page.getByText("hub not heard, retrying").waitFor({ timeout: 20_000 });
      } finally {
        hub.signal("SIGCONT");
      }
      await live.waitFor();
      await page.close();
      expect(complaints).toEqual([]);
    },
  );

test
  .skipIf(!hasBrowser)
  .concurrent(
    "a page that stays open while its hub is killed says so, and comes back with the next hub by itself: its figures go on",
    { timeout: 180_000 },
    async ({ expect }) => {
      const dataDir = await mkdtemp(join(tmpdir(), "sluice-hub-"));
      await using _removed = { [Symbol.asyncDispose]: () => rm(dataDir, { recursive: true, force: true }) };
      await using hubWorld = await createHubWorld({
        hub: { dataDir },
        world: { agentArguments: ["--report-interval-seconds", "1"] },
      });
      const { hub, world, relay } = hubWorld;
      await hubWorld.enrol();
      await world.startAgent();
      const outputs = [`${world.server.rtmp?.url}/cam-1`];
      const workload = { kind: "stream", id: "cam-1", spec: { input: SMALL_INPUT, outputs } };
      await hub.call("PUT", `/v1/boxes/${world.boxId}/workloads/cam-1`, { workload });
      const { pid } = await world.untilRunning("cam-1");

      const { page, complaints } = await visitSignedIn(browser, hub);
      await page.goto(`${hub.origin}/#/boxes/${world.boxId}/workloads/cam-1`);
      await page.locator('[data-workload="cam-1"][data-state="running"]').waitFor();
      const frames = async () =>
        Number(
          await page
            .locator("dt", { hasText: /^frames$/ })
            .locator("xpath=following-sibling::dd[1]")
            .textContent(),
        );
      await expect.poll(frames).toBeGreaterThan(0);
      await page.evaluate("globalThis.wasNeverLeft = true");

      await hub.kill();
      await page.getByText("hub not heard, retrying").waitFor();
      const framesAway = await frames();
      expect(framesAway).toBeGreaterThan(0);
      await page.getByRole("alert").getByText("The hub cannot be reached").waitFor();

      const next = { dataDir, port: hub.port, adminToken: hub.adminToken, publicUrl: `http://127.0.0.1:${relay.port}` };
      await using _next = await startHubProcess(next);
      await page.getByText("live", { exact: true }).waitFor();
      await expect.poll(frames, { timeout: 60_000 }).toBeGreaterThan(framesAway);
      await page.getByRole("alert").getByText("The hub cannot be reached").waitFor({ state: "detached" });
      await page
        .locator("dt", { hasText: /^pid$/ })
        .locator("xpath=following-sibling::dd[1]", { hasText: String(pid) })
        .waitFor();
      const chart = page.locator('[data-chart="Frames a second"]');
      await chart.locator("canvas").waitFor();
      await expect.poll(() => chart.locator("figcaption").textContent()).toMatch(/\d/);
      expect(await page.evaluate("globalThis.wasNeverLeft")).toBe(true);
      await page.close();
      expect(complaints).toEqual([]);
    },
  );

/** Controls that a screen reader could not name. */
const UNNAMED_CONTROLS = `[...document.querySelectorAll("button, a, input, select, textarea, summary")]
  .filter((node) => !(node.ariaLabel || node.textContent.trim() || node.labels?.length))
  .map((node) => node.outerHTML)`;

/** The picture that plays, in its frame. */
function pictureOf(page: Page) {
  return page.frameLocator("iframe").locator('[data-picture="live"] video');
}

/** Resolves when the video's clock goes on. */
async function untilVideoMoves(page: Page, expect: ExpectStatic): Promise<void> {
  const video = pictureOf(page);
  const seconds = () => video.evaluate(({ currentTime }: { currentTime: number }) => currentTime);
  const before = await seconds();
  await expect.poll(seconds, { timeout: 30_000 }).toBeGreaterThan(before + 0.3);
}
