import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hubRoutes, sha256, startTestHub, streamBody, type TestHub } from "../hub-world.fake.ts";

let hub: TestHub;
beforeAll(async () => {
  hub = await startTestHub();
});
afterAll(() => hub.close());

let boxes = 0;
async function newBox(labels: Record<string, string> = {}): Promise<string> {
  const id = `box-${++boxes}`;
  await hub.enrol(id, { labels });
  return id;
}

const put = (
  box: string,
  id: string,
  given: { spec?: Record<string, unknown>; headers?: Record<string, string> } = {},
) =>
  hub.ask("PUT", `/v1/boxes/${box}/workloads/${id}`, {
    body: { workload: streamBody(id, given.spec) },
    ...(given.headers === undefined ? {} : { headers: given.headers }),
  });

describe("what a box should run", () => {
  test("is put, shown, hibernated, woken and removed, each time by one revision", async () => {
    const box = await newBox();
    const steps = [
      await put(box, "cam-1"),
      await put(box, "cam-1"),
      await hub.ask("POST", `/v1/boxes/${box}/workloads/cam-1/hibernate`),
      await put(box, "cam-1", { spec: { video: "copy" } }),
      await hub.ask("POST", `/v1/boxes/${box}/workloads/cam-1/wake`),
      await hub.ask("DELETE", `/v1/boxes/${box}/workloads/cam-1`),
      await hub.ask("DELETE", `/v1/boxes/${box}/workloads/cam-1`),
    ];
    expect(steps.map(({ status, body }) => [status, body.revision, body.changed])).toEqual([
      [200, 1, true],
      [200, 1, false],
      [200, 2, true],
      [200, 3, true],
      [200, 4, true],
      [200, 5, true],
      [200, 5, false],
    ]);
    expect(steps[0]?.headers.get("etag")).toBe('"1"');
  });

  test("keeps a hibernated workload hibernated when its form changes", async () => {
    const box = await newBox();
    await put(box, "cam-1");
    await hub.ask("POST", `/v1/boxes/${box}/workloads/cam-1/hibernate`);
    await put(box, "cam-1", { spec: { audio: "none" } });
    expect((await hub.ask("GET", `/v1/boxes/${box}/workloads/cam-1`)).body.desired).toBe("hibernated");
  });

  test("a lost update is a 409 that tells the revision of now", async () => {
    const box = await newBox();
    await put(box, "cam-1");
    const first = await put(box, "cam-1", { spec: { video: "copy" }, headers: { "if-match": '"1"' } });
    const late = await put(box, "cam-1", { spec: { video: "none" }, headers: { "if-match": '"1"' } });
    expect([first.status, late.status]).toEqual([200, 409]);
    expect(late.body.error).toMatchObject({ code: "conflict", currentRevision: 2 });
    const set = { workloads: [] };
    const whole = await hub.ask("PUT", `/v1/boxes/${box}/workloads`, { body: set, headers: { "if-match": '"1"' } });
    expect(whole.body.error).toMatchObject({ code: "conflict", currentRevision: 2 });
    expect((await hub.ask("GET", `/v1/boxes/${box}/workloads`)).body.items).toHaveLength(1);
  });

  test("many who change it at once without a condition are all carried out", async () => {
    const box = await newBox();
    const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => put(box, `cam-${index}`)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    const { body } = await hub.ask("GET", `/v1/boxes/${box}/workloads`);
    expect([body.revision, body.items.length]).toEqual([12, 12]);
  });

  test("is replaced as a whole, after showing what that would do", async () => {
    const box = await newBox();
    for (const id of ["a", "b"]) await put(box, id);
    const body = { workloads: [{ workload: streamBody("b") }, { workload: streamBody("c") }] };
    const headers = { "if-match": '"2"' };
    const dry = await hub.ask("PUT", `/v1/boxes/${box}/workloads?dryRun=true`, { body, headers });
    expect(dry.body).toEqual({ revision: 2, put: ["c"], remove: ["a"] });
    const done = await hub.ask("PUT", `/v1/boxes/${box}/workloads`, { body, headers });
    expect(done.body).toMatchObject({ revision: 3, changed: true });
    const { items } = (await hub.ask("GET", `/v1/boxes/${box}/workloads`)).body;
    expect(items.map((item: { workload: { id: string } }) => item.workload.id)).toEqual(["b", "c"]);
  });

  test("what was shown masked can be sent back, and then means what it hides", async () => {
    const box = await newBox();
    await put(box, "cam-1", { spec: { outputs: [{ url: "rtmp://ingest/live/secret-key-1" }] } });
    const { workload } = (await hub.ask("GET", `/v1/boxes/${box}/workloads/cam-1`)).body;
    expect(workload.spec.outputs[0].url).toBe("rtmp://ingest/live/***");
    const same = await hub.ask("PUT", `/v1/boxes/${box}/workloads/cam-1`, { body: { workload } });
    expect(same.body.changed).toBe(false);
    workload.spec.outputs[0].url = "rtmp://elsewhere/live/***";
    const other = await hub.ask("PUT", `/v1/boxes/${box}/workloads/cam-1`, { body: { workload } });
    expect([other.status, other.body.error.field]).toEqual([400, "workload.spec.outputs[0]"]);
  });
});

