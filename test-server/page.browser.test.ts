import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, type ExpectStatic, expect, test } from "vitest";
import { reportOf } from "../src/hub/store/store.fake.ts";
import { type AgentWorld, createAgentWorld } from "./agent-world.ts";
import { CHROMIUM } from "./chromium.ts";
import { FAULTS } from "./faults/fault-catalog.ts";
import { openPage } from "./open-page.ts";
import { createTestServer, type TestServer } from "./server.ts";
import { openRawConnection } from "./sse/raw-connection.ts";

/** Without Chromium these tests are skipped: Ubuntu has it only as a snap. */
const hasBrowser = existsSync(CHROMIUM.executablePath);
const isLong = process.env["SLUICE_TEST_LONG"] === "1";
/** One for each part that fails: connection, answer, time, commands, memory, bytes. The tests of the link have all. */
const PRESSED = FAULTS.filter(
  ({ name }) => isLong || ["drop", "html", "delay", "commands", "lose-state", "invalid-json"].includes(name),
);
const SMALL_INPUT = "test://bars?size=160x120&fps=10&tone=440";

let browser: Browser;
beforeAll(async () => {
  if (!hasBrowser) return;
  browser = await chromium.launch(CHROMIUM);
});
afterAll(() => (hasBrowser ? browser.close() : undefined));

async function openTestPage(
  server: TestServer,
  { width = 1280, bypassCSP = false }: { readonly width?: number; readonly bypassCSP?: boolean } = {},
): Promise<{ readonly page: Page; readonly complaints: readonly string[] }> {
  const page = await browser.newPage({ viewport: { width, height: 900 }, bypassCSP });
  const complaints: string[] = [];
  page.setDefaultTimeout(40_000);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    // The browser's and the player's own notes of an answer such as 404, or of a picture that ended: the page expects
    // and retries both.
    const isNetwork =
      /^(?:Failed to load resource|WebSocket connection to|\[IOController\] > Loader error|\[TransmuxingController\] > IOException)/.test(
        message.text(),
      );
    if (message.type() === "error" && !isNetwork) complaints.push(message.text());
  });
  await openPage(page, server.origin);
  await page.getByText("page live").waitFor();
  return { page, complaints };
}

/** Resolves when what the browser paints of the stream differs from itself a moment later, while its clock goes on. */
async function untilPictureMoves(expect: ExpectStatic, page: Page, id: string): Promise<void> {
  const video = page.locator(`[data-stream="${id}"] [data-picture="live"] video`);
  const look = async () => ({
    pixels: await video.screenshot(),
    seconds: await video.evaluate(({ currentTime }: { currentTime: number }) => currentTime),
  });
  let before = await look();
  await expect
    .poll(
      async () => {
        const after = await look();
        const moves = !after.pixels.equals(before.pixels) && after.seconds > before.seconds;
        before = after;
        return moves;
      },
      // A busy machine decodes it late.
      { timeout: 60_000, interval: 300 },
    )
    .toBe(true);
}

test.skipIf(!hasBrowser).concurrent(
  "a person starts a stream of a real agent, sees it move, breaks everything, and stops it",
  {
    timeout: 240_000,
  },
  async ({ expect }) => {
    await using world = await createAgentWorld({ agentArguments: ["--report-interval-seconds", "1"] });
    const { server } = world;
    await world.startAgent();
    const { page, complaints } = await openTestPage(server);
    await page.locator("[data-client]").getByText(world.boxId).waitFor();
    const card = page.locator('[data-stream="cam-1"]');

    await page.locator('#start-form [name="input"]').fill(SMALL_INPUT);
    await page.locator("#start-form").getByRole("button", { name: "Start" }).click();
    await page.locator('[data-stream="cam-1"][data-state="running"]').waitFor();
    await untilPictureMoves(expect, page, "cam-1");
    const { pid } = await world.untilRunning("cam-1");
    await card.getByText(String(pid), { exact: true }).waitFor();

    for (const { name } of PRESSED) {
      await pressFault(page, name);
      if (name === "lose-state") {
        await card.waitFor({ state: "detached" });
        await page.locator("#start-form").getByRole("button", { name: "Start" }).click();
        await page.locator('[data-stream="cam-1"][data-state="running"]').waitFor();
      }
      await untilRecovered(world, page, name);
      await untilPictureMoves(expect, page, "cam-1");
    }
    expect(server.rtmp?.connects("cam-1")).toBe(2);

    await card.getByRole("button", { name: "Stop cam-1" }).click();
    await card.waitFor({ state: "detached" });
    await world.until(() => world.workloadPids().length === 0, "the process of cam-1 is gone");

    // The other form: one event of a home-made server, of which the expected set does not know.
    const startForm = page.locator("#start-form");
    await startForm.locator('[name="id"]').fill("cam-2");
    await startForm.getByLabel("one simple event").check();
    await startForm.getByRole("button", { name: "Start" }).click();
    await page.locator('[data-stream="cam-2"][data-state="running"]').waitFor();
    await untilPictureMoves(expect, page, "cam-2");
    expect(server.set.snapshot().workloads).toEqual([]);
    await page.locator('[data-stream="cam-2"]').getByText("not in the expected set").waitFor();
    await page.getByRole("button", { name: "Stop cam-2" }).click();
    await page.locator('[data-stream="cam-2"]').waitFor({ state: "detached" });
    await world.until(() => world.workloadPids().length === 0, "the process of cam-2 is gone");
    await page.close();
    expect(complaints).toEqual([]);
  },
);

