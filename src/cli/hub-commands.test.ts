import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import { createHttpFetch } from "../base/http-fetch.ts";
import { createMemoryLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { createHubClient, type HubClient } from "../client/hub-client.ts";
import { parseEnrolmentString } from "../contract/fleet/enrolment-string.ts";
import { hashSecret } from "../hub/auth/secret-hash.ts";
import { runHub, type StartedHub } from "../hub/hub.ts";
import { testHubOptions } from "../hub/hub-world.fake.ts";
import { createTestContext } from "./command-context.fake.ts";
import { runProgram } from "./program.ts";

let directory: string;
let home: string;
let hub: StartedHub;
let client: HubClient;
const stop = new AbortController();
let ended: Promise<void>;
const signal = new AbortController().signal;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-hub-cli-"));
  hub = await new Promise<StartedHub>((resolve, reject) => {
    ended = runHub(
      testHubOptions(join(directory, "data"), { enrolment: { approval: "manual" } }),
      {
        clock: systemClock,
        random: systemRandom,
        log: createMemoryLog(),
        runProgram: () => Promise.reject(new Error("no program")),
        newId: () => randomBytes(8).toString("hex"),
        newSecret: () => randomBytes(32).toString("base64url"),
        version: "0.1.0",
        hostname: "127.0.0.1",
        pages: [],
        announce: resolve,
      },
      stop.signal,
    );
    ended.catch(reject);
  });
  client = createHubClient(
    { hub: hub.url, token: hub.adminToken },
    { fetch: createHttpFetch(), clock: systemClock, random: () => 0 },
  );
  for (const [id, name, labels] of [
    ["north-1", "North gate", "site=north"],
    ["north-2", "Quarry", "site=north"],
    ["south-1", "Lobby", "site=south"],
  ] as const) {
    await addBox(id, { name, labels: { site: labels.split("=")[1] ?? "" }, approve: true });
  }
});
afterAll(async () => {
  stop.abort();
  await ended;
  await rm(directory, { recursive: true });
});
beforeEach(async () => {
  home = await mkdtemp(join(directory, "home-"));
});

async function addBox(
  id: string,
  wish: { readonly name: string; readonly labels: Record<string, string>; readonly approve: boolean },
): Promise<void> {
  const { token = "" } = await client.enrolments.create({ labels: wish.labels, approve: wish.approve }, signal);
  const response = await fetch(`${hub.url}/v1/enrol`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": randomBytes(8).toString("hex") },
    body: JSON.stringify({
      token: parseEnrolmentString(token)?.token,
      boxId: id,
      name: wish.name,
      keyHash: hashSecret(randomBytes(16).toString("hex")),
    }),
  });
  expect(response.status, await response.text()).toBeLessThan(300);
}

type Given = NonNullable<Parameters<typeof createTestContext>[1]>;

async function run(line: string | readonly string[], given: Given = {}) {
  const context = createTestContext(home, {
    ...given,
    env: { SLUICE_HUB: hub.url, SLUICE_HUB_TOKEN: hub.adminToken, ...given.env },
    terminal: { columns: 120, ...given.terminal },
  });
  const exitCode = await runProgram(typeof line === "string" ? line.split(" ") : line, context);
  return { exitCode, out: context.out(), err: context.err() };
}

const json = async (line: string | readonly string[]) => {
  const { exitCode, out, err } = await run([...(typeof line === "string" ? line.split(" ") : line), "--json"]);
  expect(err).toBe("");
  expect(exitCode).toBe(0);
  return JSON.parse(out);
};

test("boxes are listed, filtered and shown", async () => {
  const { out, err } = await run("box ls");
  expect(err).toBe("");
  expect(out.split("\n")[0]).toMatch(/^ID +NAME +STATE +SEEN/);
  expect(out).toMatch(/north-1 +North gate +never/);
  expect((await json("box ls -l site=south")).items.map(({ id }: { id: string }) => id)).toEqual(["south-1"]);
  expect((await run("box show gate")).out).toMatch(/^box {10}north-1 \(North gate\)\nstate/);
});

