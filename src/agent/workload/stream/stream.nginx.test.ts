import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { freePort } from "../../../../test-server/free-port.ts";
import { systemClock } from "../../../base/clock.ts";
import { createStreamWorld, eventually, SMALL_TEST } from "./stream-world.fake.ts";

let world: ReturnType<typeof createStreamWorld>;
let port: number;
let server: Awaited<ReturnType<typeof world.spawn>>;

beforeEach(async () => {
  world = createStreamWorld();
  port = await freePort();
  const hookPort = await freePort();
  const at = world.directory;
  mkdirSync(join(at, "nginx"));
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${at}/nginx/${name};`,
  );
  const configuration = `
    load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
    daemon off; master_process off; pid ${at}/nginx/pid; error_log stderr error;
    events {}
    rtmp { server { listen 127.0.0.1:${port};
      application live { live on; }
      application deny { live on; on_publish http://127.0.0.1:${hookPort}/; } } }
    http { access_log off; ${temporary.join(" ")} server { listen 127.0.0.1:${hookPort}; location / { return 403; } } }`;
  writeFileSync(join(at, "nginx/nginx.conf"), configuration);
  server = await world.spawn("nginx", ["-c", join(at, "nginx/nginx.conf"), "-e", "stderr"]);
  await systemClock.delay(300);
});
afterEach(() => world.close());

async function verdictOf(url: string) {
  const stream = await world.start({ input: SMALL_TEST, outputs: [url] });
  const exit = { ...(await stream.exited), isAdopted: false, atMonotonicMs: 0 };
  return world.driver.classifyExit(exit, stream.stderr(), stream.workload);
}

test("a second publisher of the same key waits until the server has forgotten the first", async () => {
  const url = `rtmp://127.0.0.1:${port}/live/same`;
  const first = await world.start({ input: SMALL_TEST, outputs: [url] });
  await eventually(() => (first.probe.sample()?.frames ?? 0) > 5);
  expect(await verdictOf(url)).toMatchObject({ class: "already-publishing", retry: "after", afterMs: 20_000 });
});

test("a publisher whom the server's hook denies is rejected", async () => {
  expect(await verdictOf(`rtmp://127.0.0.1:${port}/deny/k`)).toMatchObject({ class: "rejected" });
});

test("a frozen follower does not stop the leader, nor the stop", async () => {
  const stream = await world.start({
    input: SMALL_TEST,
    video: { encoder: "libx264", preset: "ultrafast", bitrateKbit: 2000 },
    outputs: [join(world.directory, "lead/"), `rtmp://127.0.0.1:${port}/live/k`],
  });
  await eventually(() => (stream.probe.sample()?.frames ?? 0) > 5);
  server.signal("SIGSTOP");
  const before = stream.probe.sample()?.frames ?? 0;
  await eventually(() => (stream.probe.sample()?.frames ?? 0) > before + 40);
  stream.signal("SIGTERM");
  expect(await stream.exited).toEqual({ code: 255, signal: null });
});

test("a server that dies ends the stream with a network verdict", async () => {
  const stream = await world.start({ input: SMALL_TEST, outputs: [`rtmp://127.0.0.1:${port}/live/k`] });
  await eventually(() => (stream.probe.sample()?.frames ?? 0) > 5);
  server.signal("SIGKILL");
  const exit = { ...(await stream.exited), isAdopted: false, atMonotonicMs: 0 };
  expect(world.driver.classifyExit(exit, stream.stderr(), stream.workload)).toMatchObject({ class: "network" });
});
