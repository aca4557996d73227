import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { type Clock, systemClock } from "../base/clock.ts";
import { createMemoryLog } from "../base/log.ts";
import type { WorkerCredentials } from "../contract/transfer/worker-config.ts";
import { createHubLink } from "./hub-link.ts";

let server: Server;
afterEach(() => new Promise((resolve) => server.close(resolve)));

/** A hub that answers each query by `answer`; gives the link to it, and what it was asked. */
async function openLink(
  answer: (query: URLSearchParams) => readonly [status: number, body: unknown],
  clock: Clock = systemClock,
) {
  const asked: string[] = [];
  server = createServer((request, response) => {
    const url = new URL(request.url ?? "", "http://hub");
    asked.push(url.search);
    const [status, body] = answer(url.searchParams);
    response.writeHead(status, { "content-type": "application/json", connection: "close" }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const credentials = { hub: `http://127.0.0.1:${port}`, key: "k" } as WorkerCredentials;
  const log = createMemoryLog();
  return { link: createHubLink("w", { clock, log, credentials: () => credentials }), asked, log };
}

const REFUSED = [400, { error: { code: "invalid", message: "query.pages: no such parameter" } }] as const;
const signal = new AbortController().signal;

test("many pages of a plan are asked for at once, and as many as there are come", async () => {
  const { link, asked } = await openLink(() => [200, { page: 2, pages: 5, entries: [] }]);
  const got = await link.pages("r", { from: 2, count: 16, only: "directory" }, signal);
  expect(got).toMatchObject({ pages: 5, entries: [] });
  expect(asked).toEqual(["?page=2&only=directory&pages=16"]);
});

test("an earlier hub, which refuses to give many, gives one", async () => {
  const { link, asked } = await openLink((query) =>
    query.has("pages") ? REFUSED : [200, { page: Number(query.get("page")), entries: [] }],
  );
  expect(await link.pages("r", { from: 2, count: 16, only: undefined }, signal)).toMatchObject({ pages: 1 });
  expect(await link.pages("r", { from: 3, count: 1, only: undefined }, signal)).toMatchObject({ pages: 1 });
  expect(asked).toEqual(["?page=2&pages=16", "?page=2", "?page=3"]);
});

test("a hub that refuses the request itself is not taken for an earlier one", async () => {
  const { link } = await openLink(() => [403, { error: { code: "refused", message: "box b has no lease of it" } }]);
  await expect(link.pages("r", { from: 0, count: 16, only: undefined }, signal)).rejects.toMatchObject({
    code: "refused",
    message: expect.stringContaining("has no lease of it"),
  });
});

test("being told to wait is in the log at once, and then at most each minute with how often", async () => {
  let laterMs = 0;
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + laterMs };
  const problem = { error: { code: "rate-limited", message: "too many requests; allowed: 200 a second" } };
  const { link, log } = await openLink(() => [429, problem], clock);
  const askTimes = async (times: number) => {
    for (let asked = 0; asked < times; asked++) {
      await expect(link.assignment({ free: 1 }, signal)).rejects.toMatchObject({ code: "unavailable" });
    }
  };
  const line =
    "[WARN] The hub tells this worker to wait (429): too many requests; allowed: 200 a second. Attempts go on";
  await askTimes(1);
  expect(log.lines).toEqual([line]);
  await askTimes(7);
  expect(log.lines).toHaveLength(1);
  laterMs = 60_000;
  await askTimes(3);
  expect(log.lines.slice(1)).toEqual([`${line} [7 more such lines were left out]`]);
});
