import { readdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { type AgentWorld, createAgentWorld } from "../../test-server/agent-world.ts";
import { runSluice } from "../../test-server/sluice-command.ts";
import { createLocalAgent } from "../client/local-agent.ts";
import type { Workload } from "../contract/workload.ts";

const CRASHER = resolve(import.meta.dirname, "../../test-server/programs/crash-on-signal.ts");

/** Texts that occur nowhere else. Some need percent-encoding, so that every form of them differs. */
const SECRETS = {
  cameraPassword: "cAnPw/8Q@k7x",
  streamKey: "cAnKey-4711-ZzQ",
  passphrase: "cAnPhrase-0192837465",
  queryToken: "cAnTok+9/7=uV",
  bearer: "cAnBearer-5566-7788",
  endpointPassword: "cAnLink-0042-xY",
  refusedPassword: "cAnRefused-31337",
  badEvent: "cAnBad-Event-777",
} as const;
/** Too short to be looked for by itself: only its place in a URL tells. */
const SHORT_PASSWORD = "q7Z";
const CLOSED_PORT = 9;

/** Base64 of a text that begins anywhere in a longer one: the characters that only the text itself decides. */
function base64Cores(text: string): string[] {
  return [0, 1, 2].map((offset) => {
    const whole = Buffer.concat([Buffer.alloc(offset), Buffer.from(text)]).toString("base64");
    return whole.slice(offset === 0 ? 0 : offset + 1, Math.floor(((offset + text.length) * 8) / 6));
  });
}

const NEEDLES: readonly (readonly [secret: string, form: string])[] = Object.entries(SECRETS)
  .flatMap(([name, value]) => {
    const forms = [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1), ...base64Cores(value)];
    return [...new Set(forms)].map((form) => [name, form] as const);
  })
  .concat([["shortPassword", `:${SHORT_PASSWORD}@`]]);

function found(text: string): string[] {
  return NEEDLES.filter(([, form]) => text.includes(form)).map(([name, form]) => {
    const at = text.indexOf(form);
    return `${name} as ${form}: …${text.slice(Math.max(0, at - 80), at + form.length + 40)}…`;
  });
}

/**
 * Every file of the state directory but `persistent_state.json` (mode 0600): it is the expected set itself, which must
 * survive a reboot without a server, and so holds its URLs.
 */
function searchedFiles(stateDir: string): string[] {
  return readdirSync(stateDir, { recursive: true, encoding: "utf8" })
    .filter((name) => !/^persistent_state\.json(\.\d)?$/.test(name))
    .map((name) => join(stateDir, name))
    .filter((path) => statSync(path).isFile());
}

function encoded(secret: keyof typeof SECRETS): string {
  return encodeURIComponent(SECRETS[secret]);
}