describe("a repeated request", () => {
  test("with one Idempotency-Key is carried out once and answered twice; with another body it is a conflict", async () => {
    const box = await newBox();
    const headers = { "idempotency-key": "one" };
    const first = await put(box, "cam-1", { headers });
    await put(box, "cam-1", { spec: { video: "none" } });
    const again = await put(box, "cam-1", { headers });
    expect(again.body).toEqual(first.body);
    expect((await hub.ask("GET", `/v1/boxes/${box}/workloads`)).body.revision).toBe(2);
    const other = await put(box, "cam-1", { spec: { audio: "none" }, headers });
    expect([other.status, other.body.error.field]).toEqual([409, "requestId"]);
  });

  test("for a token or an enrolment makes one, and shows its secret once", async () => {
    for (const [path, body] of [
      ["/v1/tokens", { name: "ci", role: "viewer" }],
      ["/v1/enrolments", {}],
    ] as const) {
      const headers = { "idempotency-key": "twice" };
      const first = await hub.ask("POST", path, { body, headers });
      const again = await hub.ask("POST", path, { body, headers });
      expect([first.status, again.status, again.body.id]).toEqual([201, 201, first.body.id]);
      expect([typeof first.body.token, typeof again.body.token]).toEqual(["string", "undefined"]);
    }
  });
});

describe("a box", () => {
  test("is changed under its revision, listed by labels, state and text, page by page", async () => {
    const ids = await Promise.all(["north", "north", "south"].map((site) => newBox({ site })));
    const patched = await hub.ask("PATCH", `/v1/boxes/${ids[0]}`, {
      body: { name: "Gate Nine", draining: true },
      headers: { "if-match": '"1"' },
    });
    expect(patched.body).toMatchObject({ revision: 2, name: "Gate Nine", draining: true, connection: "never" });
    const late = await hub.ask("PATCH", `/v1/boxes/${ids[0]}`, { body: { name: "x" }, headers: { "if-match": '"1"' } });
    expect(late.body.error).toMatchObject({ code: "conflict", currentRevision: 2 });

    const idsOf = async (query: string) => {
      const { body } = await hub.ask("GET", `/v1/boxes?${query}`);
      return body.items.map(({ id }: { id: string }) => id);
    };
    expect(await idsOf("labels=site%3Dnorth")).toEqual(ids.slice(0, 2));
    expect(await idsOf("labels=site%20in%20(south,west)")).toEqual(ids.slice(2));
    expect(await idsOf("text=gate%20nine")).toEqual([ids[0]]);
    expect(await idsOf("draining=true")).toEqual([ids[0]]);
    expect(await idsOf("connection=online")).toEqual([]);

    const pages: string[] = [];
    for (let after = ""; ; ) {
      const { body } = await hub.ask("GET", `/v1/boxes?limit=2&labels=site${after === "" ? "" : `&after=${after}`}`);
      pages.push(...body.items.map(({ id }: { id: string }) => id));
      if (body.next === undefined) break;
      after = body.next;
    }
    expect(pages).toEqual([...ids].sort());
  });

  test("enrols once with a token, again with the same key, and never with another's", async () => {
    const made = await hub.ask("POST", "/v1/enrolments", { body: { labels: { site: "east" } } });
    const { hub: url, token } = JSON.parse(Buffer.from(made.body.token.slice(8), "base64url").toString());
    expect(url).toBe(hub.origin);
    const body = { token, boxId: "east-1", keyHash: sha256("its key"), name: "East" };
    const first = await hub.ask("POST", "/v1/enrol", { token: null, body });
    const again = await hub.ask("POST", "/v1/enrol", { token: null, body });
    expect([first.status, again.status]).toEqual([200, 200]);
    expect(first.body).toMatchObject({ id: "east-1", name: "East", labels: { site: "east" }, state: "approved" });
    const thief = await hub.ask("POST", "/v1/enrol", { token: null, body: { ...body, boxId: "thief" } });
    expect(thief.status).toBe(401);
    const { body: audit } = await hub.ask("GET", "/v1/audit?action=box.enrol&limit=1");
    expect(audit.items[0]).toMatchObject({ subject: "box/thief", outcome: "refused" });
  });

  test("that waits for approval may do nothing but be heard, until a person approves it; revoked, nothing at all", async () => {
    const key = await hub.enrol("slow-1", { approve: false });
    const change = () => hub.ask("PUT", "/v1/boxes/slow-1/key", { token: key, body: { keyHash: sha256("next") } });
    expect((await change()).body.error.message).toContain("waits for approval");
    await hub.ask("POST", "/v1/boxes/slow-1/approve");
    expect((await change()).status).toBe(200);
    await hub.ask("POST", "/v1/boxes/slow-1/revoke");
    const revoked = await change();
    expect([revoked.status, revoked.body.error.message]).toEqual([401, "box slow-1 was revoked"]);
  });

  test("that is known is given another key by an admin's token only", async () => {
    const box = await newBox();
    const body = { box };
    expect((await hub.ask("POST", "/v1/enrolments", { token: hub.tokens.operator, body })).status).toBe(403);
    expect((await hub.ask("POST", "/v1/enrolments", { body })).status).toBe(201);
    expect(
      (await hub.ask("POST", "/v1/enrolments", { token: hub.tokens.operator, body: { box: "new-1" } })).status,
    ).toBe(201);
  });
});

