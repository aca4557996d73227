import { existsSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { CHROMIUM } from "./chromium.ts";
import { openPage } from "./open-page.ts";

/** Without Chromium the tests of pages are skipped: Ubuntu has it only as a snap. */
export const hasBrowser = existsSync(CHROMIUM.executablePath);

export interface Visit {
  readonly page: Page;
  /** What scripts threw or the browser refused, and requests to anybody but the hub. */
  readonly complaints: string[];
}

export interface VisitOptions {
  readonly width?: number;
  readonly colorScheme?: "light" | "dark";
}

/** Opens the dashboard of the hub at `origin` in a page of its own. */
export async function visit(browser: Browser, origin: string, options: VisitOptions = {}): Promise<Visit> {
  const { width = 1280, colorScheme = "light" } = options;
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
  const complaints: string[] = [];
  page.setDefaultTimeout(40_000);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (new URL(request.url()).protocol !== "blob:" && !request.url().startsWith(origin))
      complaints.push(request.url());
    if (/slo_/.test(request.url())) complaints.push("a token in an address");
  });
  await openPage(page, origin);
  return { page, complaints };
}

/** The same, with the hub's first token signed in. */
export async function visitSignedIn(
  browser: Browser,
  hub: { readonly origin: string; readonly adminToken: string },
  options: VisitOptions = {},
): Promise<Visit> {
  const opened = await visit(browser, hub.origin, options);
  await signIn(opened.page, hub.adminToken);
  return opened;
}

export async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel("Operator token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Boxes", level: 1 }).waitFor();
  await page.getByText("live", { exact: true }).waitFor();
}

/** Opens a page by its link in the menu. */
export async function go(page: Page, name: string): Promise<void> {
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name, exact: true }).click();
}