test("a selector, a state or a limit that is none is named by its field", async () => {
  expect(await run(["box", "ls", "-l", "site north"])).toMatchObject({
    exitCode: 64,
    err: expect.stringMatching(/^sluice: labels.*site north/),
  });
  expect(await run("box ls --limit many")).toMatchObject({
    exitCode: 64,
    err: expect.stringMatching(/^sluice: --limit: /),
  });
  expect(await run("box ls --state gone")).toMatchObject({
    exitCode: 64,
    err: expect.stringMatching(/--state .*pending/),
  });
});

test("a box is named by enough letters; too few list the candidates, and none says so", async () => {
  expect((await json("box show quar")).id).toBe("north-2");
  expect(await run("box show nor")).toMatchObject({
    exitCode: 64,
    err: 'sluice: "nor" may be any of 2: north-1 (North gate), north-2 (Quarry). Say more of the name\n',
  });
  expect(await run("box show west")).toMatchObject({
    exitCode: 66,
    err: 'sluice: no box is called "west"; sluice box ls shows all\n',
  });
});

test("labels are set and removed, and others stay", async () => {
  await run("box label south-1 role=lobby zone=a");
  expect((await run("box label south-1 zone- role=hall")).out).toBe("south-1 has role=hall site=south\n");
  expect((await run("box label south-1 nonsense")).err).toMatch(/^sluice: LABEL: given "nonsense"; allowed: KEY=VALUE/);
});

test("boxes are drained and put back, several at once", async () => {
  expect((await run("box drain north-1 north-2")).out).toBe("north-1 is draining\nnorth-2 is draining\n");
  expect((await json("box ls --draining")).items).toHaveLength(2);
  await run("box undrain north-1 north-2");
  expect((await json("box ls --draining")).items).toHaveLength(0);
});

test("a box that joins is approved, revoked and forgotten; what cannot be undone is asked for", async () => {
  await addBox("east-1", { name: "East", labels: {}, approve: false });
  expect((await json("box ls --state pending")).items).toMatchObject([{ id: "east-1" }]);
  expect((await run("box approve east")).out).toMatch(/^east-1 is approved/);
  expect(await run("box revoke east-1")).toMatchObject({ exitCode: 64, err: expect.stringContaining("say --yes") });
  const asked: string[] = [];
  const ask = (answer: string) => async (question: string) => {
    asked.push(question);
    return answer;
  };
  expect(await run("box revoke east-1", { terminal: { ask: ask("n") } })).toMatchObject({ exitCode: 130 });
  expect((await run("box revoke east-1", { terminal: { ask: ask("yes") } })).out).toMatch(/^east-1 is revoked/);
  expect(asked).toEqual(["Cut off east-1? [y/N] ", "Cut off east-1? [y/N] "]);
  expect((await run("box forget east-1 --yes")).out).toBe("east-1 is forgotten\n");
  expect((await run("box show east-1")).exitCode).toBe(66);
});

test("an enrolment token stands alone on standard output, and is listed without itself", async () => {
  const { out, err } = await run("box enrol-token create --label site=west --approve --expires 2h");
  expect(parseEnrolmentString(out)?.hub).toBe(hub.url);
  expect(err).toMatch(/^Good for one box and 2 h; the box then works at once\./);
  const list = await run("box enrol-token ls");
  expect(list.out).toMatch(/good for 2 h|good for 1 h 59 min/);
  expect(list.out).not.toContain(parseEnrolmentString(out)?.token ?? "?");
  const id = /\(id (\S+)\)/.exec(err)?.[1] ?? "";
  expect((await run(["box", "enrol-token", "rm", id])).out).toBe(`${id} is void\n`);
});