test("every change is in the audit log, with who, what, and from where", async () => {
  const box = await newBox();
  await hub.ask("PUT", `/v1/boxes/${box}/workloads/cam-1`, {
    token: hub.tokens.operator,
    body: { workload: streamBody("cam-1") },
  });
  const { body } = await hub.ask("GET", `/v1/audit?subject=box/${box}`);
  const seen = body.items.map(({ action, outcome, address }: Record<string, string>) => [action, outcome, address]);
  expect(seen).toEqual([
    ["workload.put", "done", "127.0.0.1"],
    ["box.enrol", "done", "127.0.0.1"],
  ]);
});

test("who watches the fleet is told who changed what should run", async () => {
  const box = await newBox();
  await hub.ask("PUT", `/v1/boxes/${box}/workloads/cam-1`, {
    token: hub.tokens.operator,
    body: { workload: streamBody("cam-1") },
  });
  const { body } = await hub.ask("GET", "/v1/events?recent=true&limit=1", { headers: { accept: "application/json" } });
  expect(body.items).toMatchObject([{ kind: "expected.changed", box, workload: "cam-1", data: { by: "operator" } }]);
});

test("the whole fleet's workloads are listed page by page, and counted", async () => {
  await using own = await startTestHub();
  for (const id of ["a", "b", "c"]) {
    await own.enrol(id, { labels: { site: id === "c" ? "south" : "north" } });
    for (const workload of ["x", "y"]) {
      await own.ask("PUT", `/v1/boxes/${id}/workloads/${workload}`, { body: { workload: streamBody(workload) } });
    }
  }
  const seen: string[] = [];
  for (let after = ""; ; ) {
    const query = `limit=3&labels=site%3Dnorth${after === "" ? "" : `&after=${after}`}`;
    const { body } = await own.ask("GET", `/v1/workloads?${query}`);
    seen.push(
      ...body.items.map((item: { box: string; workload: { id: string } }) => `${item.box}/${item.workload.id}`),
    );
    if (body.next === undefined) break;
    after = body.next;
  }
  expect(seen).toEqual(["a/x", "a/y", "b/x", "b/y"]);
  const { body } = await own.ask("GET", "/v1/overview");
  expect(body.boxes).toMatchObject({ total: 3, never: 3 });
  expect(body.workloads.expected).toBe(6);
});

test("no secret that the hub was given shows in any answer to a GET", async () => {
  const secret = fc.stringMatching(/^[A-Za-z0-9]{12,24}$/);
  await fc.assert(
    fc.asyncProperty(
      fc.record({ password: secret, streamKey: secret, query: secret, header: secret }),
      async (seeds) => {
        await using own = await startTestHub();
        const key = await own.enrol("b-1", { labels: { site: "x" } });
        const spec = {
          input: { url: `rtsp://u:${seeds.password}@cam/1` },
          outputs: [{ url: `rtmp://ingest/live/${seeds.streamKey}` }, { url: `srt://h:1?passphrase=${seeds.query}` }],
          rawArguments: { input: ["-headers", `Authorization: Bearer ${seeds.header}`] },
        };
        await own.ask("PUT", "/v1/boxes/b-1/workloads/cam-1", { body: { workload: streamBody("cam-1", spec) } });
        const template = { kind: "stream", id: "cam-2", spec };
        await own.ask("PUT", "/v1/rollouts/r-1", { body: { selector: "site=x", template } });
        await own.ask("POST", "/v1/enrolments", { body: {} });
        const hidden = [
          ...Object.values(seeds),
          ...Object.values(own.tokens),
          key,
          sha256(key),
          sha256(own.tokens.admin),
        ];
        for (const { method, path, stream } of hubRoutes()) {
          if (method !== "GET" || (stream !== undefined && path !== "/v1/events")) continue;
          const target = path.replace("{box}", "b-1").replace("{id}", path.includes("rollouts") ? "r-1" : "cam-1");
          const { text } = await own.ask("GET", target, { headers: { accept: "application/json" } });
          const shown = hidden.filter((value) => text.includes(value));
          expect({ path, shown }).toEqual({ path, shown: [] });
        }
      },
    ),
    { numRuns: 5 },
  );
});
