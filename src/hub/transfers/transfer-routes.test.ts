import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestHub, type TestHub } from "../hub-world.fake.ts";
import { createFakeStorage, createFakeWorker, type FakeWorker, fileEntry, hashFor } from "./transfer-world.fake.ts";

let hub: TestHub;
beforeAll(async () => {
  hub = await startTestHub();
});
afterAll(async () => {
  await hub.close();
});

const heartbeat = (id: string, more: object = {}) => ({
  worker_id: id,
  status: "IDLE",
  storage_paths: [`/${id}/source`, `/${id}/dest`],
  data_plane_endpoints: ["192.168.100.10"],
  ...more,
});
const asOperator = () => ({ token: hub.tokens.operator });
const post = (path: string, body?: unknown) => hub.ask("POST", path, { ...asOperator(), body });
const get = (path: string, headers = {}) => hub.ask("GET", path, { token: hub.tokens.viewer, headers });

describe("a worker written by hand, with the requests of the old guide", () => {
  test("health, submit, list and delete do as they always did, and the work between them too", async () => {
    expect(await post("/workers/heartbeat", heartbeat("w1"))).toMatchObject({ status: 200, body: { status: "ok" } });
    const submitted = await post("/sync", {
      request_id: "demo-1",
      source_path: "/w1/source/project",
      destination_path: "/w1/dest/project",
      chunk_size_mb: 64,
    });
    expect(submitted).toMatchObject({ status: 202, body: { status: "queued", request_id: "demo-1" } });

    const { body: assignment } = await post("/workers/w1/assignment?wait=20");
    expect(assignment).toMatchObject({
      request_id: "demo-1",
      worker_id: "w1",
      source_path: "/w1/source/project",
      destination_path: "/w1/dest/project",
      chunk_offset: 0,
      chunk_size: 64 * 1024 * 1024,
      source_worker_pool: ["w1"],
      destination_worker_pool: ["w1"],
    });
    // The answer may have been lost: it is given the same again, and nobody else gets it.
    expect((await post("/workers/w1/assignment?wait=0")).body.lease_id).toBe(assignment.lease_id);
    expect((await get("/workers/w1/requests")).body).toMatchObject([{ request_id: "demo-1", state: "PROGRESS" }]);
    const listed = (await get("/sync")).body as readonly { readonly request_id: string }[];
    expect(listed.find(({ request_id }) => request_id === "demo-1")).toMatchObject({
      state: "PROGRESS",
      detail: { w1: "PROGRESS" },
    });

    const result = { request_id: "demo-1", worker_id: "w1", success: true, message: "chunk complete" };
    expect((await post("/workers/result", result)).body).toEqual({ status: "ack" });
    expect((await post("/workers/result", result)).body).toEqual({ status: "duplicate" });
    await expect.poll(async () => (await get("/sync/demo-1")).body.state, { timeout: 20_000 }).toBe("COMPLETED");
    expect((await post("/workers/w1/assignment?wait=0")).text).toBe("null");

    expect(await hub.ask("DELETE", "/sync/demo-1", asOperator())).toMatchObject({
      status: 200,
      body: { status: "deleted" },
    });
    expect((await get("/sync/demo-1")).status).toBe(404);
    expect((await post("/workers/result", result)).status).toBe(410);
    expect((await post("/workers/result", { ...result, request_id: "never" })).status).toBe(404);
  });

  test("the guide's comma too many is answered with its place", async () => {
    const body = '{\n  "request_id": "demo-1",\n  "source_path": "/a, }",\n  "chunk_size_mb": 64,\n}';
    const answer = await hub.ask("POST", "/sync", { ...asOperator(), body });
    expect(answer.status).toBe(400);
    expect(answer.body.error.message).toBe(
      "body: given a comma before } in line 4, column 22, where JSON has none; allowed: JSON",
    );
  });

  test("the guide's status that never was is refused with those that are", async () => {
    const answer = await post("/workers/heartbeat", heartbeat("w1", { status: "READY" }));
    expect(answer.status).toBe(400);
    expect(answer.body.error.message).toMatch(/status.*IDLE.*TRANSFERRING.*ERROR/);
  });

  test("what it could not do has FAILED, and is done when it is given to another", async () => {
    await post("/workers/heartbeat", heartbeat("w2", { storage_paths: ["/shared"] }));
    await post("/workers/heartbeat", heartbeat("w3", { storage_paths: ["/shared"] }));
    await post("/sync", { request_id: "again", source_path: "/shared/a", destination_path: "/shared/b" });
    const { body: first } = await post("/workers/w2/assignment?wait=20");
    expect(first.request_id).toBe("again");
    await post("/workers/result", { request_id: "again", worker_id: "w2", success: false, message: "disk is gone" });
    await expect.poll(async () => (await get("/sync/again")).body.state, { timeout: 20_000 }).toBe("FAILED");
    expect((await get("/sync/again")).body).toMatchObject({ detail: { w2: "disk is gone" } });

    const unknown = await post("/sync/again/reassign", { worker_id: "nobody" });
    expect(unknown.status).toBe(404);
    const given = await post("/sync/again/reassign", { worker_id: "w3" });
    expect(given.body).toEqual({ status: "requeued", request_id: "again", worker_id: "w3" });
    expect((await post("/workers/w2/assignment?wait=0")).body).toBeNull();
    expect((await post("/workers/w3/assignment?wait=20")).body).toMatchObject({ request_id: "again", worker_id: "w3" });
    await post("/workers/result", { request_id: "again", worker_id: "w3", success: true });
    await expect.poll(async () => (await get("/sync/again")).body.state, { timeout: 20_000 }).toBe("COMPLETED");
  });
});

