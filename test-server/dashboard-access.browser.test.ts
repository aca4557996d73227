import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import type { WorkloadStatus } from "../src/contract/local-status.ts";
import { CHROMIUM } from "./chromium.ts";
import { go, hasBrowser, visitSignedIn } from "./dashboard-visit.ts";
import { startHubProcess } from "./hub-process.ts";
import { enrolReportedBox } from "./reported-box.ts";

let browser: Browser;
beforeAll(async () => {
  if (hasBrowser) browser = await chromium.launch(CHROMIUM);
});
afterAll(() => (hasBrowser ? browser.close() : undefined));

const stream = (id: string) => ({
  workload: {
    kind: "stream",
    id,
    spec: { input: { url: "rtsp://camera/1" }, outputs: [{ url: "rtmp://ingest/live/k" }] },
  },
});

function statusOf(id: string, given: Partial<WorkloadStatus> = {}): WorkloadStatus {
  const since = new Date(systemClock.wallMs()).toISOString();
  return { id, kind: "stream", description: "", state: "running", generation: 1, restarts: 0, since, ...given };
}

/** What stands where the keyboard is, as a screen reader names it. */
function focusOf(page: Page): Promise<unknown> {
  return page.evaluate(
    "document.activeElement.ariaLabel || document.activeElement.id || document.activeElement.textContent",
  );
}

test
  .skipIf(!hasBrowser)
  .concurrent(
    "a hub that hangs is said to be away, and what was shown stays until it answers again",
    async ({ expect }) => {
      await using hub = await startHubProcess();
      await enrolReportedBox(hub, "north-1");
      const { page } = await visitSignedIn(browser, hub);
      await page.locator('[data-box="north-1"]').waitFor();
      hub.signal("SIGSTOP");
      try {
        await page.getByRole("alert").getByText("The hub has not answered for 15 s").waitFor();
        expect(await page.locator('[data-box="north-1"]').count()).toBe(1);
      } finally {
        hub.signal("SIGCONT");
      }
      await page.getByRole("alert").waitFor({ state: "detached" });
      await page.close();
    },
  );

test
  .skipIf(!hasBrowser)
  .concurrent(
    "the focus stays on its button while the list is put in another order, and goes to the list when its row is gone",
    async ({ expect }) => {
      await using hub = await startHubProcess();
      const box = await enrolReportedBox(hub, "north-1");
      const ids = ["cam-1", "cam-2", "cam-3"];
      for (const id of ids) await hub.call("PUT", `/v1/boxes/north-1/workloads/${id}`, stream(id));
      await box.report({ workloads: ids.map((id) => statusOf(id)) });
      const { page, complaints } = await visitSignedIn(browser, hub);
      await page.goto(`${hub.origin}/#/boxes/north-1`);
      const rows = page.getByRole("list", { name: "Workloads" }).getByRole("listitem");
      const order = () =>
        rows.evaluateAll((items: { dataset: { workload: string } }[]) => items.map(({ dataset }) => dataset.workload));
      await expect.poll(order).toEqual(ids);
      await page.getByRole("button", { name: "Hibernate cam-3" }).focus();

      // What is unwell comes first: the row of the focus moves over the others.
      await box.report({
        workloads: [
          statusOf("cam-1"),
          statusOf("cam-2"),
          statusOf("cam-3", { state: "stalled", cause: "nothing for 4 s" }),
        ],
      });
      await expect.poll(order, { timeout: 20_000 }).toEqual(["cam-3", "cam-1", "cam-2"]);
      expect(await focusOf(page)).toBe("Hibernate cam-3");

      await page.getByRole("button", { name: "Stop cam-3" }).focus();
      await page.keyboard.press("Enter");
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      await expect.poll(order, { timeout: 20_000 }).toEqual(["cam-1", "cam-2"]);
      await expect.poll(() => focusOf(page)).toBe("Workloads");
      await page.keyboard.press("Tab");
      expect(await focusOf(page)).toBe("cam-1");
      await page.close();
      expect(complaints).toEqual([]);
    },
  );

