import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { workloadPutSchema } from "../src/contract/fleet/expected-view.ts";
import { tokenCreatedSchema } from "../src/contract/fleet/token.ts";
import { CHROMIUM } from "./chromium.ts";
import { hasBrowser, visitSignedIn } from "./dashboard-visit.ts";
import { type HubProcess, startHubProcess } from "./hub-process.ts";
import { enrolReportedBox } from "./reported-box.ts";

let browser: Browser;
beforeAll(async () => {
  if (hasBrowser) browser = await chromium.launch(CHROMIUM);
});
afterAll(() => (hasBrowser ? browser.close() : undefined));

const STREAM = {
  kind: "stream",
  id: "cam-1",
  name: "Gate",
  spec: {
    input: { url: "rtsp://admin:hunter2@camera/1", rtspTransport: "udp" },
    outputs: [{ url: "rtmp://ingest/live/secret-one" }, { url: "rtmp://ingest/live/secret-two" }],
    video: { encoder: "libx264", bitrateKbit: 900, profile: "high" },
  },
};
const WORKLOAD = "/v1/boxes/north-1/workloads/cam-1";

/** A hub with one box and one stream on it, and the page on which the stream is changed. */
async function openEdit(hub: HubProcess) {
  const box = await enrolReportedBox(hub, "north-1");
  await hub.call("PUT", WORKLOAD, { workload: STREAM });
  const { page, complaints } = await visitSignedIn(browser, hub);
  await page.goto(`${hub.origin}/#/boxes/north-1`);
  await page.getByRole("link", { name: "Change cam-1" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Change cam-1", level: 1 }).waitFor();
  await page.getByLabel("Input", { exact: true }).waitFor();
  return { page, complaints, box };
}

/** What the box itself is sent: with its secrets. */
async function specOnTheBox(hub: HubProcess, key: string): Promise<unknown> {
  const answer = await fetch(`${hub.origin}/v1/boxes/north-1/events`, {
    headers: { authorization: `Bearer ${key}`, accept: "text/event-stream" },
  });
  let text = "";
  for await (const piece of answer.body ?? []) {
    text += Buffer.from(piece).toString();
    const data =
      /event: expected\n(?:id: .*\n)?data: (.*)\n/.exec(text)?.[1] ?? /data: (\{.*"workloads".*\})\n/.exec(text)?.[1];
    if (data !== undefined) return JSON.parse(data).workloads[0].spec;
  }
  return undefined;
}

test
  .skipIf(!hasBrowser)
  .concurrent(
    "a stream is changed by keys alone, and its secrets and what the form does not show stay",
    async ({ expect }) => {
      await using hub = await startHubProcess();
      const { page, complaints, box } = await openEdit(hub);
      expect(await page.getByLabel("Input", { exact: true }).inputValue()).toBe("rtsp://admin:***@camera/1");
      expect(await page.getByLabel("Output 2", { exact: true }).inputValue()).toBe("rtmp://ingest/live/***");
      await page.getByText(/Kept as it is.*input\.rtspTransport, video\.profile/).waitFor();

      await page.getByLabel("Name (may stay empty)").focus();
      await page.keyboard.press("ControlOrMeta+A");
      await page.keyboard.type("North gate");
      await page.getByText("Encoding, limits and order").focus();
      await page.keyboard.press("Enter");
      expect(await page.getByLabel("kbit/s", { exact: true }).inputValue()).toBe("900");
      await page.getByLabel("kbit/s", { exact: true }).fill("1200");
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "North gate", level: 1 }).waitFor();

      expect(await specOnTheBox(hub, box.key)).toEqual({
        ...STREAM.spec,
        video: { encoder: "libx264", bitrateKbit: 1200, profile: "high" },
      });
      await page.close();
      expect(complaints).toEqual([]);
    },
  );