describe("what is asked for", () => {
  test("is one request however often it is asked for, and another body is refused", async () => {
    const body = { request_id: "once", source_path: "/nowhere/a", destination_path: "/nowhere/b" };
    const other = { ...body, destination_path: "/nowhere/c" };
    // At once, and nobody knows which comes first.
    const asked = Array.from({ length: 50 }, (_, at) => (at % 2 === 0 ? body : other));
    const answers = await Promise.all(asked.map((each) => post("/sync", each)));
    const statusesOf = (each: object) => [
      ...new Set(answers.filter((_, at) => asked[at] === each).map(({ status }) => status)),
    ];
    const isFirst = statusesOf(body)[0] === 202;
    expect([statusesOf(body), statusesOf(other)]).toEqual(isFirst ? [[202], [409]] : [[409], [202]]);
    const [taken, refused] = isFirst ? [body, other] : [other, body];
    // What is left out and what is named as it would be are the same.
    expect((await post("/sync", { ...taken, chunk_size_mb: 64 })).status).toBe(202);
    expect((await post("/sync", refused)).status).toBe(409);
    const all = (await get("/sync")).body as { request_id: string; destination_path: string }[];
    expect(all.filter((one) => one.request_id === "once")).toMatchObject([
      { destination_path: taken.destination_path },
    ]);
  });

  test("waits with a reason while nobody can do it", async () => {
    const body = { request_id: "waits", source_path: "/nowhere/a", destination_path: "/nowhere/b" };
    await post("/sync", body);
    await expect
      .poll(async () => (await get("/sync/waits")).body, { timeout: 20_000 })
      .toMatchObject({ state: "QUEUED", reason: "no worker has a storage with the source /nowhere/a" });
  });

  test.each([
    [{ source_path: "data", destination_path: "/b" }, /source_path/],
    [{ source_path: "/a/../b", destination_path: "/b" }, /source_path/],
    [{ source_path: "/a", destination_path: "/b", chunk_size_mb: 0 }, /chunk_size_mb/],
    [{ source_path: "/a", destination_path: "/b", file_list: ["../x"] }, /file_list/],
    [{ source_path: "/a", destination_path: "/b", colour: 1 }, /colour/],
    [{ request_id: "../x", source_path: "/a", destination_path: "/b" }, /request_id/],
  ])("is refused where it is wrong: %j", async (body, message) => {
    const answer = await post("/sync", body);
    expect(answer.status).toBe(400);
    expect(answer.body.error.message).toMatch(message);
  });

  test("is listed in pages, by state, and answered with 304 while nothing has changed", async () => {
    for (const id of ["page-1", "page-2", "page-3"]) {
      await post("/sync", { request_id: id, source_path: "/nowhere/a", destination_path: "/nowhere/b" });
    }
    const first = await get("/sync?limit=2&after=page-0&state=QUEUED");
    expect(first.body.map((one: { request_id: string }) => one.request_id)).toEqual(["page-1", "page-2"]);
    expect(first.headers.get("link")).toBe('</sync?limit=2&after=page-2&state=QUEUED>; rel="next"');
    const rest = await get("/sync?limit=2&after=page-2&state=QUEUED");
    expect(rest.headers.get("link")).not.toBe(undefined);
    expect(rest.body[0].request_id).toBe("page-3");
    await expect
      .poll(async () => (await get("/sync/page-1")).body.reason, { timeout: 20_000 })
      .toMatch(/^no worker has a storage/);
    const etag = (await get("/sync/page-1")).headers.get("etag") ?? "";
    const same = await get("/sync/page-1", { "if-none-match": etag });
    expect([same.status, same.text]).toEqual([304, ""]);
    expect((await get("/sync/page-1", { "if-none-match": '"other"' })).status).toBe(200);
  });

  test("is on record: who asked for it and who cancelled it", async () => {
    await post("/sync", { request_id: "recorded", source_path: "/nowhere/a", destination_path: "/nowhere/b" });
    await hub.ask("DELETE", "/sync/recorded", asOperator());
    const { body } = await hub.ask("GET", "/v1/audit?subject=transfer/recorded");
    const actions = (body.items as { action: string; actor: string }[]).map(({ action, actor }) => [
      action,
      actor.split(":")[0],
    ]);
    expect(actions).toEqual([
      ["transfer.cancel", "operator"],
      ["transfer.submit", "operator"],
    ]);
  });
});

