import { once } from "node:events";
import { createServer, request } from "node:http";
import type { LookupFunction } from "node:net";
import { expect, test } from "vitest";
import { createGuardedLookup, type MayReach, type ResolveAll, requireReachable } from "./guarded-lookup.ts";
import { createHttpFetch } from "./http-fetch.ts";
import { isSpecialAddress } from "./network-range.ts";

const mayReach: MayReach = (address) => !isSpecialAddress(address);

const resolver =
  (...answers: readonly (readonly string[])[]): ResolveAll =>
  (_name, _options, done) => {
    const [next = []] = answers;
    done(
      null,
      next.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
    );
  };

function ask(lookup: LookupFunction, port: number): Promise<string> {
  return new Promise((resolve) => {
    const asked = request(`http://hook.example:${port}/`, { agent: false, lookup }, (response) => {
      response.resume();
      resolve(String(response.statusCode));
    });
    asked.on("error", (error) => resolve(error.message));
    asked.end();
  });
}

test("a name that leads to this machine is not connected to, and one that may be is", async () => {
  let connections = 0;
  const server = createServer((_request, response) => response.end()).listen(0, "127.0.0.1");
  server.on("connection", () => connections++);
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  try {
    const refused = await ask(createGuardedLookup(mayReach, resolver(["127.0.0.1", "::1"])), port);
    expect(refused).toBe(
      "hook.example leads to 127.0.0.1, ::1, in a private, loopback or link-local range that is not allowed",
    );
    expect(connections).toBe(0);
    const open: MayReach = (one) => one === "127.0.0.1";
    // Of several addresses only the allowed ones are tried.
    expect(await ask(createGuardedLookup(open, resolver(["10.1.2.3", "127.0.0.1", "::1"])), port)).toBe("200");
    expect(connections).toBe(1);
    const fetch = createHttpFetch({ mayReach });
    const init = { headers: {}, redirect: "manual", signal: AbortSignal.timeout(5000) } as const;
    for (const host of ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]"]) {
      await expect(fetch(new URL(`http://${host}:${port}/`), init)).rejects.toMatchObject({ code: "refused" });
    }
    expect(connections).toBe(1);
  } finally {
    server.close();
  }
});

test("the resolver's own error is passed on", async () => {
  const failing: ResolveAll = (_name, _options, done) =>
    done(Object.assign(new Error("no such name"), { code: "ENOTFOUND" }), []);
  expect(await ask(createGuardedLookup(mayReach, failing), 9)).toBe("no such name");
});

test.each([
  "https://10.0.0.1/x",
  "http://[fd00::1]/",
  "http://localhost/",
  "http://a.localhost./",
  "http://169.254.169.254/latest",
])("%s is refused before anything is looked up", (url) => {
  expect(() => requireReachable(new URL(url), mayReach)).toThrow(/not allowed/);
});

test("a public address and a name are not judged before the look-up", () => {
  for (const url of ["https://1.1.1.1/", "https://hook.example/"]) requireReachable(new URL(url), mayReach);
});