test
  .skipIf(!hasBrowser)
  .concurrent(
    "who was quicker is named, with what is different; the newer form is shown, or one's own is written over it",
    async ({ expect }) => {
      await using hub = await startHubProcess();
      const { page, complaints } = await openEdit(hub);
      const watch = tokenCreatedSchema.parse(
        await hub.call("POST", "/v1/tokens", { name: "night watch", role: "operator" }),
      );
      const putAs = async (token: string | undefined, workload: object) => {
        const answer = await fetch(`${hub.origin}${WORKLOAD}`, {
          method: "PUT",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
          body: JSON.stringify({ workload }),
        });
        expect(answer.status).toBe(200);
      };
      const lost = page.locator("[data-lost-update]");
      const save = () => page.getByRole("button", { name: "Save", exact: true }).click();
      const held = async () => workloadPutSchema.parse(await hub.call("GET", WORKLOAD)).workload;

      // Another workload of the box moves the same revision, and concerns nobody here.
      await hub.call("PUT", "/v1/boxes/north-1/workloads/cam-2", { workload: { ...STREAM, id: "cam-2" } });
      await putAs(watch.token, { ...STREAM, priority: 80 });
      await page.getByLabel("Name (may stay empty)").fill("Mine");
      await save();
      await lost.getByText(/night watch was quicker/).waitFor();
      expect(await lost.getByRole("row", { name: "priority — 80" }).count()).toBe(1);
      expect((await held()).name).toBe("Gate");
      await lost.getByRole("button", { name: "Show the newer one" }).click();
      await lost.waitFor({ state: "detached" });
      expect(await page.getByLabel("Name (may stay empty)").inputValue()).toBe("Gate");
      await page.getByText("Encoding, limits and order").click();
      expect(await page.getByLabel("Priority (0 to 100)").inputValue()).toBe("80");

      // A secret alone: nothing of it shows in the masked form, and it is not lost all the same.
      const [, second] = STREAM.spec.outputs;
      const spec = { ...STREAM.spec, outputs: [{ url: "rtmp://ingest/live/other" }, second] };
      await putAs(watch.token, { ...STREAM, priority: 80, spec });
      await page.getByLabel("Name (may stay empty)").fill("Mine");
      await save();
      await lost.getByText("a secret may be another one").waitFor();
      await lost.getByRole("button", { name: "Save mine over it" }).click();
      await page.getByRole("heading", { name: "Mine", level: 1 }).waitFor();
      expect(await held()).toMatchObject({ name: "Mine", priority: 80 });
      await page.close();
      expect(complaints).toEqual([]);
    },
  );

test
  .skipIf(!hasBrowser)
  .concurrent("a change of another workload of the box, meanwhile, is nobody's business", async () => {
    await using hub = await startHubProcess();
    const { page } = await openEdit(hub);
    await hub.call("PUT", "/v1/boxes/north-1/workloads/cam-2", { workload: { ...STREAM, id: "cam-2" } });
    await page.getByLabel("Name (may stay empty)").fill("Mine");
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.getByRole("heading", { name: "Mine", level: 1 }).waitFor();
    await page.close();
  });

test
  .skipIf(!hasBrowser)
  .concurrent(
    "an output that is taken away takes no other's secret with it, and a stream that was stopped can be had again",
    async ({ expect }) => {
      await using hub = await startHubProcess();
      const { page } = await openEdit(hub);
      await page.getByRole("button", { name: "Take output 1 away" }).click();
      await page.getByRole("button", { name: "Save", exact: true }).click();
      await page.locator(".field-problem").getByText("give the address whole").waitFor();
      await page.getByLabel("Output", { exact: true }).fill("rtmp://ingest/live/secret-two");
      await page.getByLabel("Input", { exact: true }).fill("rtsp://camera/2");

      await hub.call("DELETE", WORKLOAD);
      await page.getByRole("button", { name: "Save", exact: true }).click();
      await page.getByText(/admin was quicker and stopped it/i).waitFor();
      await page.getByRole("button", { name: "Start it again like this" }).click();
      await page.getByRole("heading", { name: "Gate", level: 1 }).waitFor();
      const { workload } = workloadPutSchema.parse(await hub.call("GET", WORKLOAD));
      expect(workload.spec).toMatchObject({
        input: { url: "rtsp://camera/2" },
        outputs: [{ url: "rtmp://ingest/live/***" }],
      });
      await page.close();
    },
  );