test
  .skipIf(!hasBrowser)
  .concurrent(
    "a change of state is said once, however often its counters move and the page is drawn",
    async ({ expect }) => {
      await using hub = await startHubProcess();
      const box = await enrolReportedBox(hub, "north-1");
      await hub.call("PUT", "/v1/boxes/north-1/workloads/cam-1", stream("cam-1"));
      await box.report({ workloads: [statusOf("cam-1")] });
      const { page } = await visitSignedIn(browser, hub);
      await page.goto(`${hub.origin}/#/boxes/north-1/workloads/cam-1`);
      await page.locator('[data-workload="cam-1"][data-state="running"]').waitFor();
      // Everything that a screen reader is told of, from here on.
      await page.evaluate(`(() => {
    window.said = [];
    const regions = '[aria-live], [role="status"], [role="alert"], [role="log"]';
    new MutationObserver((changes) => {
      const heard = changes.map(({ target }) => (target.closest ? target : target.parentElement)?.closest(regions)).filter(Boolean);
      for (const region of new Set(heard)) window.said.push(region.textContent.trim());
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
  })()`);
      for (const seconds of [4, 5, 6]) {
        const cause = `nothing acknowledged for ${seconds} s`;
        await box.report({ workloads: [statusOf("cam-1", { state: "stalled", cause })] });
        await page.locator("[data-cause]").getByText(cause).waitFor();
      }
      await systemClock.delay(1500);
      expect(await page.evaluate("window.said")).toEqual(["cam-1 is stalled: nothing acknowledged for 4 s"]);
      await page.close();
    },
  );

test
  .skipIf(!hasBrowser)
  .concurrent(
    "a box that waits says so with the decision at hand, and every control of every page has a name",
    async ({ expect }) => {
      await using hub = await startHubProcess();
      const box = await enrolReportedBox(hub, "north-1");
      const many = Array.from({ length: 60 }, (_, index) => `cam-${index}`);
      for (const id of many) await hub.call("PUT", `/v1/boxes/north-1/workloads/${id}`, stream(id));
      await box.report({ workloads: many.map((id) => statusOf(id)) });
      await enrolReportedBox(hub, "new-1", { approve: false });
      const { page } = await visitSignedIn(browser, hub, { width: 360 });

      for (const path of [
        "boxes/north-1",
        "boxes/north-1/workloads/cam-1",
        "boxes/north-1/workloads/cam-1/edit",
        "boxes/north-1/logs",
        "boxes/new-1",
      ]) {
        await page.goto(`${hub.origin}/#/${path}`);
        await page.locator("main .card").first().waitFor();
        expect(await page.evaluate(UNNAMED), path).toEqual([]);
        expect(await page.evaluate("document.documentElement.scrollWidth"), path).toBeLessThanOrEqual(360);
      }
      await page.locator("[data-standing]").getByText("It waits for approval").waitFor();
      await page.getByRole("button", { name: "Approve", exact: true }).click();
      await page.locator("[data-standing]").waitFor({ state: "detached" });

      await go(page, "Boxes");
      await page.getByRole("link", { name: "north-1" }).click();
      await expect.poll(() => page.locator("[data-workload]").count()).toBe(50);
      await page.getByRole("searchbox", { name: "Only with" }).fill("cam-59");
      await expect.poll(() => page.locator("[data-workload]").count()).toBe(1);
      await page.close();
    },
  );

test.skipIf(!hasBrowser).concurrent("a box in quarantine says why, and an admin lets it out there", async () => {
  await using hub = await startHubProcess();
  const box = await enrolReportedBox(hub, "north-1");
  const { page } = await visitSignedIn(browser, hub);
  await page.goto(`${hub.origin}/#/boxes/north-1`);
  const standing = page.locator("[data-standing]");
  // Two agents with one key, in turn: a copied disk.
  const endMs = systemClock.monotonicMs() + 30_000;
  for (let sequence = 1; (await standing.count()) === 0 && systemClock.monotonicMs() < endMs; sequence++) {
    for (const session of ["first", "second"]) await box.report({ session, sequence });
    await systemClock.delay(500);
  }
  await standing.getByText(/In quarantine.*two agents report in turn/).waitFor();
  await page.getByRole("button", { name: "Release from quarantine" }).click();
  await standing.waitFor({ state: "detached" });
  await page.close();
});

/** Controls that a screen reader could not name, frames among them. */
const UNNAMED = `[...document.querySelectorAll("button, a, input:not([type=hidden]), select, textarea, summary, iframe")]
  .filter((node) => !(node.ariaLabel || node.title || node.textContent.trim() || node.labels?.length))
  .map((node) => node.outerHTML)`;
