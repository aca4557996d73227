import { createHash } from "node:crypto";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { formatPoint } from "../src/contract/describe-spec.ts";
import { expectedViewSchema } from "../src/contract/fleet/expected-view.ts";
import { tokenCreatedSchema } from "../src/contract/fleet/token.ts";
import type { WorkloadStatus } from "../src/contract/local-status.ts";
import type { TunnelSpec } from "../src/contract/tunnel-spec.ts";
import { TUNNEL_ATTACKS, type TunnelStatus } from "../src/contract/tunnel-status.ts";
import { CHROMIUM } from "./chromium.ts";
import { go, hasBrowser, signIn, visit, visitSignedIn } from "./dashboard-visit.ts";
import { type HubProcess, startHubProcess } from "./hub-process.ts";
import { enrolReportedBox, type ReportedBox } from "./reported-box.ts";

let browser: Browser;
beforeAll(async () => {
  if (hasBrowser) browser = await chromium.launch(CHROMIUM);
});
afterAll(() => (hasBrowser ? browser.close() : undefined));

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const pemOf = (box: string, generation: number) =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(`${generation} of ${box}`).toString("base64")}\n-----END CERTIFICATE-----\n`;

/** What an agent would say of an end, from what the hub tells it to have. */
function endOf(box: string, spec: TunnelSpec, given: Partial<TunnelStatus>): TunnelStatus {
  const { uid, role, legs, security, minTls = "1.3" } = spec;
  if (security.kind !== "cert") throw new TypeError("these tests have certificates");
  const now = new Date(systemClock.wallMs()).toISOString();
  const generations = [security.keyGeneration, security.nextKeyGeneration ?? security.keyGeneration];
  const certificates = [...new Set(generations)].map((generation) => {
    const pem = pemOf(box, generation);
    return { generation, sha256: sha256(pem), pem };
  });
  const points = legs.map(({ listen, connect }) => ({
    listen: formatPoint(listen.address, listen.port),
    connect: formatPoint(connect.host, connect.port),
  }));
  const common = { uid, role, since: now, minTls, legs: points, certificates };
  if (security.peerCertificates.length === 0) return { ...common, phase: "prepared", reason: "no certificate yet" };
  return {
    ...common,
    phase: "up",
    presents: sha256(pemOf(box, security.keyGeneration)),
    accepts: security.peerCertificates.map(sha256),
    latencyMs: 3.24,
    connections: 11,
    bytes: 5_000_000,
    bitsPerSecond: 3_200_000,
    proof: {
      at: now,
      tookMs: 180,
      protocol: "TLSv1.3",
      cipher: "TLS_AES_256_GCM_SHA384",
      peer: sha256("peer"),
      through: "byte",
      attacks: TUNNEL_ATTACKS.map((attack) => ({ attack, isRefused: true, how: `${attack}: alert handshake failure` })),
    },
    ...given,
  };
}

/** One look of a box at what it should have, and one report. */
async function step(hub: HubProcess, box: ReportedBox, given: Partial<TunnelStatus> = {}): Promise<void> {
  const { epoch, revision, items } = expectedViewSchema.parse(await hub.call("GET", `/v1/boxes/${box.id}/workloads`));
  const since = new Date(systemClock.wallMs()).toISOString();
  const workloads = items.flatMap(({ workload }): WorkloadStatus[] =>
    workload.kind !== "tunnel"
      ? []
      : [
          {
            id: workload.id,
            kind: "tunnel",
            description: "an end",
            state: "running",
            generation: 1,
            restarts: 0,
            since,
            tunnel: endOf(box.id, workload.spec, given),
          },
        ],
  );
  const tunnels = {
    address: box.id === "north-1" ? "192.0.2.1" : "192.0.2.2",
    ports: { from: 20_000, to: 20_099 },
    engine: "5.74",
  };
  await box.report({ applied: { epoch, revision }, tunnels, workloads });
}

/** Lets the boxes do what the hub says until the page shows what is wanted. */
async function until(page: Page, selector: string, lap: () => Promise<void>): Promise<void> {
  const endMs = systemClock.monotonicMs() + 60_000;
  while ((await page.locator(selector).count()) === 0) {
    if (systemClock.monotonicMs() > endMs) throw new Error(`the page never showed ${selector}`);
    await lap();
    await systemClock.delay(250);
  }
}

test
  .skipIf(!hasBrowser)
  .concurrent(
    "an operator joins two boxes, sees why the tunnel can be trusted, changes its keys, sees it fail, and ends it",
    { timeout: 240_000 },
    async ({ expect }) => {
      await using hub = await startHubProcess();
      const north = await enrolReportedBox(hub, "north-1", { name: "North gate" });
      const south = await enrolReportedBox(hub, "south-1");
      const both = async (given: Partial<TunnelStatus> = {}) => {
        await step(hub, north, given);
        await step(hub, south, given);
      };
      await both();
      const { page, complaints } = await visitSignedIn(browser, hub);
      await go(page, "Tunnels");
      await page.getByText("No tunnel yet.").waitFor();

      await page.getByRole("button", { name: "New tunnel" }).click();
      const form = page.getByRole("form", { name: "New tunnel" });
      await form.getByLabel("Producer", { exact: true }).selectOption("north-1");
      await form.getByLabel("Consumer", { exact: true }).selectOption("north-1");
      await form.getByLabel("Sources", { exact: true }).fill("10.0.0.5:554, 10.0.0.6:554");
      await form.getByRole("button", { name: "Join them" }).click();
      await form.locator(".field-problem").waitFor();
      expect(await form.locator('[aria-invalid="true"]').getAttribute("name")).toBe("consumer");
      await form.getByLabel("Consumer", { exact: true }).selectOption("south-1");
      await form.getByLabel("Sources", { exact: true }).fill("camera");
      await form.getByRole("button", { name: "Join them" }).click();
      await form.locator(".field-problem").getByText("HOST:PORT").waitFor();
      await form.getByLabel("Sources", { exact: true }).fill("10.0.0.5:554, 10.0.0.6:554");
      await form.getByLabel("Entry points (may stay empty)").fill("5100, 5101");
      await form.getByLabel("At most (Mbit/s)").fill("50");
      await form.getByText("Gateway, names and number of ways").click();
      await form.getByLabel("Uid", { exact: true }).fill("dock");
      await form.getByLabel("Name", { exact: true }).fill("Dock cameras");
      await form.getByRole("button", { name: "Join them" }).click();

      await page.getByRole("heading", { name: "Dock cameras", level: 1 }).waitFor();
      await until(page, '[data-tunnel="dock"][data-phase="up"]', both);
      const steps = await page.getByRole("list", { name: "How it came up" }).getByRole("listitem").allTextContents();
      expect(steps.map((text) => text.split(" ")[0])).toEqual(["requested", "prepared", "linked", "up"]);
      const ways = page.getByRole("region", { name: "Ways through" });
      await ways.getByRole("row", { name: "127.0.0.1:5100 192.0.2.1:20000" }).getByText("10.0.0.5:554").waitFor();
      await ways.getByRole("row", { name: "127.0.0.1:5101 192.0.2.1:20001" }).getByText("10.0.0.6:554").waitFor();
      const consumer = page.getByRole("region", { name: "Consumer: south-1" });
      await consumer.getByText("TLS_AES_256_GCM_SHA384").waitFor();
      await consumer.getByText(`${TUNNEL_ATTACKS.length} of ${TUNNEL_ATTACKS.length}`).waitFor();
      await consumer.getByRole("row", { name: /^null cipher refused/ }).waitFor();
      const state = page.getByRole("region", { name: "State" });
      await state.getByText("3.2 of 50 Mbit/s").waitFor();
      await state.getByText("11 connections").waitFor();
      await state.getByText("certificates 1", { exact: true }).waitFor();

      await page.getByRole("button", { name: "Change the keys of Dock cameras" }).click();
      await until(page, 'text="certificates 2"', both);

      await until(page, '[data-phase="degraded"]', () =>
        both({ phase: "degraded", reason: "null cipher got through" }),
      );
      await state.getByText(/null cipher got through/).waitFor();
      await page
        .locator("#announcements")
        .getByText(/Tunnel Dock cameras is degraded/)
        .waitFor({ state: "attached" });
      await go(page, "Tunnels");
      const row = page.locator('[data-tunnel="dock"][data-phase="degraded"]');
      expect(await row.locator(".pair").textContent()).toMatch(/north-1.*↔.*south-1/);

      await row.getByRole("button", { name: "End Dock cameras" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "End it" }).click();
      const endMs = systemClock.monotonicMs() + 60_000;
      while ((await page.locator('[data-tunnel="dock"]').count()) > 0 && systemClock.monotonicMs() < endMs) {
        await both();
        await systemClock.delay(250);
      }
      await page.getByText("No tunnel yet.").waitFor();
      await page.close();
      expect(complaints).toEqual([]);
    },
  );

test.skipIf(!hasBrowser).concurrent("a viewer sees tunnels on a phone, and cannot touch them", async ({ expect }) => {
  await using hub = await startHubProcess();
  for (const id of ["north-1", "south-1"]) await step(hub, await enrolReportedBox(hub, id));
  const viewer = tokenCreatedSchema.parse(await hub.call("POST", "/v1/tokens", { name: "watch", role: "viewer" }));
  await hub.call("PUT", "/v1/tunnels/dock", {
    producer: "north-1",
    consumer: "south-1",
    sources: [{ host: `${"camera.".repeat(20)}example`, port: 554 }],
  });
  const { page, complaints } = await visit(browser, hub.origin, { width: 360, colorScheme: "dark" });
  await signIn(page, viewer.token ?? "");
  await go(page, "Tunnels");
  await page.getByRole("link", { name: "dock", exact: true }).waitFor();
  expect(await page.getByRole("button").allTextContents()).toEqual(["Sign out"]);
  expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
  await page.getByRole("link", { name: "dock", exact: true }).click();
  await page.getByRole("region", { name: "Producer: north-1" }).getByText("said nothing of it yet").waitFor();
  expect(await page.getByRole("button").allTextContents()).toEqual(["Sign out"]);
  expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
  await page.close();
  expect(complaints).toEqual([]);
});