test("a stream is started, shown with its secrets masked, hibernated, woken, explained and stopped", async () => {
  const start = [
    "stream",
    "start",
    "north-1/cam-1",
    "-i",
    "rtsp://ann:canary-1@cam/1",
    "-o",
    "rtmp://host/live/canary-2",
  ];
  expect((await run(start)).out).toMatch(/^north-1\/cam-1 is expected to run \(revision 1\)\n/);
  expect(await run(start)).toMatchObject({ exitCode: 75, err: expect.stringContaining("--replace") });
  for (const line of [
    "stream ls",
    "stream show cam-1",
    "stream show cam-1 --json",
    "stream ls --json",
    "box show north-1",
  ]) {
    const { out } = await run(line);
    expect(out).toContain("rtmp://host/live/***");
    expect(out).not.toContain("canary");
  }
  expect((await run("stream hibernate cam-1")).out).toBe("north-1/cam-1 is hibernated (revision 2)\n");
  expect((await run("stream ls --state hibernated")).out).toMatch(/cam-1 +hibernated/);
  expect((await run("stream start north-1/cam-1")).out).toBe("north-1/cam-1 is awake (revision 3)\n");
  expect((await run("stream explain cam-1")).out.split("\n").slice(0, 3)).toEqual([
    "north-1/cam-1 is unknown",
    "  - It was put on north-1 by hand or from a file.",
    "  - north-1 has never been heard.",
  ]);
  expect((await run("stream stop north-1/cam")).out).toBe("north-1/cam-1 is stopped and forgotten (revision 4)\n");
  expect(await run("stream stop cam-1")).toMatchObject({ exitCode: 66 });
});

test("waiting for a box that is not there ends in time, and says how far it came", async () => {
  const start = ["stream", "start", "north-2/cam-w", "-i", "rtsp://cam/1", "-o", "rtmp://host/live/k", "--wait", "1s"];
  expect(await run(start)).toMatchObject({
    exitCode: 75,
    err: expect.stringMatching(
      /^sluice: after [12] s: north-2 has not taken over revision \d+ yet \(the change itself is made\)/,
    ),
  });
  await run("stream stop north-2/cam-w");
});

test("a stream that two boxes have is told apart by its box", async () => {
  for (const box of ["north-1", "south-1"]) {
    await run(["stream", "start", `${box}/twin`, "-i", "rtsp://cam/1", "-o", "rtmp://host/live/k"]);
  }
  expect(await run("stream show twin")).toMatchObject({
    exitCode: 64,
    err: expect.stringContaining("north-1/twin, south-1/twin"),
  });
  expect((await json("stream show south/tw")).box).toBe("south-1");
  await run("stream stop north-1/twin south-1/twin");
});

test("tokens are made, listed and revoked, and a revoked one opens nothing", async () => {
  const { out, err } = await run("token create nightly --role viewer --expires 1d");
  const token = out.trim();
  expect(err).toMatch(/^A token for nightly as viewer\./);
  expect((await run("token ls")).out).toMatch(/nightly +viewer +good for/);
  const env = { SLUICE_HUB_TOKEN: token };
  expect((await run("box ls", { env })).exitCode).toBe(0);
  expect(await run("token ls", { env })).toMatchObject({ exitCode: 77 });
  expect((await run("token revoke nightly --yes")).out).toMatch(/\(nightly\) is revoked\n$/);
  await expect.poll(async () => (await run("box ls", { env })).exitCode).toBe(77);
  expect((await json("audit --action token.revoke --limit 1")).items).toMatchObject([{ outcome: "done" }]);
});

test("logging in keeps a context for its owner only, and the token comes from a file or standard input", async () => {
  const tokenFile = join(home, "token");
  await writeFile(tokenFile, `${hub.adminToken}\n`);
  const env = { SLUICE_HUB: undefined, SLUICE_HUB_TOKEN: undefined };
  expect((await run("box ls", { env })).exitCode).toBe(78);
  const login = await run(["login", hub.url, "--token-file", tokenFile, "--name", "lab"], { env });
  expect(login.err).toBe("");
  expect(login.out).toMatch(/\(admin\)\. The context lab is the current one\.\n$/);
  const file = join(home, ".config/sluice/contexts.json");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(JSON.parse(await readFile(file, "utf8"))).toMatchObject({ current: "lab" });
  const readInput = async () => `${hub.adminToken}\n`;
  expect((await run(["login", hub.url, "--name", "other"], { env, terminal: { readInput } })).exitCode).toBe(0);
  expect((await run("context ls", { env })).out).toMatch(/ {2}lab +http:.*\n\* +other/);
  expect((await run("context use la", { env })).exitCode).toBe(0);
  expect((await run("box ls", { env })).exitCode).toBe(0);
  expect((await run("box ls --context othr", { env })).err).toContain("did you mean other?");
  expect((await run("context rm lab", { env })).exitCode).toBe(0);
  expect((await run("context ls", { env })).out).not.toContain(hub.adminToken);
});

