import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import type { Assignment } from "../src/contract/transfer/assignment.ts";
import { createFakeStorage, createFakeWorker, fileEntry } from "../src/hub/transfers/transfer-world.fake.ts";
import { CHROMIUM } from "./chromium.ts";
import { go, hasBrowser, signIn, visit, visitSignedIn } from "./dashboard-visit.ts";
import { type HubProcess, startHubProcess } from "./hub-process.ts";
import { enrolReportedBox } from "./reported-box.ts";

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
    "a transfer waits, moves and fails on its pages, in the light, in the dark and on a phone",
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
        // On a phone the menu is wider than the screen.
        await expect
          .poll(() =>
            page.evaluate(`(({ left, right }) => left >= 0 && right <= innerWidth)(
              document.querySelector("nav [aria-current]").getBoundingClientRect())`),
          )
          .toBe(true);
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

test
  .skipIf(!hasBrowser)
  .concurrent(
    "a transfer that is whole, and one that is cancelled, say so on their pages until they are gone; a hub that is away is said to be",
    { timeout: 240_000 },
    async ({ expect }) => {
      await using hub = await startHubProcess();
      // What the walk leaves out.
      const skipped = [{ path: "pipe", code: "unsupported", message: "a pipe, which cannot be copied" }];
      const ask = () => (method: string, path: string, body?: unknown) =>
        hub.call(method, path, path === "/workers/plan" ? Object.assign(Object(body), { skipped }) : body);
      const target = createFakeStorage();
      const fakeWorker = (id: string, path: string, source: Parameters<typeof createFakeWorker>[1]["source"]) =>
        createFakeWorker(id, { ask, target, source, storages: [{ id: `storage-of-${id}`, path }] });
      const [src, dst] = [
        fakeWorker("src", "/in", [fileEntry("", 0, { type: "directory" }), fileEntry("film.mp4", MIB)]),
        fakeWorker("dst", "/out", []),
      ];
      const lap = async () => {
        for (const worker of [src, dst]) {
          await worker.heartbeat();
          const given = await worker.poll();
          const result = given === null ? undefined : await worker.carryOut(given);
          if (result !== undefined) await worker.tell(result);
        }
      };
      const { page, complaints } = await visitSignedIn(browser, hub, { width: 360 });
      await lap();

      await hub.call("POST", "/sync", {
        request_id: "whole",
        source_path: "/in/day-1",
        destination_path: "/out/day-1",
      });
      await page.goto(`${hub.origin}/#/transfers/whole`);
      const state = (name: string) => page.locator(`[data-transfer][data-state="${name}"]`);
      while ((await state("COMPLETED").count()) === 0) await lap();
      expect(await page.locator("progress").count()).toBe(0);
      const facts = await state("COMPLETED").textContent();
      expect(facts).toMatch(/1 MiB of 1 MiB/);
      expect(facts).toMatch(/root hash\s*[0-9a-f]{64}/);
      await page.getByText("Receipt, signed by the hub").click();
      expect(await page.locator("details code").textContent()).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
      // What is over has no workers, and what was left out is no failure.
      expect(await page.getByRole("region", { name: "Workers" }).count()).toBe(0);
      await page.getByRole("region", { name: "Left out" }).getByRole("cell", { name: "pipe", exact: true }).waitFor();
      expect(await cutOff(page)).toEqual([]);
      await picture(page, "page-whole-phone");
      await page.getByRole("button", { name: "Forget whole" }).click();
      await page.waitForURL(/#\/transfers$/);
      await page.getByText("No transfer yet.").waitFor();

      await hub.call("POST", "/sync", { request_id: "half", source_path: "/in/day-1", destination_path: "/out/day-2" });
      await page.goto(`${hub.origin}/#/transfers/half`);
      let held: Assignment | null = null;
      while (held?.work.kind !== "copy") {
        await src.heartbeat();
        await dst.heartbeat();
        const listing = await src.poll();
        const listed = listing === null ? undefined : await src.carryOut(listing);
        if (listed !== undefined) await src.tell(listed);
        held = await dst.poll();
      }
      await state("PROGRESS").getByText("it is being copied").waitFor();
      await page.getByRole("button", { name: "Cancel half" }).click();
      await page.getByRole("dialog").getByText("Files that have arrived whole stay at /out/day-2").waitFor();
      await page.getByRole("dialog").getByRole("button", { name: "Cancel it" }).click();
      const cancelled = state("CANCELLED");
      await cancelled.getByText("it was cancelled; its workers remove what they had staged").waitFor();
      expect(await page.locator("progress").count()).toBe(0);
      expect(await cancelled.getByRole("button").count()).toBe(0);
      expect(await cutOff(page)).toEqual([]);
      await picture(page, "page-cancelled-phone");

      hub.signal("SIGSTOP");
      await page
        .getByRole("alert")
        .getByText(/The hub has not answered for \d+ s/)
        .waitFor();
      expect(await cancelled.count()).toBe(1);
      await picture(page, "page-hub-away-phone");
      hub.signal("SIGCONT");
      await page.getByRole("alert").waitFor({ state: "detached" });

      while (!target.isDiscarded) await lap();
      await page.getByText("There is no transfer half: it was cancelled or forgotten.").waitFor();
      await page.getByRole("link", { name: "All transfers" }).click();
      await page.getByText("No transfer yet.").waitFor();
      expect(complaints).toEqual([]);
      await page.close();
    },
  );

test
  .skipIf(!hasBrowser)
  .concurrent(
    "a stream whose recordings move says how many have, in every list of it and on its page",
    async ({ expect }) => {
      await using hub = await startHubProcess();
      const box = await enrolReportedBox(hub, "north-1");
      const url = "/srv/recordings/cam-1/";
      const move = { to: "archive:/archive/north-1", keepHere: "3d" };
      await hub.call("PUT", "/v1/boxes/north-1/workloads/cam-1", {
        workload: {
          kind: "stream",
          id: "cam-1",
          spec: { input: "rtsp://camera/1", outputs: [{ url, segmentSeconds: 60, move }] },
        },
      });
      const at = new Date().toISOString();
      const tell = (segments: object) => {
        const status = { id: "cam-1", kind: "stream", description: "", state: "running", generation: 1, restarts: 0 };
        return box.report({ workloads: [Object.assign(status, { since: at, segments })] as never });
      };
      await tell({ moved: 12, waiting: 0, failed: 0 });
      const { page, complaints } = await visitSignedIn(browser, hub);
      const facts = page.locator('[data-workload="cam-1"]');
      for (const place of ["workloads", "boxes/north-1"]) {
        await page.goto(`${hub.origin}/#/${place}`);
        await facts.getByText("12 moved", { exact: true }).waitFor();
      }
      await page.goto(`${hub.origin}/#/boxes/north-1/workloads/cam-1`);
      await facts.getByText("12 moved", { exact: true }).waitFor();
      expect(await page.locator("[data-segment-error]").count()).toBe(0);
      await tell({
        moved: 13,
        waiting: 2,
        failed: 1,
        lastError: { at, message: "a.mp4: denied: archive may not take it" },
      });
      await facts.getByText("13 moved, 2 wait, 1 failed", { exact: true }).waitFor();
      const error = page.locator('[data-segment-error][data-tone="bad"]');
      await error.getByText(/^Recordings that stayed here, .* ago: a\.mp4: denied: archive may not take it$/).waitFor();
      await page.goto(`${hub.origin}/#/workloads`);
      await page.locator('[data-tone="bad"]').getByText("13 moved, 2 wait, 1 failed", { exact: true }).waitFor();
      expect(complaints).toEqual([]);
      await page.close();
    },
  );
