import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { expectedViewSchema } from "../src/contract/fleet/expected-view.ts";
import { sessionViewSchema } from "../src/contract/fleet/session.ts";
import { tokenCreatedSchema } from "../src/contract/fleet/token.ts";
import type { WorkloadStatus } from "../src/contract/local-status.ts";
import type { SessionFacts } from "../src/contract/session-status.ts";
import type { SessionWorkload } from "../src/contract/workload.ts";
import { CHROMIUM } from "./chromium.ts";
import { go, hasBrowser, signIn, visit, visitSignedIn } from "./dashboard-visit.ts";
import { type HubProcess, startHubProcess } from "./hub-process.ts";
import { enrolReportedBox, type ReportedBox } from "./reported-box.ts";

let browser: Browser;
beforeAll(async () => {
  if (hasBrowser) browser = await chromium.launch(CHROMIUM);
});
afterAll(() => (hasBrowser ? browser.close() : undefined));

const FACTS: SessionFacts = {
  platforms: [
    { platform: "docker", isReady: true, version: "20.10.24" },
    { platform: "podman", isReady: false, reason: "nothing answers at /run/podman/podman.sock" },
    { platform: "process", isReady: true },
  ],
  cores: 4,
  memoryBytes: 8e9,
  maxSessions: 16,
};

/** What an agent would say of a session that does what is wished, but for what is given. */
function statusOf({ id, spec, power = { state: "running", turn: 0 } }: SessionWorkload): WorkloadStatus {
  const nowMs = systemClock.wallMs();
  const at = new Date(nowMs).toISOString();
  const isAwake = power.state === "running";
  const endpoint = {
    name: "80",
    url: `http://192.0.2.1:${32_000 + power.turn}/`,
    port: 80,
    protocol: "tcp",
    address: "192.0.2.1",
    hostPort: 32_000 + power.turn,
  } as const;
  const hibernatesAt = new Date(nowMs + 1_700_000).toISOString();
  return {
    id,
    kind: "session",
    description: "an application",
    state: isAwake ? "running" : "hibernated",
    generation: 1,
    restarts: 0,
    since: at,
    ...(isAwake ? { cpuPercent: 12.34, rssBytes: 84e6 } : {}),
    session: {
      user: spec.user,
      platform: "docker",
      turn: power.turn,
      wakeMs: { stopped: 640 },
      ...(isAwake
        ? {
            endpoints: [endpoint],
            openConnections: 2,
            idle: { lastActivity: { at, source: "connection" }, hibernatesAt },
          }
        : { sleep: { depth: "stopped", since: at, because: "asked" } }),
    },
  };
}

/** One look of a box at what it should have, and one report. */
async function step(hub: HubProcess, box: ReportedBox, given: Partial<WorkloadStatus> = {}): Promise<void> {
  const { epoch, revision, items } = expectedViewSchema.parse(await hub.call("GET", `/v1/boxes/${box.id}/workloads`));
  const workloads = items.flatMap(({ workload }) =>
    workload.kind === "session" ? [{ ...statusOf(workload), ...given }] : [],
  );
  await box.report({ applied: { epoch, revision }, sessions: FACTS, workloads });
}

/** Lets the box do what the hub says until the page shows, or shows no more, what is wanted. */
async function until(page: Page, selector: string, lap: () => Promise<void>, count = 1): Promise<void> {
  const endMs = systemClock.monotonicMs() + 60_000;
  while ((await page.locator(selector).count()) !== count) {
    if (systemClock.monotonicMs() > endMs) throw new Error(`the page never showed ${selector} ${count} times`);
    await lap();
    await systemClock.delay(250);
  }
}

const at = (state: string) => `section[data-session="web"][data-state="${state}"]`;

