import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRemoteWorld, type RemoteWorld, type Running, until } from "./remote-world.ts";
import { freePorts } from "./tunnel-pair.ts";

const LIMIT_MS = 120_000;
const IDS = ["router-1", "router-2"] as const;
type RouterId = (typeof IDS)[number];

let world: RemoteWorld;
let routers: Record<RouterId, Running>;
beforeAll(async () => {
  world = await createRemoteWorld({ hub: { flags: ["--remote-own-router", "false"] } });
  const ports = await freePorts(2);
  const [one, other] = await Promise.all(IDS.map((id, index) => startRouter(id, ports[index] ?? 0)));
  if (one !== undefined && other !== undefined) routers = { "router-1": one, "router-2": other };
  await until(async () => (await live()).length === 2, "both routers are at the hub");
}, LIMIT_MS);
afterAll(async () => {
  for (const { child } of Object.values(routers ?? {})) child.kill("SIGKILL");
  await world?.[Symbol.asyncDispose]();
});

async function startRouter(id: RouterId, port: number): Promise<Running> {
  const made = await world.hub().call("POST", "/v1/tokens", { name: id, role: "router" });
  const tokenFile = join(world.directory, `${id}.token`);
  await writeFile(tokenFile, (made as { token: string }).token);
  const flags = { listen: `127.0.0.1:${port}`, "public-url": `http://127.0.0.1:${port}` };
  return world.start([
    ...["router", "--id", id, "--hub-url", world.hub().origin, "--hub-token-file", tokenFile],
    ...Object.entries(flags).flatMap(([name, value]) => [`--server-${name}`, value]),
  ]);
}

async function items<Item>(path: string): Promise<readonly Item[]> {
  return ((await world.hub().call("GET", path)) as { items: readonly Item[] }).items;
}
const live = async () =>
  (await items<{ id: RouterId; state: string }>("/v1/routers")).filter(({ state }) => state === "live");
const routerOf = async (id: string) =>
  ((await world.hub().call("GET", `/v1/remote/${id}`)) as { router?: RouterId }).router;
const open = () => items<{ id: string }>("/v1/remote?state=open");

const LINES = Array.from({ length: 40 }, (_none, index) => `line ${index + 1}\n`).join("");
const count = () =>
  world.start([
    ...["exec", world.boxId, "-v", "--no-stdin", "--"],
    ...["/bin/sh", "-c", "for i in $(seq 1 40); do echo line $i; sleep 0.1; done; exit 7"],
  ]);

test(
  "of two routers one is killed: sessions at the other go on, those of the first move there, and new ones begin at once",
  async () => {
    const runs = [count(), count()];
    await Promise.all(runs.map(({ child }) => once(child.stdout, "data")));
    await until(async () => (await open()).length === 2, "both are open");
    const at = await Promise.all((await open()).map(({ id }) => routerOf(id)));
    expect(at.toSorted()).toEqual(IDS);
    const dead = routers["router-1"];
    dead.child.kill("SIGKILL");
    await dead.ended;
    const fresh = await Promise.all(
      Array.from({ length: 4 }, () => world.start(["exec", world.boxId, "-v", "--", "/bin/true"]).ended),
    );
    expect(fresh.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    const ends = await Promise.all(runs.map(({ ended }) => ended));
    expect(ends.map(({ code, out }) => ({ code, out: out.toString() }))).toEqual(
      ends.map(() => ({ code: 7, out: LINES })),
    );
  },
  LIMIT_MS,
);