test
  .skipIf(!hasBrowser)
  .concurrent(
    "a stream that anybody publishes is shown moving, and said to be gone when it ended",
    async ({ expect }) => {
      await using server = await createTestServer({ port: 0, rtmpPort: 0 });
      const { page, complaints } = await openTestPage(server);
      const publish = () =>
        spawn(
          "ffmpeg",
          `-nostdin -loglevel error -re -f lavfi -i testsrc2=size=160x120:rate=10 -c:v libx264 -preset ultrafast -g 10 -f flv ${server.rtmp?.url}/cam-1`.split(
            " ",
          ),
          { stdio: "ignore" },
        );
      let publisher = publish();
      try {
        server.putStreams({
          kind: "stream",
          id: "cam-1",
          spec: { input: { url: "test://bars" }, outputs: [{ url: `${server.rtmp?.url}/cam-1` }] },
        });
        const picture = page.locator('[data-stream="cam-1"] .picture');
        await page.locator('[data-stream="cam-1"] [data-picture="live"]').waitFor();
        await untilPictureMoves(expect, page, "cam-1");

        publisher.kill("SIGKILL");
        await page.locator('[data-stream="cam-1"] [data-picture="ended"]').waitFor();
        expect(await picture.textContent()).toContain("The stream ended");
        publisher = publish();
        await page.locator('[data-stream="cam-1"] [data-picture="live"]').waitFor();
        await untilPictureMoves(expect, page, "cam-1");
      } finally {
        publisher.kill("SIGKILL");
      }
      await page.close();
      expect(complaints).toEqual([]);
    },
  );

test.skipIf(!hasBrowser).concurrent("eight pictures play at once, and the buttons still work", async ({ expect }) => {
  await using server = await createTestServer({ port: 0, rtmpPort: 0 });
  const outputs = Array.from(
    { length: 8 },
    (_, index) => `-map 0 -c:v libx264 -preset ultrafast -g 10 -f flv ${server.rtmp?.url}/cam-${index}`,
  );
  const args = `-nostdin -loglevel error -re -f lavfi -i testsrc2=size=160x120:rate=5 ${outputs.join(" ")}`.split(" ");
  const publisher = spawn("ffmpeg", args, { stdio: "ignore" });
  try {
    const { page } = await openTestPage(server);
    await expect.poll(() => page.locator('[data-picture="live"]').count(), { timeout: 30_000 }).toBe(8);
    await page.locator('[data-press="drop"]').click();
    await page.locator("#notices").getByText("Drop all connections: 0 connected").waitFor();
    await page.close();
  } finally {
    publisher.kill("SIGKILL");
  }
});

test
  .skipIf(!hasBrowser)
  .concurrent(
    "a picture that is taken away while its connection is being made leaves no error behind",
    async ({ expect }) => {
      await using server = await createTestServer({ port: 0, rtmpPort: 0 });
      const asked = Promise.withResolvers<void>();
      const mute = createServer((socket) => {
        // The page goes without a word.
        socket.on("error", () => undefined);
        asked.resolve();
      }).listen(0, "127.0.0.1");
      await using _ended = { [Symbol.asyncDispose]: async () => void mute.close() };
      await once(mute, "listening");
      const address = mute.address();
      // The page's policy allows pictures of its own server alone; this one is nobody's, and never answers.
      const { page, complaints } = await openTestPage(server, { bypassCSP: true });
      await page.evaluate(`(async () => {
      const { createPicture } = await import("/shared/picture.js");
      globalThis.picture = createPicture();
      document.body.append(picture.node);
      picture.update({ url: "ws://127.0.0.1:${typeof address === "object" ? address?.port : 0}/x.flv", isOn: true });
    })()`);
      await asked.promise;
      await page.evaluate("picture.remove()");
      // What the browser says of the connection that was given up comes in a turn of its own, like the error would.
      await page.evaluate("new Promise((done) => setTimeout(done, 500))");
      await page.close();
      expect(complaints).toEqual([]);
    },
  );

test
  .skipIf(!hasBrowser)
  .concurrent("what comes from outside is shown as text and never as markup", async ({ expect }) => {
    await using server = await createTestServer({ port: 0, rtmpPort: 0 });
    const evil = '<img src=x onerror="document.title=1">';
    server.putStreams({
      kind: "stream",
      id: "a",
      spec: { input: { url: `rtsp://${evil}` }, outputs: [{ url: `rtmp://h/${evil}` }] },
    });
    server.log.write("client", evil);
    const { page } = await openTestPage(server);
    await page.getByText(`rtsp://${evil}`).first().waitFor();
    expect(await page.locator("img[src=x]").count()).toBe(0);
    expect(await page.title()).toBe("Sluice test server");
    await page.close();
  });

