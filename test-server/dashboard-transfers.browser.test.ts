import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import type { Assignment } from "../src/contract/transfer/assignment.ts";
import { CHROMIUM } from "./chromium.ts";
import { go, hasBrowser, signIn, visit } from "./dashboard-visit.ts";
import { type HubProcess, startHubProcess } from "./hub-process.ts";

let browser: Browser;
beforeAll(async () => {
  if (hasBrowser) browser = await chromium.launch(CHROMIUM);
});
afterAll(() => (hasBrowser ? browser.close() : undefined));

const MIB = 1024 * 1024;
const DEEP = `/out/${"a rather long directory/".repeat(9)}${"recording-".repeat(20)}.mp4`;
/** Where pictures of the pages are wanted. */
const PICTURES = process.env["SLUICE_TEST_PICTURES"];

const beat = (hub: HubProcess, id: string, storage: string, lease?: Assignment, bytes = 0) =>
  hub.call("POST", "/workers/heartbeat", {
    worker_id: id,
    status: lease === undefined ? "IDLE" : "TRANSFERRING",
    data_plane_endpoints: ["192.0.2.10:8470"],
    storages: [{ id: `storage-of-${id}`, path: storage, read: true, write: true }],
    leases:
      lease === undefined
        ? []
        : [{ lease_id: lease.lease_id, attempt: lease.attempt, transferred_bytes: bytes, rate: 3 * MIB }],
  });

const entry = (path: string, type: "file" | "directory", size: number) => ({
  path,
  type,
  size,
  mtime_ns: "1",
  mode: 0o644,
  uid: 0,
  gid: 0,
  generation: `1:${path}:${size}`,
});

/** The next that is given to it, as its kind. */
async function take(hub: HubProcess, id: string, kind: string): Promise<Assignment> {
  for (let turn = 0; turn < 20; turn++) {
    const given = (await hub.call("POST", `/workers/${id}/assignment?wait=5`, { free: 4 })) as Assignment | null;
    if (given?.work.kind === kind) return given;
  }
  throw new Error(`${id} was never given ${kind}`);
}

async function picture(page: Page, name: string): Promise<void> {
  if (PICTURES === undefined) return;
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });
}

/** Nothing is wider than the page, and nothing is cut off within it. */
async function cutOff(page: Page): Promise<unknown> {
  return page.evaluate(`[...document.querySelectorAll("main *")]
    .filter((element) => {
      const { overflowX, textOverflow } = getComputedStyle(element);
      const isCut = overflowX === "hidden" || overflowX === "clip" || textOverflow === "ellipsis";
      return isCut && element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 1;
    })
    .map((element) => element.outerHTML.slice(0, 200))
    .concat(document.documentElement.scrollWidth > innerWidth ? ["the page is wider than the window"] : [])`);
}

test
  .skipIf(!hasBrowser)
  .concurrent(
    "a transfer waits, moves, fails and is whole on its pages, in the light, in the dark and on a phone",
    { timeout: 240_000 },
    async ({ expect }) => {
      await using hub = await startHubProcess();
      const views = await Promise.all(
        (
          [
            ["light", { width: 1280, colorScheme: "light" }],
            ["dark", { width: 1280, colorScheme: "dark" }],
            ["phone", { width: 360, colorScheme: "light" }],
          ] as const
        ).map(async ([name, options]) => ({ name, ...(await visit(browser, hub.origin, options)) })),
      );
      const first = views[0]?.page;
      if (first === undefined) throw new Error("there is no page");
      await Promise.all(views.map(({ page }) => signIn(page, hub.adminToken)));
      const id = `nightly-${"north-gate-".repeat(9)}1`;
      await hub.call("POST", "/sync", { request_id: id, source_path: "/in/day 1", destination_path: DEEP });
      const onAll = async (what: string, look: (page: Page) => Promise<void>) => {
        for (const { name, page } of views) {
          await look(page);
          expect(await cutOff(page), `${what}, ${name}`).toEqual([]);
          await picture(page, `${what}-${name}`);
        }
      };
      const at = (state: string) => `[data-transfer="${id}"][data-state="${state}"]`;

      await go(first, "Transfers");
      for (const { page } of views.slice(1)) await page.goto(`${hub.origin}/#/transfers`);
      await onAll("list-waiting", async (page) => {
        await page
          .locator(at("QUEUED"))
          .getByText(/no worker has ever been heard/)
          .waitFor();
        expect(await page.locator("progress").count()).toBe(0);
        expect(await page.getByText(DEEP).count()).toBe(1);
      });

      await beat(hub, "src", "/in");
      await beat(hub, "dst", "/out");
      const listing = await take(hub, "src", "list");
      await beat(hub, "src", "/in", listing);
      await hub.call("POST", "/workers/plan", {
        worker_id: "src",
        request_id: id,
        lease_id: listing.lease_id,
        attempt: listing.attempt,
        page: 0,
        entries: [entry("", "directory", 0), entry("film.mp4", "file", 20 * MIB)],
        is_last: true,
      });
      const copying = await take(hub, "dst", "copy");
      await beat(hub, "dst", "/out", copying, 5 * MIB);
      for (const { page } of views) await page.goto(`${hub.origin}/#/transfers/${id}`);
      await onAll("page-moving", async (page) => {
        const state = page.locator(at("PROGRESS"));
        await state.getByText("25 %").waitFor();
        expect(await state.locator("progress").getAttribute("value")).not.toBeNull();
        await page.getByRole("group", { name: "Workers" }).getByRole("cell", { name: "dst" }).waitFor();
      });
      await hub.call("POST", "/workers/result", {
        request_id: id,
        worker_id: "dst",
        lease_id: copying.lease_id,
        attempt: copying.attempt,
        success: false,
        message: "",
        failures: ["", "film.mp4"].map((path) => ({
          path,
          code: "not-found",
          message: `there is nothing at ${"a very long place/".repeat(12)}film.mp4`,
        })),
      });
      await onAll("page-failed", async (page) => {
        await page.locator(at("FAILED")).waitFor();
        await page
          .getByRole("group", { name: /Failures/ })
          .getByText("not-found")
          .first()
          .waitFor();
        expect(await page.locator("progress").count()).toBe(0);
      });
      await first
        .getByRole("button", { name: /Retry|Try/ })
        .first()
        .waitFor();
      for (const { page, complaints } of views) {
        expect(complaints).toEqual([]);
        await page.close();
      }
    },
  );