/** One stream that works, and one for each way in which FFmpeg prints the URL that it could not use. */
function streams(world: AgentWorld, httpOrigin: string): Workload[] {
  const bars = { url: "test://bars?size=160x90&fps=5" };
  const rtmp = world.server.rtmp?.url ?? "";
  const camera = `admin:${encoded("cameraPassword")}@127.0.0.1`;
  const endless = Object.entries({
    works: { input: bars, outputs: [{ url: `${rtmp}/${SECRETS.streamKey}?auth=${encoded("queryToken")}` }] },
    "camera-away": {
      input: { url: `rtsp://${camera}:${CLOSED_PORT}/axis?token=${encoded("queryToken")}` },
      outputs: [{ url: `${rtmp}/camera-away` }],
    },
    "camera-short": {
      input: { url: `rtsp://admin:${SHORT_PASSWORD}@127.0.0.1:${CLOSED_PORT}/h264` },
      outputs: [{ url: `${rtmp}/camera-short` }],
    },
    "http-away": {
      input: { url: `${httpOrigin.replace("//", `//admin:${encoded("cameraPassword")}@`)}/gone.ts` },
      outputs: [{ url: `${rtmp}/http-away` }],
    },
    "playlist-away": {
      input: { url: `${httpOrigin}/live.m3u8?token=${encoded("queryToken")}` },
      outputs: [{ url: `${rtmp}/playlist-away` }],
    },
    "ingest-away": { input: bars, outputs: [{ url: `rtmp://127.0.0.1:${CLOSED_PORT}/live/${SECRETS.streamKey}` }] },
    "srt-away": {
      input: bars,
      outputs: [
        { url: `srt://127.0.0.1:${CLOSED_PORT}?passphrase=${SECRETS.passphrase}&streamid=${SECRETS.streamKey}` },
      ],
    },
    "two-outputs": {
      input: bars,
      outputs: [
        { url: `rtmp://127.0.0.1:${CLOSED_PORT}/other/${SECRETS.streamKey}` },
        { url: `rtmp://127.0.0.1:${CLOSED_PORT}/live/second?key=${encoded("queryToken")}` },
      ],
    },
    refused: {
      input: { url: `gopher://ann:${SECRETS.refusedPassword}@127.0.0.1/x` },
      outputs: [{ url: `${rtmp}/refused?key=${SECRETS.refusedPassword}` }],
    },
  });
  return endless.map(([id, spec]) => ({ kind: "stream", id, spec: { ...spec, audio: "none" } }));
}

/** Nothing in these may be repeated, although the redactor cannot know what a skipped event would have meant. */
const BAD_EVENTS = [
  `data: {"eventType":"start","input":"rtsp://u:${SECRETS.badEvent}@h/1\n\n`,
  `data: {"eventType":"start","input":"rtsp://u:${SECRETS.badEvent}@h/1","output":7}\n\n`,
  `data: {"eventType":"start","id":"${SECRETS.badEvent} with spaces","input":"test://bars","output":"rtmp://h/l/k"}\n\n`,
  `data: {"eventType":"start","cameraUrl":"rtsp://u:${SECRETS.badEvent}@h/1","streamKey":"${SECRETS.badEvent}"}\n\n`,
  `event: change\ndata: {"revision":2,"put":[{"kind":"stream","id":"cam-x","spec":{"input":"rtsp://u:${SECRETS.badEvent}@h/1","outputs":["rtmp://h/l/${SECRETS.badEvent}"],"video":{"encoder":"${SECRETS.badEvent}!"}}}]}\n\n`,
  `event: command\ndata: {"id":"1","name":"reconcile","args":"${SECRETS.badEvent}","deadline":"${SECRETS.badEvent}"}\n\n`,
];

test("no secret is in any byte that the agent writes, answers or reports, while streams work, fail, are refused and it crashes", async () => {
  await using world = await createAgentWorld({
    environment: {
      SLUICE_TOKEN: SECRETS.bearer,
      DEBUG: "1",
      NODE_OPTIONS: `--import ${CRASHER}`,
      CRASH_TEXT: `cannot open rtsp://admin:${encoded("cameraPassword")}@cam/ with ${SECRETS.streamKey} and ${SECRETS.bearer}`,
    },
  });
  const endpoint = `${world.server.origin.replace("//", `//box:${SECRETS.endpointPassword}@`)}/events?key=${encoded("queryToken")}`;
  const places = ["--link-endpoint", endpoint, "--report-interval-seconds", "1"];
  const http = createServer((request, response) => {
    const isPlaylist = request.url?.startsWith("/live.m3u8") === true;
    response.writeHead(isPlaylist ? 200 : 404, { "content-type": "application/vnd.apple.mpegurl" });
    response.end(
      isPlaylist
        ? `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nseg.ts?token=${encoded("queryToken")}\n#EXT-X-ENDLIST\n`
        : "",
    );
  });
  await new Promise<void>((done) => http.listen(0, "127.0.0.1", done));
  const bytes: Record<string, string> = {};
  try {
    world.server.fault("refuse-reports", { status: 503, seconds: 0 });
    const agent = await world.startAgent(places);
    const { port } = http.address() as AddressInfo;
    const wanted = streams(world, `http://127.0.0.1:${port}`);
    world.server.putStreams(...wanted);
    await world.server.rtmp?.untilPublishing(SECRETS.streamKey, AbortSignal.timeout(20_000));
    for (const event of BAD_EVENTS) world.server.sendRaw(event);
    await world.until(async () => {
      const { workloads } = await world.status();
      return workloads.every(({ id, lastExit }) => id === "works" || id === "refused" || lastExit !== undefined);
    }, "every stream that cannot work has failed");
    await world.until(async () => {
      const { link, badInputs } = await world.status();
      const skipped = Object.values(link.badEvents).reduce((sum, times) => sum + times, 0);
      return skipped + (badInputs["workload"] ?? 0) === BAD_EVENTS.length;
    }, "every bad event is counted");

    const local = createLocalAgent({ socketPath: join(world.stateDir, "agent.sock") });
    const limit = AbortSignal.timeout(30_000);
    bytes["answer status"] = JSON.stringify(await local.status(limit));
    bytes["answer reconcile"] = JSON.stringify(await local.reconcile(limit));
    bytes["answer cleanup"] = JSON.stringify(await local.cleanup({ dryRun: true, scope: "strays" }, limit));
    for (const { id } of wanted) {
      bytes[`answer explain ${id}`] = JSON.stringify(await local.explain(id, limit));
      let log = "";
      for await (const piece of local.logs(id, { lines: 1000, follow: false }, limit)) log += piece;
      bytes[`answer logs ${id}`] = log;
    }
    const commands = [["status"], ["status", "--json"], ["logs", "agent", "-n", "1000"], ["doctor"], ["cleanup"]];
    commands.push(["explain", "camera-away"], ["logs", "srt-away"]);
    commands.push(["agent", "--print-config", ...places], ["agent", "--link-endpoint", `${endpoint} `, "--nonsense"]);
    const environment = { SSE_ENDPOINT: endpoint, SLUICE_TOKEN: SECRETS.bearer };
    for (const command of commands) {
      bytes[`sluice ${command[0]} ${command[1] ?? ""}`] = (await runSluice(world, command, environment)).text;
    }
    for (const path of searchedFiles(world.stateDir)) bytes[path] = readFileSync(path, "latin1");
    expect(readFileSync(join(world.stateDir, "report-queue.jsonl"), "utf8")).toContain("bad-event");

    process.kill(agent.pid, "SIGUSR2");
    expect((await agent.exited).code).toBe(70);
    expect(agent.output()).toContain("Unexpected fault, ending: TypeError: cannot open");
    bytes["output of the agent"] = agent.output();
    expect(readFileSync(join(world.stateDir, "logs/stream_system.log"), "utf8")).toContain("Unexpected fault, ending");
    for (const path of searchedFiles(world.stateDir)) bytes[`${path} after the crash`] = readFileSync(path, "latin1");

    // The next agent finds in the queue what could not be told, and tells it at once.
    world.server.board.clear("refuse-reports");
    const next = await world.startAgent(places);
    const occurrences = () => world.server.reports.last().flatMap(({ report }) => report.occurrences);
    await world.until(
      () => ["exit", "bad-event", "refused"].every((wanted) => occurrences().some(({ kind }) => kind === wanted)),
      "reports with what happened have arrived",
    );
    bytes["reports"] = JSON.stringify(world.server.reports.last());
    bytes["output of the next agent"] = next.output();
  } finally {
    http.close();
  }

  const leaks = Object.entries(bytes).flatMap(([place, text]) => found(text).map((leak) => `${place}: ${leak}`));
  expect(leaks).toEqual([]);
  // The search finds what is there, and the secrets really were where they could have leaked from.
  expect(
    new Set(
      found(readFileSync(join(world.stateDir, "persistent_state.json"), "utf8")).map((leak) => leak.split(" ")[0]),
    ),
  ).toEqual(new Set(["cameraPassword", "streamKey", "passphrase", "queryToken", "refusedPassword", "shortPassword"]));
  for (const id of ["camera-away", "http-away", "ingest-away", "srt-away"]) {
    expect(bytes[`answer logs ${id}`], id).toContain("***");
  }
}, 120_000);