test.skipIf(!hasBrowser).concurrent("the page says that the server is gone and comes back with it", async () => {
  const first = await createTestServer({ port: 0, rtmpPort: 0 });
  const { page } = await openTestPage(first);
  await first.close();
  await page.getByText("page disconnected, retrying").waitFor();
  await using _second = await createTestServer({ port: first.port, rtmpPort: 0, strictPorts: true });
  await page.getByText("page live").waitFor();
  await page.close();
});

test.skipIf(!hasBrowser).concurrent.each([400, 1000, 1600])(
  "nothing is wider than a screen of %d pixels",
  async (width) => {
    await using server = await createTestServer({ port: 0, rtmpPort: 0 });
    const long = "x".repeat(300);
    server.putStreams({
      kind: "stream",
      id: "long",
      spec: { input: { url: `rtsp://${long}` }, outputs: [{ url: `rtmp://h/${long}` }] },
    });
    const { page } = await openTestPage(server, { width });
    await page.locator('[data-stream="long"]').waitFor();
    for (const more of await page.locator(".more").all()) await more.click();
    expect(
      await page.locator("html").evaluate(({ scrollWidth }: { scrollWidth: number }) => scrollWidth),
    ).toBeLessThanOrEqual(width);
    await page.close();
  },
);

test.skipIf(!hasBrowser).concurrent("a command is sent from the page, and its answer shown", async ({ expect }) => {
  await using server = await createTestServer({ port: 0 });
  await using client = openRawConnection(`${server.origin}/v1/boxes/north-1/events`);
  const { page } = await openTestPage(server);
  await page.locator('#command-form [name="name"]').selectOption("StopSession");
  await page.locator('#command-form [name="args"]').fill('{"id":"web","generation":7}');
  await page.getByRole("button", { name: "Send command" }).click();
  await page.getByText("no answer yet").waitFor();
  await client.until('"name":"StopSession","args":{"id":"web","generation":7}');
  const [command] = server.commands.list();
  const result = {
    id: command?.id ?? "",
    ok: false,
    text: "older generation 7 than 9",
    finishedAt: "2026-01-15T10:30:45Z",
  };
  for (const sequence of [1, 2]) {
    server.reports.add({ ...reportOf("north-1", "s", sequence), commandResults: [result] });
  }
  await page.getByText("north-1: not done: older generation 7 than 9 · told 2 times").waitFor();
  await page.locator('#command-form [name="args"]').fill("{");
  await page.getByRole("button", { name: "Send command" }).click();
  await page.getByText(/^args: /).waitFor();
  expect(server.commands.list()).toHaveLength(1);
  await page.close();
});

test.skipIf(!hasBrowser).concurrent("keys alone start a stream", async ({ expect }) => {
  await using server = await createTestServer({ port: 0, rtmpPort: 0 });
  const { page } = await openTestPage(server);
  await page.locator('#start-form [name="id"]').focus();
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type("by-keys");
  await page.keyboard.press("Enter");
  await page.locator('[data-stream="by-keys"]').waitFor();
  expect(server.set.snapshot().workloads[0]?.spec).toMatchObject({
    outputs: [{ url: `${server.rtmp?.url}/by-keys` }],
  });
  await page.close();
});

/** Shortens what lasts, then presses the button. */
async function pressFault(page: Page, name: string): Promise<void> {
  const item = page.locator(`[data-fault="${name}"]`);
  const seconds = item.locator(`[name="${name}-seconds"]`);
  if ((await seconds.count()) > 0) {
    await item.locator(".more").click();
    await seconds.fill("2");
  }
  await item.locator("[data-press]").click();
  await page
    .locator("#notices")
    .getByText(`${FAULTS.find((fault) => fault.name === name)?.title}:`)
    .first()
    .waitFor();
}

/** The agent is connected, hears what is said now, and the same process still streams. */
async function untilRecovered(world: AgentWorld, page: Page, fault: string): Promise<void> {
  const { server } = world;
  await world.until(() => server.board.active().every(({ name }) => name === "split"), `${fault} is over`);
  const id = `after-${fault}`;
  server.putStreams({
    kind: "stream",
    id,
    spec: { input: { url: "gopher://h/1" }, outputs: [{ url: "rtmp://h/l/k" }] },
  });
  await world.until(
    async () => {
      const { expected } = await world.status();
      const { epoch, revision } = server.set.snapshot();
      return expected.epoch === epoch && expected.revision === revision;
    },
    `the agent heard a change after ${fault}`,
    30_000,
  );
  server.set.remove([id]);
  await page.locator("[data-client]").getByText(world.boxId).first().waitFor();
  expect((await world.workload("cam-1"))?.state, `cam-1 after ${fault}`).toBe("running");
}
