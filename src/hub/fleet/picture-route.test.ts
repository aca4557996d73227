import { expect, test } from "vitest";
import { startTestHub, streamBody } from "../hub-world.fake.ts";

const FROM = "wss://media.example:8443";

test("the frame of a picture may fetch from where the picture is, and from nowhere else", async () => {
  await using hub = await startTestHub();
  await hub.enrol("north-1");
  const pictureUrl = `${FROM}/live/cam-1.flv?key=1`;
  await hub.ask("PUT", "/v1/boxes/north-1/workloads/cam-1", {
    body: { workload: { ...streamBody("cam-1"), pictureUrl } },
  });
  await hub.ask("PUT", "/v1/boxes/north-1/workloads/cam-2", { body: { workload: streamBody("cam-2") } });
  const frame = (path: string, from: string) =>
    hub.ask("GET", `/v1/boxes/${path}/picture?${new URLSearchParams({ from })}`, { token: null });
  const policyOf = ({ headers }: { readonly headers: Headers }) => headers.get("content-security-policy") ?? "";

  const right = await frame("north-1/workloads/cam-1", FROM);
  expect(right.status).toBe(200);
  expect(right.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(policyOf(right)).toContain(`connect-src ${FROM};`);
  expect(policyOf(right)).toContain("frame-ancestors 'self'");

  for (const [path, from] of [
    ["north-1/workloads/cam-1", "wss://media.example"],
    ["north-1/workloads/cam-1", `${FROM}; script-src *`],
    ["north-1/workloads/cam-1", "*"],
    ["north-1/workloads/cam-2", FROM],
    ["north-1/workloads/no-such", FROM],
    ["no-such/workloads/cam-1", FROM],
  ] as const) {
    const wrong = await frame(path, from);
    // Who guesses cannot tell a wrong box from a wrong place.
    expect([wrong.status, wrong.text]).toEqual([200, right.text]);
    expect(policyOf(wrong)).toContain("connect-src 'none';");
    expect(policyOf(wrong)).toContain("script-src 'self';");
  }
});
