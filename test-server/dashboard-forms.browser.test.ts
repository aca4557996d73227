import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { CHROMIUM } from "./chromium.ts";
import { hasBrowser, visitSignedIn } from "./dashboard-visit.ts";
import { type HubProcess, startHubProcess } from "./hub-process.ts";
import { enrolReportedBox } from "./reported-box.ts";

/** One hub for all: each form makes something of its own. */
let browser: Browser;
let hub: HubProcess;
beforeAll(async () => {
  if (!hasBrowser) return;
  [browser, hub] = await Promise.all([chromium.launch(CHROMIUM), startHubProcess()]);
  await enrolReportedBox(hub, "north-1");
});
afterAll(async () => {
  if (hasBrowser) await Promise.all([browser.close(), hub[Symbol.asyncDispose]()]);
});

interface Form {
  /** As it is called to who hears the page. */
  readonly form: string;
  readonly page: string;
  readonly open?: (page: Page) => Promise<void>;
  /** What the hub refuses: the input, by its name, and what is written into it. */
  readonly wrong: readonly [name: string, text: string];
  readonly right: string;
  /** Beside that, what the form needs to be taken. */
  readonly rest?: Readonly<Record<string, string>>;
  readonly method: string;
  readonly url: RegExp;
  /** What the hub then has. */
  readonly isMade: () => Promise<number>;
}

const WAIT = { timeout: 20_000 };

const countOf = async (path: string, holds: string): Promise<number> => {
  const { items } = (await hub.call("GET", path)) as { readonly items: readonly unknown[] };
  return items.filter((item) => JSON.stringify(item).includes(holds)).length;
};

const FORMS: readonly Form[] = [
  {
    form: "New operator token",
    page: "tokens",
    wrong: ["name", " "],
    right: "night watch",
    method: "POST",
    url: /\/v1\/tokens$/,
    isMade: () => countOf("/v1/tokens", "night watch"),
  },
  {
    form: "New enrolment token",
    page: "enrolment",
    wrong: ["box", "a b"],
    right: "south-1",
    method: "POST",
    url: /\/v1\/enrolments$/,
    isMade: () => countOf("/v1/enrolments", "south-1"),
  },
  {
    form: "Rollout",
    page: "rollouts",
    open: (page) => page.getByRole("button", { name: "New rollout" }).click(),
    wrong: ["template", "{,}"],
    right: '{"kind":"stream","id":"gate","spec":{"input":"rtsp://camera/1","outputs":["rtmp://ingest/live/a"]}}',
    rest: { id: "gates", selector: "site=north" },
    method: "PUT",
    url: /\/v1\/rollouts\/gates$/,
    isMade: () => countOf("/v1/rollouts", "gates"),
  },
  {
    form: "Alert rule",
    page: "alerts",
    open: (page) => page.getByRole("button", { name: "New rule" }).click(),
    wrong: ["webhook.url", "nowhere"],
    right: "https://hooks.example/1",
    rest: { id: "away" },
    method: "PUT",
    url: /\/v1\/alert-rules\/away$/,
    isMade: () => countOf("/v1/alert-rules", "away"),
  },
  {
    form: "Name and labels",
    page: "boxes/north-1",
    open: (page) => page.getByText("Change this box").click(),
    wrong: ["labels", "site=a/b"],
    right: "site=north",
    rest: { name: "North gate" },
    method: "PATCH",
    url: /\/v1\/boxes\/north-1$/,
    isMade: () => countOf("/v1/boxes", '"site":"north"'),
  },
];

for (const { form: name, page: path, open, wrong, right, rest = {}, method, url, isMade } of FORMS) {
  test
    .skipIf(!hasBrowser)
    .concurrent(
      `the form "${name}" shows what is wrong at its input, sends once however often it is pressed, and can be sent again`,
      { timeout: 120_000 },
      async ({ expect }) => {
        const { page, complaints } = await visitSignedIn(browser, hub);
        await page.goto(`${hub.origin}/#/${path}`);
        await open?.(page);
        const form = page.getByRole("form", { name });
        const submit = form.locator('button[type="submit"]');
        /** A form that is gone has none. */
        const busy = () => form.locator('button[type="submit"]:disabled').count();
        const input = form.locator(`[name="${wrong[0]}"]`);
        let sent = 0;
        const holds: (() => void)[] = [];
        await page.route(url, async (route) => {
          if (route.request().method() !== method) return route.continue();
          sent++;
          await new Promise<void>((go) => holds.push(go));
          await route.continue();
        });
        const release = async () => {
          for (let turn = 0; turn < 200 && holds.length === 0; turn++) await page.waitForTimeout(20);
          for (const go of holds.splice(0)) go();
        };
        for (const [field, text] of Object.entries(rest)) await form.locator(`[name="${field}"]`).fill(text);

        await input.fill(wrong[1]);
        await submit.click();
        // What the page itself can tell never leaves it.
        if (wrong[0] !== "template") await release();
        await form.locator(`[id="problem-${wrong[0]}"]`).waitFor();
        expect(await input.getAttribute("aria-invalid")).toBe("true");
        await expect.poll(busy, WAIT).toBe(0);
        expect(await page.evaluate("document.activeElement.name")).toBe(wrong[0]);
        expect(await isMade()).toBe(0);

        sent = 0;
        await input.fill(right);
        // Both before anything could be drawn.
        await page.evaluate(`{
          const form = document.querySelector('form[aria-label="${name}"]');
          form.requestSubmit();
          form.requestSubmit();
        }`);
        await expect.poll(busy, WAIT).toBe(1);
        await release();
        await expect.poll(isMade, WAIT).toBe(1);
        await expect.poll(busy, WAIT).toBe(0);
        expect(await page.locator(".field-problem").count()).toBe(0);
        expect(sent).toBe(1);
        expect(complaints).toEqual([]);
        await page.close();
      },
    );
}