test("a wrong token, no token and a hub that is not there are told apart", async () => {
  const env = { SLUICE_HUB: undefined, SLUICE_HUB_TOKEN: undefined };
  const login = (address: string, token: string) =>
    run(["login", address], { env, terminal: { readInput: async () => token } });
  expect(await login(hub.url, "nonsense-token")).toMatchObject({ exitCode: 77 });
  expect(await login(hub.url, "")).toMatchObject({
    exitCode: 64,
    err: expect.stringContaining("standard input: given nothing"),
  });
  expect(await login("http://127.0.0.1:9", "t")).toMatchObject({
    exitCode: 69,
    err: expect.stringContaining("nothing listens"),
  });
  expect(await login("ftp://x", "t")).toMatchObject({ exitCode: 64, err: expect.stringContaining("HUB: ") });
});

const FLEET = (key: string) => `
boxes:
  south-1:
    name: Hall
    labels: {site: south, role: hall}
    streams:
      - id: cam-a
        spec: {input: rtsp://cam/a, outputs: ["rtmp://host/live/${key}"]}
      - id: cam-b
        spec: {input: rtsp://cam/b, outputs: ["rtmp://host/live/b"]}
`;

test("a fleet file is shown as a difference, asked for, applied, and then settled", async () => {
  const file = join(home, "fleet.yaml");
  await writeFile(file, FLEET("canary-3"));
  await run(["stream", "start", "south-1/by-hand", "-i", "rtsp://cam/h", "-o", "rtmp://host/live/canary-4"]);
  const dry = await run(["apply", "-f", file, "--dry-run"]);
  expect(dry.err).toBe("");
  expect(dry.out).toMatch(/~ box\/south-1\n {4}name: "Lobby" → "Hall"\n/);
  expect(dry.out).toContain("+ stream/south-1/cam-a  rtsp://cam/a → rtmp://host/live/***\n");
  expect(dry.out).toMatch(/\n3 changes: 2 to add, 1 to change\n$/);
  expect(dry.out).not.toContain("canary");
  expect(await run(["apply", "-f", file])).toMatchObject({ exitCode: 64, err: expect.stringContaining("say --yes") });
  expect((await json("stream ls --box south-1")).items).toHaveLength(1);
  expect((await run(["apply", "-f", file, "--yes"])).out).toMatch(/\n3 changes made\.\n$/);
  expect((await run(["apply", "-f", file, "--dry-run"])).out).toBe("Nothing to change.\n");
  await writeFile(file, FLEET("canary-5").replace("cam/b,", "cam/B,"));
  const changed = await run(["apply", "-f", "-", "--prune", "--dry-run"], {
    terminal: { readInput: () => readFile(file, "utf8") },
  });
  expect(changed.out).toBe(
    `~ stream/south-1/cam-a  a secret that is not shown
~ stream/south-1/cam-b
    spec.input.url: "rtsp://cam/b" → "rtsp://cam/B"
- stream/south-1/by-hand  rtsp://cam/h → rtmp://host/live/***
3 changes: 2 to change, 1 to remove
`,
  );
  expect((await run(["apply", "-f", file, "--prune", "--yes"])).exitCode).toBe(0);
  expect((await json("stream ls --box south-1")).items).toHaveLength(2);
});

test("what someone else changed after the look is not overwritten", async () => {
  const file = join(home, "fleet.yaml");
  await writeFile(file, FLEET("other").replace("Hall", "Foyer"));
  const ask = async () => {
    await run(["stream", "start", "south-1/meanwhile", "-i", "rtsp://cam/m", "-o", "rtmp://host/live/m"]);
    return "y";
  };
  expect(await run(["apply", "-f", file], { terminal: { ask } })).toMatchObject({
    exitCode: 75,
    err: expect.stringMatching(
      /^sluice: the streams of south-1: it was changed meanwhile \(it is at revision \d+ now\); 1 of 2 steps were made before it; run it again/,
    ),
  });
});

