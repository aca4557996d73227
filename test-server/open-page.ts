import type { Page, Request } from "playwright-core";
import { AppError } from "../src/base/errors.ts";

/** What Chromium says of a request that it has dropped because an interface of the machine came or went. */
export const NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED";
const ATTEMPTS = 10;

/**
 * Opens the address, again where the browser has dropped a part of it: it does so with all that is under way, also on loopback, whenever
 * an interface of the machine comes or goes, as networks and containers of other tests do, and one missing module is an empty page.
 */
export async function openPage(page: Page, url: string): Promise<void> {
  let isDropped = false;
  const onFailed = (request: Request) => {
    isDropped ||= request.failure()?.errorText === NETWORK_CHANGED;
  };
  page.on("requestfailed", onFailed);
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      isDropped = false;
      try {
        await page.goto(url);
      } catch (thrown) {
        if (!isDropped) throw thrown;
      }
      if (!isDropped) return;
    }
  } finally {
    page.off("requestfailed", onFailed);
  }
  throw new AppError("unavailable", `${url} was cut off ${ATTEMPTS} times: interfaces of this machine come and go`);
}
