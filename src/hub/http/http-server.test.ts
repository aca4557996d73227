import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestHub, streamBody, type TestHub } from "../hub-world.fake.ts";

let hub: TestHub;
let key: string;
beforeAll(async () => {
  hub = await startTestHub();
  key = await hub.enrol("north-1");
  await hub.enrol("south-1");
});
afterAll(() => hub.close());

describe("a request that plays tricks with its path", () => {
  test.each([
    ["/v1/boxes/south-1/../north-1/report"],
    ["/v1/boxes/south-1%2F..%2Fnorth-1/report"],
    ["/v1/boxes/north-1%00/report"],
    ["/v1/boxes/north-1/report/"],
    ["//v1/boxes/north-1/report"],
    ["/V1/boxes/north-1/report"],
    ["/v1/boxes/./north-1/report"],
    ["/v1/boxes/%2e%2e/report"],
    ["/v1/boxes/north-1;x=south-1/report"],
    ["/v1/boxes/%6eorth-1%/report"],
    [`/v1/boxes/${"n".repeat(300)}/report`],
  ])("POST %s reaches no box", async (path) => {
    const { status } = await raw(["POST ", path, " HTTP/1.1"].join(""), [`Authorization: Bearer ${key}`], "{}");
    expect([400, 403, 404]).toContain(status);
  });

  test("an escaped name is the name, and acts for that box only", async () => {
    const other = await hub.ask("PUT", "/v1/boxes/s%6futh-1/key", { token: key, body: { keyHash: "0".repeat(64) } });
    expect(other.status).toBe(403);
    expect(other.body.error.message).toBe("box north-1 may act for itself only");
  });

  test.each([["/..%2f..%2fpackage.json"], ["/%2e%2e/package.json"], ["/../package.json"], ["/.git/config"]])(
    "GET %s serves no file",
    async (path) => {
      const { status } = await raw(`GET ${path} HTTP/1.1`, []);
      expect([400, 403, 404]).toContain(status);
    },
  );
});