test
  .skipIf(!hasBrowser)
  .concurrent(
    "an operator starts a session by the form, opens it, hibernates and wakes it, sees it fail, and stops it",
    { timeout: 240_000 },
    async ({ expect }) => {
      await using hub = await startHubProcess();
      const north = await enrolReportedBox(hub, "north-1", { name: "North gate", labels: { site: "north" } });
      const south = await enrolReportedBox(hub, "south-1");
      await south.report();
      const lap = (given: Partial<WorkloadStatus> = {}) => step(hub, north, given);
      await lap();
      const { page, complaints } = await visitSignedIn(browser, hub);
      await go(page, "Sessions");
      await page.getByText("No session yet.").waitFor();

      await page.getByRole("link", { name: "Start a session" }).click();
      const form = page.getByRole("form", { name: "Start a session" });
      const where = form.getByRole("region", { name: "Where it would run" });
      await form.getByLabel("Id", { exact: true }).fill("Web");
      await form.getByLabel("Image", { exact: true }).fill("nginx:1.27");
      await where.getByText(/Not startable yet: .*small letters/).waitFor();
      await form.getByRole("button", { name: "Start", exact: true }).click();
      await form.locator(".field-problem").waitFor();
      expect(await form.locator('[aria-invalid="true"]').getAttribute("name")).toBe("id");

      await form.getByLabel("Id", { exact: true }).fill("web");
      await form.getByLabel("Name (may stay empty)").fill("Lobby site");
      await form.getByLabel("User", { exact: true }).fill("anna");
      await where.getByText(/It would run on north-1/).waitFor();
      await where.getByText(/not on south-1/).waitFor();
      await form.getByRole("button", { name: "Add a port" }).click();
      await form.getByLabel("Port of the application").fill("80");
      await form.getByLabel("Kind of address").fill("http");
      await form.getByRole("button", { name: "Add a variable" }).click();
      const variable = form.getByRole("group", { name: "variable 1" });
      await variable.getByLabel("Value", { exact: true }).fill("hunter-22");
      expect(await variable.getByLabel("Value", { exact: true }).getAttribute("type")).toBe("text");
      await variable.getByLabel("Name", { exact: true }).fill("API_KEY");
      await variable.getByText("By its name a secret").waitFor();
      expect(await variable.getByLabel("Value", { exact: true }).getAttribute("type")).toBe("password");
      expect(await variable.getByLabel("Value", { exact: true }).inputValue()).toBe("hunter-22");
      await form.getByRole("button", { name: "Add a volume" }).click();
      const volume = form.getByRole("group", { name: "volume 1" });
      await volume.getByLabel("Name", { exact: true }).fill("data");
      await volume.getByLabel("Path in the application").fill("/data");
      await form.getByLabel("Memory at most").fill("256Mi");
      await form.getByLabel("Hibernates when unused for").fill("30m");
      await form.getByRole("button", { name: "Start", exact: true }).click();

      await page.getByRole("heading", { name: "Lobby site", level: 1 }).waitFor();
      await until(page, at("running"), lap);
      const view = sessionViewSchema.parse(await hub.call("GET", "/v1/sessions/web"));
      expect(view.wish).toMatchObject({
        user: "anna",
        template: { image: "nginx:1.27", ports: [{ port: 80, scheme: "http" }], env: { API_KEY: "***" } },
        volumes: [{ name: "data", path: "/data" }],
        resources: { memory: "256Mi" },
        idleTimeout: "30m",
      });
      const state = page.getByRole("region", { name: "State" });
      await state.getByText(/hibernates in 28 min/).waitFor();
      await state.getByText("2 connections").waitFor();
      await state.getByText("12.3 %").waitFor();
      const link = page.getByRole("link", { name: /192\.0\.2\.1:32000/ });
      expect(await link.getAttribute("target")).toBe("_blank");
      expect(await link.getAttribute("rel")).toBe("noopener noreferrer");
      await page
        .getByRole("region", { name: "Boxes that were not taken" })
        .getByRole("row", { name: /south-1/ })
        .waitFor();
      expect(await page.content()).not.toContain("hunter-22");

      await page.getByRole("button", { name: "Hibernate Lobby site" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Hibernate" }).click();
      await until(page, at("hibernated"), lap);
      await state.getByText(/stopped for .*because it was asked to/).waitFor();
      await page.getByRole("button", { name: "Wake Lobby site" }).focus();
      await page.keyboard.press("Enter");
      await until(page, at("running"), lap);
      await page.getByRole("link", { name: /192\.0\.2\.1:32002/ }).waitFor();
      await page.getByRole("button", { name: "Keep Lobby site awake" }).click();
      await page.getByText("Lobby site: counts as used").waitFor();

      const lastExit = {
        at: new Date(systemClock.wallMs()).toISOString(),
        code: 137,
        signal: null,
        class: "oom-killed",
      };
      const failing = () => lap({ state: "waiting", cause: "out of memory", nextStartInSeconds: 8, lastExit });
      await until(page, at("failing"), failing);
      await state.getByText("out of memory, code 137, oom-killed").waitFor();
      await page
        .locator("#announcements")
        .getByText(/Session Lobby site is failing: out of memory/)
        .waitFor({ state: "attached" });

      await page.goto(`${hub.origin}/#/boxes/north-1`);
      const platforms = page.getByRole("list", { name: "Platforms" });
      await platforms.locator('[data-platform="podman"]').getByText("away").waitFor();
      await platforms.getByText("nothing answers at /run/podman/podman.sock").waitFor();
      const row = page.getByRole("list", { name: "Sessions" }).locator('[data-session="web"]');
      await row.getByRole("button", { name: "Stop Lobby site" }).click();
      await page.getByRole("dialog").getByLabel("Delete its volumes too").check();
      await page.getByRole("dialog").getByRole("button", { name: "Stop" }).click();
      await until(page, '[data-session="web"]', lap, 0);
      await page.close();
      expect(complaints).toEqual([]);
    },
  );

test
  .skipIf(!hasBrowser)
  .concurrent("a viewer sees sessions on a phone, with no place found and nothing to press", async ({ expect }) => {
    await using hub = await startHubProcess();
    await step(hub, await enrolReportedBox(hub, "north-1"));
    const viewer = tokenCreatedSchema.parse(await hub.call("POST", "/v1/tokens", { name: "watch", role: "viewer" }));
    const image = `registry.example/${"apps/".repeat(30)}model:2`;
    await hub.call("PUT", "/v1/sessions/model", {
      id: "model",
      user: "anna",
      template: { image, env: { ACCESS_TOKEN: "hunter-22" } },
      resources: { gpus: 1 },
    });
    const { page, complaints } = await visit(browser, hub.origin, { width: 360, colorScheme: "dark" });
    await signIn(page, viewer.token ?? "");
    await go(page, "Sessions");
    await page.locator('[data-session="model"][data-state="unplaced"]').waitFor();
    expect(await page.getByRole("button").allTextContents()).toEqual(["Sign out"]);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
    await page.getByRole("link", { name: "model", exact: true }).click();
    await page
      .getByRole("region", { name: "Boxes that were not taken" })
      .getByRole("row", { name: /north-1/ })
      .waitFor();
    await page.getByRole("region", { name: "What was asked for" }).getByText("***").waitFor();
    expect(await page.getByRole("button").allTextContents()).toEqual(["Sign out"]);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
    await page.close();
    expect(complaints).toEqual([]);
  });
