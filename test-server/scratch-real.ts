import { chromium } from "playwright-core";
import { CHROMIUM } from "./chromium.ts";
import { signIn, visit } from "./dashboard-visit.ts";
import { createHubWorld } from "./hub-world.ts";
import { runSluice } from "./sluice-command.ts";
await using w = await createHubWorld({ world: { agentArguments: ["--report-interval-seconds", "2", "--policy-session-commands", "/usr/bin/python3", "--policy-images", "nginx:*"] } });
await w.enrol();
await w.world.startAgent();
const box = w.world.boxId;
const run = async (...args: string[]) => { const t0 = performance.now(); const r = await runSluice(w.world, args); console.log(`$ sluice ${args.join(" ")}   [${r.code}, ${Math.round(performance.now()-t0)} ms]\n${r.text}`); return r; };
const wait = (ms: number) => new Promise((d) => setTimeout(d, ms));
for (let i = 0; i < 60; i++) { const b: any = await w.hub.call("GET", `/v1/boxes/${box}`); if (b.connection === "online" && b.sessions) { console.log(JSON.stringify(b.sessions)); break; } await wait(300); }
await run("session", "start", "files", "--box", box, "--port", "18000:18000/http", "--idle", "30m", "--volume", "data:data", "--env", "API_KEY=hunter-22", "--wait", "--", "/usr/bin/python3", "-m", "http.server", "18000", "--bind", "127.0.0.1");
try { console.log("GET", (await fetch("http://127.0.0.1:18000/")).status); } catch (e) { console.log(String(e)); }
await wait(3000);
await run("session", "ls");
await run("session", "show", "files");
await run("session", "start", "--dry-run", "--image", "nginx:1.27");
await run("session", "start", "web", "--image", "nginx:1.27", "--port", "80/http", "--memory", "256Mi", "--wait", "3s", "--box", box);
await run("session", "start", "evil", "--box", box, "--wait", "10s", "--", "/bin/sh", "-c", "id");
await run("session", "start", "once", "--box", box, "--restart", "never", "--wait", "10s", "--", "/usr/bin/python3", "-c", "print('done')");
await run("session", "ls");
await run("session", "touch", "files");
await run("session", "logs", "files", "-n", "5");
const browser = await chromium.launch(CHROMIUM);
const { page, complaints } = await visit(browser, w.hub.origin);
await signIn(page, w.hub.adminToken);
for (const [n, h] of [["list", "/sessions"], ["files", "/sessions/files"], ["web", "/sessions/web"], ["box", `/boxes/${box}`], ["workloads", "/workloads"]]) { await page.goto(`${w.hub.origin}/#${h}`); await wait(1500); await page.screenshot({ path: `/tmp/scli/real-${n}.png`, fullPage: true }); }
console.log("complaints", complaints);
await run("session", "hibernate", "files", "--wait");
await run("session", "show", "files");
await run("session", "wake", "files", "--wait");
await run("session", "hibernate", "once");
await run("session", "wake", "once", "--wait", "10s");
await run("session", "stop", "files", "web", "evil", "once", "--wait");
await run("session", "ls");
await run("audit", "ls");
await browser.close();
