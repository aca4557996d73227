import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { expect, test } from "vitest";
import { NETWORK_CHANGED, openPage } from "../../../test-server/open-page.ts";
import { hubRoutes, startTestHub } from "../hub-world.fake.ts";

test.skipIf(!existsSync("/usr/bin/chromium"))(
  "the API page shows every route in a browser, with nothing from anywhere else and no complaint",
  async () => {
    await using hub = await startTestHub();
    const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
    try {
      const page = await browser.newPage();
      const complaints: string[] = [];
      const foreign: string[] = [];
      page.on("console", (message) => {
        if (message.type() === "error" && !message.text().includes(NETWORK_CHANGED)) complaints.push(message.text());
      });
      page.on("pageerror", (error) => void complaints.push(error.message));
      page.on("request", (request) => {
        if (!request.url().startsWith(hub.origin) && !/^(?:data|blob):/.test(request.url()))
          foreign.push(request.url());
      });
      await openPage(page, `${hub.origin}/docs/`);
      await page.locator(".opblock").first().waitFor({ timeout: 30_000 });
      expect(await page.locator(".opblock").count()).toBe(hubRoutes().length);
      expect({ complaints, foreign }).toEqual({ complaints: [], foreign: [] });
    } finally {
      await browser.close();
    }
  },
);
