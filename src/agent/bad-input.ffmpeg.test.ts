import { expect, test } from "vitest";
import { type AgentWorld, createAgentWorld } from "../../test-server/agent-world.ts";
import { runSluice } from "../../test-server/sluice-command.ts";
import type { Workload } from "../contract/workload.ts";

function stream(world: AgentWorld, id: string, over: Partial<Workload["spec"]> = {}): Workload {
  const input = { url: "test://bars?size=160x90&fps=5" };
  return {
    kind: "stream",
    id,
    spec: { input, outputs: [{ url: `${world.server.rtmp?.url}/${id}` }], audio: "none", ...over },
  };
}

const CONFIGURATIONS: readonly { args: readonly string[]; says: RegExp }[] = [
  { args: ["--link-endpoint", "ftp://h/events"], says: /link\.endpoint.*was given.*allowed: .*http/ },
  { args: ["--streams-stall-seconds", "soon"], says: /streams\.stallSeconds.*was given "?soon"?; allowed: .*seconds/ },
  { args: ["--bxo-id", "x"], says: /--bxo-id.*is not a flag; did you mean --box-id\?/ },
];

const EVENTS: readonly { title: string; send: (world: AgentWorld) => unknown; counts: string; says: RegExp }[] = [
  {
    title: "not JSON",
    send: ({ server }) => server.sendRaw("data: {nonsense\n\n"),
    counts: "not-json",
    says: /Event skipped \(not-json\): data: given 9 bytes that are not JSON; allowed: one JSON object/g,
  },
  {
    title: "of a wrong type",
    send: ({ server }) => server.sendRaw('data: {"eventType":"start","input":42,"output":"rtmp://h/l/k"}\n\n'),
    counts: "invalid",
    says: /Event skipped \(invalid\): input: given a number; allowed: a text or an object/g,
  },
  {
    title: "of 10 MB",
    send: ({ server }) => server.fault("huge", { megabytes: 10 }),
    counts: "too-large",
    says: /Event skipped \(too-large\): event: given \d{7,8} bytes; allowed: at most 1048576/g,
  },
  {
    title: "nested too deep",
    send: ({ server }) => server.fault("deep", { depth: 20_000 }),
    counts: "too-deep",
    says: /Event skipped \(too-deep\): data: given more than 32 levels; allowed: at most that many/g,
  },
];

const WORKLOADS: readonly { id: string; over: Partial<Workload["spec"]>; says: string }[] = [
  {
    id: "dash",
    over: { input: { url: "-i/etc/passwd" } },
    says: "Refused dash (policy.inputs): input.url must not begin with a dash",
  },
  {
    id: "scheme",
    over: { input: { url: "gopher://127.0.0.1/x" } },
    says: "Refused scheme (policy.inputs): input.url: the scheme gopher is not allowed; allowed: rtsp, rtsps",
  },
  {
    id: "path",
    over: { input: { url: "file:///etc/passwd" } },
    says: "Refused path (policy.fileRoots): input.url: the file is outside the allowed directories: /srv/recordings",
  },
  {
    id: "traversal",
    over: { outputs: [{ url: "/srv/recordings/../../etc/cron.d/x.mkv" }] },
    says: "Refused traversal (policy.outputs): outputs[0].url a file path must not contain ..",
  },
  {
    id: "raw",
    over: { rawArguments: { output: ["-f", "null"] } },
    says: "Refused raw (policy.rawArguments): rawArguments: this box does not allow raw FFmpeg arguments",
  },
];

test("each bad input is told once, counted and stops nothing else", async () => {
  await using world = await createAgentWorld({ agentArguments: ["--policy-file-roots", "/srv/recordings"] });
  const agent = await world.startAgent();
  world.server.putStreams(stream(world, "healthy"));
  const { pid } = await world.untilRunning("healthy");
  const times = (pattern: RegExp) => agent.output().match(pattern)?.length ?? 0;

  for (const { args, says } of CONFIGURATIONS) {
    const { code, text } = await runSluice(world, ["agent", ...args]);
    expect(code, args.join(" ")).toBe(78);
    expect(text).toMatch(/^sluice: the configuration has a problem; nothing was started:\n/);
    expect(text.trimEnd().split("\n")).toHaveLength(2);
    expect(text).toMatch(says);
  }

  for (const { title, send, counts, says } of EVENTS) {
    send(world);
    await world.until(async () => (await world.status()).badInputs[`event:${counts}`] === 1, `an event ${title}`);
    expect(times(says), `${title}\n${agent.output()}`).toBe(1);
  }
  const bad = { kind: "stream", id: "rejected", spec: { input: 7, outputs: [] } };
  const { revision } = world.server.set.snapshot();
  world.server.sendRaw(`event: change\ndata: ${JSON.stringify({ revision: revision + 1, put: [bad] })}\n\n`);
  await world.until(async () => (await world.status()).badInputs["workload"] === 1, "a workload is rejected");
  expect(times(/Rejected rejected: put\[0\]\.spec\.input: given a number; allowed: a text or an object/g)).toBe(1);

  const encoder: Workload = stream(world, "encoder", { video: { encoder: "libnothing" } });
  world.server.set.replace(
    [stream(world, "healthy"), ...WORKLOADS.map(({ id, over }) => stream(world, id, over)), encoder],
    true,
  );
  await world.until(async () => {
    const { workloads } = await world.status();
    const refused = workloads.filter(({ state }) => state === "refused").map(({ id }) => id);
    return WORKLOADS.every(({ id }) => refused.includes(id));
  }, "every one of them is refused");
  const waiting = await world.until(async () => {
    const found = await world.workload("encoder");
    return (found?.nextStartInSeconds ?? 0) > 20 ? found : undefined;
  }, "the stream without an encoder waits long");
  expect(waiting.cause).toMatch(/could not start: video\.encoder: ffmpeg .* has no encoder libnothing/);
  // Refusals are judged again in each lap, and told only once.
  await runSluice(world, ["reconcile"]);
  for (const { id, says } of WORKLOADS) expect(agent.output().split(says), id).toHaveLength(2);

  const { text } = await runSluice(world, ["status"]);
  expect(text).toMatch(/bad input +.*not-json 1.*; last: too-deep/);
  for (const kind of ["invalid 1", "too-large 1", "too-deep 1", "workload 1"]) expect(text).toContain(kind);
  for (const { id } of WORKLOADS) expect(text).toMatch(new RegExp(`^${id} +refused`, "m"));
  expect(await world.workload("healthy")).toMatchObject({ pid, generation: 1, restarts: 0 });
  expect(world.workloadPids()).toEqual([pid]);
  expect((await world.status()).link.connects).toBe(1);
});