describe("workers that know the protocol", () => {
  const files = [fileEntry("", 0, { type: "directory" }), fileEntry("big", 5 * 1024 * 1024), fileEntry("small", 10)];
  const ask = async (method: string, path: string, body?: unknown) =>
    (await hub.ask(method, path, { ...asOperator(), body })).body;
  const workers = (name: string) => {
    const target = createFakeStorage();
    const source = createFakeWorker(`${name}-a`, {
      ask: () => ask,
      storages: [{ id: `${name}-storage-a`, path: `/${name}/a` }],
      source: files,
      target,
    });
    const destination = createFakeWorker(`${name}-b`, {
      ask: () => ask,
      storages: [{ id: `${name}-storage-b`, path: `/${name}/b` }],
      source: files,
      target,
    });
    return { target, source, destination };
  };
  const submit = (name: string, more = {}) =>
    post("/sync", {
      request_id: name,
      source_path: `/${name}/a/x`,
      destination_path: `/${name}/b/x`,
      chunk_size_mb: 2,
      ...more,
    });
  const next = async (worker: FakeWorker) => {
    await worker.heartbeat();
    const { body } = await post(`/workers/${worker.id}/assignment?wait=20`);
    worker.held.set(body.lease_id, body);
    return body;
  };
  const perform = async (worker: FakeWorker, assignment: Parameters<FakeWorker["carryOut"]>[0]) => {
    const result = await worker.carryOut(assignment);
    return result === undefined ? "fenced" : worker.tell(result);
  };

  test("list, copy, finish and close; the receipt holds the root hash", async () => {
    const { source, destination, target } = workers("whole");
    await source.heartbeat();
    await destination.heartbeat();
    expect((await submit("whole", { bandwidth_mbps: 80 })).status).toBe(202);
    const listing = await next(source);
    expect(listing.work).toMatchObject({
      kind: "list",
      source: { storage_id: "whole-storage-a", path: "x" },
      next_page: 0,
    });
    expect(await perform(source, listing)).toBe("duplicate");

    const kinds: string[] = [];
    for (let at = 0; at < 7; at++) {
      const work = await next(destination);
      kinds.push(work.work.kind);
      if (work.work.kind === "copy") {
        expect(work.work).toMatchObject({ dial: "destination", local: false, rate_bytes_s: 10_000_000 });
        expect(work.work.sources[0]).toMatchObject({ worker_id: "whole-a", storage_id: "whole-storage-a" });
      }
      expect(await perform(destination, work)).toBe("ack");
    }
    expect(kinds.toSorted()).toEqual(["close", "copy", "copy", "copy", "copy", "copy", "finish"]);
    expect(kinds.indexOf("finish")).toBeGreaterThan(kinds.indexOf("copy") + 2);
    expect(kinds.at(-1)).toBe("close");
    await expect.poll(async () => (await get("/sync/whole")).body.state, { timeout: 20_000 }).toBe("COMPLETED");
    const { body } = await get("/sync/whole");
    expect(body).toMatchObject({
      files_done: 2,
      files_total: 2,
      transferred_bytes: 5 * 1024 * 1024 + 10,
      failures_total: 0,
    });
    expect(body.root_hash).toMatch(/^[0-9a-f]{64}$/);
    const claims = JSON.parse(Buffer.from(body.receipt.split(".")[1], "base64url").toString());
    expect(claims).toMatchObject({ aud: "sluice-receipt", rid: "whole", root: body.root_hash, files: 2 });
    expect([...target.named].sort()).toEqual(["", "big", "small"]);
    expect(target.isClosed).toBe(true);
  });

  test("what its walk could not read fails it, and is looked for again by a retry; a pipe is told, and is no fault", async () => {
    const { source, destination } = workers("unread");
    await source.heartbeat();
    await destination.heartbeat();
    await submit("unread");
    const tell = async (skipped: readonly object[], entries: readonly object[] = []) => {
      const { lease_id, attempt, work } = await next(source);
      expect(work.kind).toBe("list");
      const page = { worker_id: source.id, request_id: "unread", lease_id, attempt, page: work.next_page };
      expect((await post("/workers/plan", { ...page, entries, skipped, is_last: true })).body.status).toBe("ack");
      source.held.delete(lease_id);
      return work;
    };
    const pipe = { path: "pipe", code: "unsupported", message: "a pipe, which cannot be copied" };
    const closed = { path: "closed", code: "denied", message: "not for this user" };
    const state = async () => (await get("/sync/unread")).body;
    await tell([pipe, closed], [fileEntry("", 0, { type: "directory" })]);
    expect(await perform(destination, await next(destination))).toBe("ack");
    await expect.poll(async () => (await state()).state, { timeout: 20_000 }).toBe("FAILED");
    expect(await state()).toMatchObject({
      reason: "1 thing could not be copied, the first: closed: denied: not for this user",
      failures: [closed, pipe],
      failures_total: 2,
    });
    expect((await post("/sync/unread/retry")).status).toBe(200);
    expect((await tell([])).file_list).toEqual(["closed"]);
    const close = await next(destination);
    expect(close.work.kind).toBe("close");
    expect(await perform(destination, close)).toBe("ack");
    await expect.poll(async () => (await state()).state, { timeout: 20_000 }).toBe("COMPLETED");
    expect(await state()).toMatchObject({ failures: [pipe], failures_total: 1 });
  });

  test("what has nothing but names of other files in a page of its own is done all the same", async () => {
    const target = createFakeStorage();
    const group = [
      fileEntry("a", 1),
      ...["b", "c"].map((path) => fileEntry(path, 0, { type: "hardlink", target: "a" })),
    ];
    const side = (id: string) => ({
      ask: () => ask,
      storages: [{ id: `names-storage-${id}`, path: `/names/${id}` }],
      source: group,
      target,
      pageEntries: 1,
    });
    const [source, destination] = [createFakeWorker("names-a", side("a")), createFakeWorker("names-b", side("b"))];
    await source.heartbeat();
    await destination.heartbeat();
    await submit("names");
    await perform(source, await next(source));
    const kinds: string[] = [];
    while (!kinds.includes("close")) {
      const work = await next(destination);
      kinds.push(work.work.kind);
      await perform(destination, work);
    }
    expect(kinds).toEqual(["copy", "close"]);
  });

  test("success without a hash is not believed", async () => {
    const { source, destination } = workers("lies");
    await source.heartbeat();
    await destination.heartbeat();
    await submit("lies");
    await perform(source, await next(source));
    // The directory is there; of the first range nothing is.
    expect(await perform(destination, await next(destination))).toBe("ack");
    const { lease_id, attempt } = await next(destination);
    const told = { request_id: "lies", worker_id: destination.id, lease_id, attempt, success: true };
    destination.held.delete(lease_id);
    expect(await destination.tell(told)).toBe("ack");
    expect((await get("/sync/lies")).body).toMatchObject({ files_done: 0, transferred_bytes: 0 });
    expect((await get("/sync/lies")).body.reason).toMatch(/without the hash of what was written/);
  });

  test("a cancelled transfer is CANCELLED until its workers have confirmed, and then gone", async () => {
    const { source, destination, target } = workers("stop");
    await source.heartbeat();
    await destination.heartbeat();
    await submit("stop");
    await perform(source, await next(source));
    const copying = await next(destination);
    const deleted = await hub.ask("DELETE", "/sync/stop", asOperator());
    expect(deleted.body).toEqual({ status: "deleted", request_id: "stop", is_confirmed: false });
    expect((await get("/sync/stop")).body.state).toBe("CANCELLED");
    // Whoever asks again later is told no such thing: of its id there is nothing then.
    const taken = await post("/sync", {
      request_id: "stop",
      source_path: "/nowhere/a",
      destination_path: "/nowhere/b",
    });
    expect(taken).toMatchObject({ status: 409, body: { error: { field: "request_id", retryAfter: 2 } } });
    expect((await destination.heartbeat()).revoked).toEqual([
      { lease_id: copying.lease_id, reason: "its request was cancelled" },
    ]);
    const late = {
      request_id: "stop",
      worker_id: destination.id,
      lease_id: copying.lease_id,
      attempt: 1,
      success: true,
    };
    expect((await post("/workers/result", late)).status).toBe(410);
    const discard = await next(destination);
    expect(discard.work.kind).toBe("discard");
    expect(await perform(destination, discard)).toBe("ack");
    expect(target.isDiscarded).toBe(true);
    await expect.poll(async () => (await get("/sync/stop")).status, { timeout: 20_000 }).toBe(404);
    expect((await post("/workers/result", late)).status).toBe(410);
    // The name is free again, and what is late does not touch its new bearer.
    expect((await submit("stop")).status).toBe(202);
    expect((await post("/workers/result", late)).status).toBe(410);
  });

  test("with the key of a box only as that box", async () => {
    const key = await hub.enrol("yard-1");
    const own = (id: string) => hub.ask("POST", "/workers/heartbeat", { token: key, body: heartbeat(id) });
    expect((await own("yard-1")).status).toBe(200);
    expect((await own("yard-1.disk2")).status).toBe(200);
    expect((await own("yard-10")).status).toBe(403);
    expect((await hub.ask("POST", "/workers/whole-a/assignment", { token: key })).status).toBe(403);
    expect((await hub.ask("POST", "/sync", { token: key, body: {} })).status).toBe(403);
    expect(
      (
        await post("/workers/result", {
          request_id: "x",
          worker_id: "w",
          success: true,
          items: [{ path: "/etc", offset: 0, length: 0, sha256: hashFor("") }],
        })
      ).status,
    ).toBe(400);
  });

  test("whoever watches gets each change, and the end ends the stream", async () => {
    const { source, destination } = workers("watched");
    await source.heartbeat();
    await destination.heartbeat();
    await submit("watched");
    const response = await fetch(`${hub.origin}/sync/watched`, {
      headers: { authorization: `Bearer ${hub.tokens.viewer}`, accept: "text/event-stream" },
      signal: AbortSignal.timeout(30_000),
    });
    const text = response.text();
    await perform(source, await next(source));
    for (;;) {
      const work = await next(destination);
      await perform(destination, work);
      if (work.work.kind === "close") break;
    }
    const states = [...(await text).matchAll(/^data: (.*)$/gm)].map(([, data = ""]) => JSON.parse(data).state);
    expect(states.at(-1)).toBe("COMPLETED");
    expect(response.headers.get("content-type")).toMatch(/event-stream/);
  });

  test("who comes back with the id of what was told last is told what differs, and nothing when it knows the end", async () => {
    const { source, destination } = workers("resumed");
    await source.heartbeat();
    await destination.heartbeat();
    await submit("resumed");
    const authorization = `Bearer ${hub.tokens.viewer}`;
    const watch = (lastEventId: string | undefined, signal: AbortSignal) =>
      fetch(`${hub.origin}/sync/resumed`, {
        headers: {
          authorization,
          accept: "text/event-stream",
          ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
        },
        signal,
      });
    /** The stream's first bytes that hold as much, and then no more of it. */
    const head = async (lastEventId: string | undefined, until: RegExp) => {
      const stop = new AbortController();
      const response = await watch(lastEventId, AbortSignal.any([stop.signal, AbortSignal.timeout(30_000)]));
      let text = "";
      const decoder = new TextDecoder();
      for await (const bytes of response.body ?? []) {
        text += decoder.decode(bytes, { stream: true });
        if (until.test(text)) break;
      }
      stop.abort();
      return text;
    };
    const first = await head(undefined, /^data: .*\n\n/m);
    expect(first).toMatch(/^retry: 1000\n: beat 15\n\nevent: progress\nid: (\S+)\ndata: \{/);
    const id = /^id: (\S+)$/m.exec(first)?.[1];
    const plain = await fetch(`${hub.origin}/sync/resumed`, { headers: { authorization } });
    expect(plain.headers.get("etag")).toBe(`"${id}"`);

    const again = head(id, /^data: .*\n\n/m);
    await perform(source, await next(source));
    const told = await again;
    expect(/^id: (\S+)$/m.exec(told)?.[1]).not.toBe(id);
    expect(told).toMatch(/"state":"PROGRESS"/);
    for (;;) {
      const work = await next(destination);
      await perform(destination, work);
      if (work.work.kind === "close") break;
    }
    const end = await (await watch(id, AbortSignal.timeout(30_000))).text();
    expect(end.match(/^id: /gm)?.length).toBeGreaterThan(0);
    const last = [...end.matchAll(/^id: (\S+)$/gm)].at(-1)?.[1];
    expect(end).toMatch(/"state":"COMPLETED"/);
    const known = await watch(last, AbortSignal.timeout(30_000));
    expect([known.status, await known.text()]).toEqual([204, ""]);
    expect((await watch("another", AbortSignal.timeout(30_000))).status).toBe(200);
  });
});