describe("a request that plays tricks with its headers", () => {
  test.each<[string, string[]]>([
    ["two tokens", ["Authorization: Bearer nonsense", "Authorization: Bearer TOKEN"]],
    ["two schemes", ["Authorization: Basic eDp5, Bearer TOKEN"]],
    ["another scheme", ["Authorization: Basic TOKEN"]],
    ["a token with spaces", ["Authorization: Bearer TOKEN x"]],
    ["an endless token", [`Authorization: Bearer ${"a".repeat(2000)}`]],
  ])("%s: 400", async (_, headers) => {
    const withToken = headers.map((line) => line.replace("TOKEN", hub.tokens.admin));
    const { status, body } = await raw("GET /v1/tokens HTTP/1.1", withToken);
    expect(status).toBe(400);
    expect(body).toContain('"field":"Authorization"');
  });

  test("no header makes another method, another path or another address of it", async () => {
    const headers = {
      "x-http-method-override": "DELETE",
      "x-original-url": "/v1/tokens",
      "x-rewrite-url": "/v1/tokens",
      "x-forwarded-for": "6.6.6.6",
    };
    const body = { name: "x", role: "viewer" };
    const refused = await hub.ask("POST", "/v1/tokens", { token: hub.tokens.viewer, headers, body });
    expect(refused.status).toBe(403);
    await hub.ask("PATCH", "/v1/boxes/north-1", { headers, body: { name: "North" } });
    const { body: audit } = await hub.ask("GET", "/v1/audit?action=box.patch");
    expect(audit.items[0].address).toBe("127.0.0.1");
  });

  test("a body whose length is told in two ways gets no answer of the API", async () => {
    const lines = [`Authorization: Bearer ${key}`, "Transfer-Encoding: chunked"];
    const { status } = await raw("POST /v1/boxes/north-1/report HTTP/1.1", lines, "0\r\n\r\n");
    expect([0, 400]).toContain(status);
  });

  test("other origins are told nothing that would let them in", async () => {
    const headers = { origin: "https://evil.example", "access-control-request-method": "GET" };
    for (const method of ["GET", "OPTIONS"]) {
      const answer = await hub.ask(method, "/v1/boxes", { headers });
      expect([...answer.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
      expect(answer.headers.get("cache-control")).toBe("no-store");
    }
  });
});

describe("a token in the address", () => {
  test.each(["token", "access_token", "api_key", "apikey", "key", "Authorization", "auth-token", "secret", "password"])(
    "?%s=… is refused, without repeating it",
    async (name) => {
      const { status, text } = await hub.ask("GET", `/v1/boxes?${name}=${hub.tokens.admin}`, { token: null });
      expect(status).toBe(400);
      expect(text).not.toContain(hub.tokens.admin);
    },
  );
});

describe("a body", () => {
  test.each([
    ["is larger than allowed, and says so", { "content-length": String(300_000) }, "x".repeat(300_000)],
    ["is larger than allowed, in pieces", { "transfer-encoding": "chunked" }, "x".repeat(300_000)],
  ])("that %s: 413, and the connection ends", async (_, headers, text) => {
    const { status, closes } = await post("/v1/rollouts/x", { headers, text });
    expect({ status, closes }).toEqual({ status: 413, closes: true });
  });

  test.each([
    ["no JSON", "{", "body: given 1 bytes that are not JSON; allowed: JSON"],
    [
      "too deep",
      `{"a":${"[".repeat(100)}${"]".repeat(100)}}`,
      "body: given more than 32 levels; allowed: at most that many",
    ],
    ["nothing", "", "body: given nothing; allowed: an object"],
    ["an unknown field", '{"selector":"","template":{},"x":1}', "x"],
  ])("that is %s: 400 with what is allowed", async (_, body, message) => {
    const { status, body: answer } = await hub.ask("PUT", "/v1/rollouts/x", { body });
    expect(status).toBe(400);
    expect(answer.error.code).toBe("invalid");
    expect(answer.error.message).toContain(message);
  });

  test("of another type is refused, not guessed", async () => {
    const { status, body } = await hub.ask("PUT", "/v1/rollouts/x", {
      body: "{}",
      headers: { "content-type": "text/plain" },
    });
    expect(status).toBe(400);
    expect(body.error.field).toBe("Content-Type");
    expect(body.error.message).toMatch(/^Content-Type: given (nothing|"[^"]+"); allowed: application\/json$/);
  });

  test("that names __proto__ changes no object but itself", async () => {
    const body = '{"labels":{"__proto__":"x","constructor":"y"},"__proto__":{"role":"admin"}}';
    expect((await hub.ask("PATCH", "/v1/boxes/north-1", { body })).status).toBe(400);
    expect(Object.hasOwn(Object.prototype, "role")).toBe(false);
  });
});

describe("what a caller gets wrong", () => {
  test("an unknown parameter is named with those that there are", async () => {
    const { status, body } = await hub.ask("GET", "/v1/boxes?label=site=north");
    expect(status).toBe(400);
    expect(body.error.message).toContain("label: is no parameter of this; allowed: after, limit, labels");
  });

  test("a selector that is none says which forms there are", async () => {
    const { status, body } = await hub.ask("GET", `/v1/boxes?labels=${encodeURIComponent("a ==== b")}`);
    expect(status).toBe(400);
    expect(body.error.message).toContain("key in (a,b)");
  });

  test("If-Match where nothing has a revision is refused, and one that is none too", async () => {
    const stray = await hub.ask("POST", "/v1/tokens", {
      headers: { "if-match": '"1"' },
      body: { name: "x", role: "viewer" },
    });
    expect([stray.status, stray.body.error.field]).toEqual([400, "If-Match"]);
    const weak = await hub.ask("PATCH", "/v1/boxes/north-1", { headers: { "if-match": 'W/"1"' }, body: { name: "x" } });
    expect([weak.status, weak.body.error.field]).toEqual([400, "If-Match"]);
  });

  test("a whole set without If-Match is refused, because it would wipe out what was not read", async () => {
    const { status, body } = await hub.ask("PUT", "/v1/boxes/north-1/workloads", { body: { workloads: [] } });
    expect([status, body.error.field]).toEqual([400, "If-Match"]);
  });

  test("a path that is not there leads to the page that lists what is", async () => {
    const { status, body } = await hub.ask("GET", "/v1/nothing");
    expect(status).toBe(404);
    expect(body.error.message).toBe("there is no GET /v1/nothing; /docs lists what there is");
  });
});

test("the API page describes every route, and asks no other host for anything", async () => {
  const { body } = await hub.ask("GET", "/docs/json", { token: null });
  expect(body.openapi).toBe("3.1.0");
  expect(Object.keys(body.paths)).toContain("/v1/boxes/{box}/workloads/{id}");
  expect(body.paths["/v1/boxes/{box}"].patch.requestBody.content["application/json"].schema.properties).toHaveProperty(
    "labels",
  );
  const page = await hub.ask("GET", "/docs/", { token: null });
  expect(page.status).toBe(200);
  expect(page.text).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
});

test("however often a box's transfer worker asks, its box is heard; and it is heard when its box asks too often", async () => {
  const limits = { operatorPerSecond: 100, boxPerSecond: 1, workerPerSecond: 3, addressPerSecond: 100 };
  await using slow = await startTestHub({ limits });
  const token = await slow.enrol("box-1");
  const asWorker = () => slow.ask("GET", "/workers/plan/none?page=0", { token });
  // It is nothing for boxes, which is said to who is heard.
  const asBox = () => slow.ask("GET", "/v1/whoami", { token });
  const answers = await Promise.all(Array.from({ length: 40 }, asWorker));
  expect(answers.filter(({ status }) => status === 404).length).toBeGreaterThanOrEqual(24);
  expect(answers.filter(({ status }) => status === 429).length).toBeGreaterThan(0);
  expect((await asBox()).status).toBe(403);

  const own = await Promise.all(Array.from({ length: 20 }, asBox));
  expect(own.filter(({ status }) => status === 429).length).toBeGreaterThan(0);
  await expect.poll(async () => (await asWorker()).status, { interval: 200, timeout: 10_000 }).toBe(404);
});

test("whoever asks too often waits, by token and by address, and is told how long", async () => {
  const limits = { operatorPerSecond: 1, boxPerSecond: 1, workerPerSecond: 1, addressPerSecond: 2 };
  await using slow = await startTestHub({ limits });
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => slow.ask("GET", "/v1/whoami", { token: slow.tokens.viewer })),
  );
  const refused = answers.filter(({ status }) => status === 429);
  expect(refused.length).toBeGreaterThan(0);
  expect(answers.filter(({ status }) => status === 200).length).toBe(8);
  expect(Number(refused[0]?.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  expect(refused[0]?.body.error.code).toBe("rate-limited");
  expect((await slow.ask("GET", "/v1/whoami", { token: slow.tokens.operator })).status).toBe(200);

  const guesses = await Promise.all(
    Array.from({ length: 24 }, (_, index) => slow.ask("GET", "/v1/whoami", { token: `guess-${index}` })),
  );
  expect(guesses.filter(({ status }) => status === 401).length).toBeLessThanOrEqual(17);
  expect(guesses.filter(({ status }) => status === 429).length).toBeGreaterThan(0);
  // Guessing shuts out nobody who has a token.
  expect((await slow.ask("GET", "/v1/whoami", { token: slow.tokens.admin })).status).toBe(200);
});

test("a workload that a viewer may read shows no secret of its URLs", async () => {
  const workload = streamBody("cam-1", {
    input: { url: "rtsp://user:hunter2secret@cam/1" },
    outputs: [{ url: "rtmp://ingest/live/very-secret-key" }],
  });
  await hub.ask("PUT", "/v1/boxes/north-1/workloads/cam-1", { body: { workload } });
  const { text } = await hub.ask("GET", "/v1/boxes/north-1/workloads", { token: hub.tokens.viewer });
  expect(text).toContain("rtsp://user:***@cam/1");
  expect(text).not.toMatch(/hunter2secret|very-secret-key/);
});

async function raw(line: string, headers: readonly string[], body = ""): Promise<{ status: number; body: string }> {
  const socket = connect(Number(new URL(hub.origin).port), "127.0.0.1");
  const length = body === "" ? [] : [`Content-Length: ${body.length}`, "Content-Type: application/json"];
  socket.write([line, "Host: hub", "Connection: close", ...headers, ...length, "", body].join("\r\n"));
  let text = "";
  socket.setEncoding("utf8");
  for await (const piece of socket) text += piece;
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0), body: text };
}

function post(path: string, given: { readonly headers: Record<string, string>; readonly text: string }) {
  return new Promise<{ status: number; closes: boolean }>((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${hub.tokens.admin}`,
      "content-type": "application/json",
      ...given.headers,
    };
    const request = httpRequest(`${hub.origin}${path}`, { method: "PUT", headers }, (response) => {
      response.resume();
      response.on("close", () =>
        resolve({ status: response.statusCode ?? 0, closes: response.headers.connection === "close" }),
      );
    });
    request.on("error", reject);
    request.end(given.text);
  });
}