test("a file that is wrong, or names a box that is not there, changes nothing", async () => {
  const file = join(home, "fleet.yaml");
  await writeFile(file, "boxes:\n  nowhere: {draining: true}\n  south-1: {draining: true}\n");
  expect(await run(["apply", "-f", file, "--yes"])).toMatchObject({
    exitCode: 66,
    err: "sluice: there is no box nowhere: boxes join by enrolment, not by a file\n",
  });
  expect((await json("box show south-1")).draining).toBe(false);
  await writeFile(file, "boxes:\n  south-1: {drain: true}\n");
  expect(await run(["apply", "-f", file])).toMatchObject({
    exitCode: 78,
    err: expect.stringContaining(`${file}:2: boxes.south-1.drain`),
  });
  expect(await run(["apply", "-f", join(home, "none.yaml")])).toMatchObject({ exitCode: 64 });
});

test("a rollout is applied from a file, shown with the boxes it reaches, and removed", async () => {
  const file = join(home, "lobby.yaml");
  await writeFile(
    file,
    `selector: site=north
template: {kind: stream, id: lobby, spec: {input: "rtsp://cam/{{box.id}}", outputs: ["rtmp://host/live/{{box.id}}"]}}
`,
  );
  expect((await run(["rollout", "apply", "lobby", "-f", file])).out).toMatch(/^lobby is made \(revision 1\)\. How far/);
  await expect.poll(async () => (await json("rollout show lobby")).boxes.placed).toBe(2);
  expect((await run("rollout ls")).out).toMatch(/lobby +2\/2 +yes +site=north +lobby/);
  expect((await json("stream show north-2/lobby")).owner).toBe("rollout/lobby");
  expect(await run("stream stop north-2/lobby")).toMatchObject({
    exitCode: 75,
    err: expect.stringContaining("rollout"),
  });
  expect(await run(["rollout", "apply", "x y", "-f", file])).toMatchObject({ exitCode: 64 });
  await writeFile(file, "selector: 'a b'\ntemplate: {kind: stream, id: x, spec: {}}\n");
  expect(await run(["rollout", "apply", "lobby", "-f", file])).toMatchObject({
    exitCode: 78,
    err: expect.stringContaining(`${file}:1: selector: `),
  });
  expect((await run("rollout rm lobby --yes")).out).toBe("lobby is removed\n");
  await expect.poll(async () => (await json("stream ls --text lobby")).items).toEqual([]);
});

test("rollouts and rules of alerts settle too: the hub compares their secrets, and nobody sees them", async () => {
  const file = join(home, "fleet.yaml");
  const fleet = (key: string, more = "") => `
rollouts:
  halls:
    selector: site=nowhere
    template: {kind: stream, id: hall, spec: {input: "rtsp://cam/1", outputs: ["rtmp://host/live/${key}"]}}
alertRules:
  offline: {condition: box-offline, forSeconds: 30, webhook: {url: "https://alerts.example/hook/${key}", secret: "sixteen-${key}-long"}${more}}
`;
  await writeFile(file, fleet("canary-6"));
  const added = await run(["apply", "-f", file, "--yes"]);
  expect(added.err).toBe("");
  expect(added.out).toMatch(/\+ rollout\/halls .*rtmp:\/\/host\/live\/\*\*\*/);
  expect(added.out).toMatch(/\+ alert-rule\/offline .*alerts\.example\/hook\/\*\*\*/);
  expect(added.out).not.toContain("canary");
  expect((await run(["apply", "-f", file, "--dry-run"])).out).toBe("Nothing to change.\n");
  expect((await run("alert rule ls")).out).toMatch(/offline +box-offline +every box +30 s +yes +yes/);
  await writeFile(file, fleet("canary-7", ", threshold: 80"));
  expect((await run(["apply", "-f", file, "--dry-run"])).out).toBe(
    "~ rollout/halls  a secret that is not shown\n~ alert-rule/offline\n    threshold: 90 → 80\n2 changes: 2 to change\n",
  );
  await writeFile(file, "rollouts: {}\nalertRules: {}\n");
  expect((await run(["apply", "-f", file])).out).toBe("Nothing to change.\n");
  expect((await json(["apply", "-f", file, "--prune", "--yes"])).changes).toMatchObject([
    { subject: "rollout/halls", change: "remove" },
    { subject: "alert-rule/offline", change: "remove" },
  ]);
  expect((await run("alert rule ls")).out).toBe("no rule\n");
  expect((await run("alert ls")).out).toBe("no alert\n");
});
