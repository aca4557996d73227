import { afterEach, beforeEach, expect, test } from "vitest";
import type { TunnelFacts } from "../../contract/tunnel-status.ts";
import { startTestHub, type TestHub } from "../hub-world.fake.ts";
import { reportOf } from "../store/store.fake.ts";

let hub: TestHub;
const keys = new Map<string, string>();
let sequence = 0;

const FACTS: TunnelFacts = {
  address: "192.0.2.1",
  ports: { from: 20_000, to: 20_003 },
  uplinkMbit: 100,
  engine: "5.68",
};
const BODY = { producer: "north-1", consumer: "south-1", sources: [{ host: "10.0.0.20", port: 554 }] };

async function addBox(boxId: string, tunnels: TunnelFacts | undefined = FACTS): Promise<void> {
  const key = await hub.enrol(boxId);
  keys.set(boxId, key);
  const report = { ...reportOf(boxId, "s", ++sequence), ...(tunnels === undefined ? {} : { tunnels }) };
  await hub.ask("POST", `/v1/boxes/${boxId}/report`, { token: key, body: report });
}

beforeEach(async () => {
  hub = await startTestHub();
  for (const boxId of ["north-1", "south-1", "south-2"]) await addBox(boxId);
});
afterEach(() => hub.close());

const post = (body: object, headers: Record<string, string> = {}) =>
  hub.ask("POST", "/v1/tunnels", { token: hub.tokens.operator, body, headers });
const shape = (answer: { status: number; body: { error?: { code: string; field?: string; message: string } } }) => [
  answer.status,
  answer.body.error?.field,
  answer.body.error?.message,
];

test("a tunnel is made, found in lists by box and phase, and its uid is short", async () => {
  const made = await post({ ...BODY, name: "Lobby", entries: [{ port: 5100 }], rateMbit: 20 });
  expect(made.status).toBe(201);
  expect(made.body.uid).toMatch(/^[a-z0-9]{10}$/);
  expect(made.body).toMatchObject({
    name: "Lobby",
    ways: [{ entry: "127.0.0.1:5100", gateway: "192.0.2.1:20000", source: "10.0.0.20:554" }],
    rateMbit: 20,
    security: "cert",
    minTls: "1.3",
  });
  const list = async (query: string) =>
    (await hub.ask("GET", `/v1/tunnels${query}`)).body.items.map(({ uid }: { uid: string }) => uid);
  expect(await list("?box=south-1")).toEqual([made.body.uid]);
  expect(await list("?box=south-2")).toEqual([]);
  expect(await list("?phase=requested")).toEqual([made.body.uid]);
  expect(await list("?phase=up")).toEqual([]);
  expect((await hub.ask("GET", `/v1/tunnels/${made.body.uid}`)).headers.get("etag")).toBe('"1"');
  expect((await hub.ask("GET", "/metrics")).text).toContain('sluice_hub_tunnels{phase="requested"} 1');
});

test("a repeated request is the same tunnel, with its ports; another body under its key is refused", async () => {
  const key = { "idempotency-key": "one" };
  const first = await post({ ...BODY, entries: [{ port: 5100 }] }, key);
  const again = await post({ ...BODY, entries: [{ port: 5100 }] }, key);
  expect([again.status, again.body.uid, again.body.revision]).toEqual([201, first.body.uid, first.body.revision]);
  expect((await post({ ...BODY, entries: [{ port: 5101 }] }, key)).status).toBe(409);
  const shown = await hub.ask("GET", `/v1/tunnels/${first.body.uid}`);
  expect(shown.body.ways).toEqual(first.body.ways);
  // What the refused one had claimed is free again.
  expect((await post({ ...BODY, entries: [{ port: 5101 }] })).status).toBe(201);
});

test.each([
  [
    "an unknown box, with those near it",
    { producer: "nort-1" },
    [404, "producer", 'producer: there is no box "nort-1"; near it: north-1'],
  ],
  [
    "a producer that is its own consumer",
    { consumer: "north-1" },
    [400, "consumer", expect.stringContaining("which is the producer too")],
  ],
  [
    "a privileged port",
    { entries: [{ port: 443 }] },
    [400, "entries[0].port", expect.stringContaining("allowed: 1024 to 65535")],
  ],
  [
    "a privileged gateway",
    { via: { address: "192.0.2.1", port: 80 } },
    [400, "via.port", expect.stringContaining("allowed: 1024 to 65535")],
  ],
  [
    "one port twice",
    { entries: [{ port: 5100 }, { port: 5100 }] },
    [400, "entries[1].port", expect.stringContaining("entries[0].port has it already")],
  ],
  [
    "fewer connections than sources",
    {
      connections: 1,
      sources: [
        { host: "a", port: 1 },
        { host: "b", port: 1 },
      ],
    },
    [400, "connections", expect.stringContaining("at least 2")],
  ],
  [
    "a range that is too small",
    { connections: 5 },
    [
      409,
      "entries[4].port",
      expect.stringContaining(
        "5 ports are needed from the range 20000-20003 of box south-1 (tunnels.ports), and 4 are free",
      ),
    ],
  ],
  [
    "more than the uplink",
    { rateMbit: 101 },
    [
      409,
      "rateMbit",
      expect.stringMatching(
        /given 101; box (north|south)-1 declares an uplink of 100 Mbit\/s \(tunnels\.uplinkMbit\), other tunnels are promised 0, 100 are left/,
      ),
    ],
  ],
  [
    "ports that end above the last",
    { via: { address: "192.0.2.1", port: 65_535 }, connections: 2 },
    [400, "via.port", expect.stringContaining("allowed: up to 65534")],
  ],
  [
    "a name to listen at",
    { via: { address: "gw.example" } },
    [400, "via.listen", expect.stringContaining("gw.example is a name")],
  ],
  ["a port out of range", { entries: [{ port: 70_000 }] }, [400, "entries[0].port", expect.any(String)]],
  ["no TLS 1.1", { minTls: "1.1" }, [400, "minTls", expect.stringContaining("1.2")]],
])("refused with field, given and allowed: %s", async (_what, given, expected) => {
  expect(shape(await post({ ...BODY, ...given }))).toEqual(expected);
  // Nothing stays reserved by what was refused.
  expect((await post({ ...BODY, connections: 4, rateMbit: 100 })).status).toBe(201);
});

test("a port that another tunnel has, and a rate that others have, are refused with who has them", async () => {
  const first = await post({ ...BODY, entries: [{ port: 5100 }], rateMbit: 60 });
  expect(shape(await post({ ...BODY, entries: [{ port: 5100 }] }))).toEqual([
    409,
    "entries[0].port",
    `entries[0].port: given 5100; on box south-1 tunnel ${first.body.uid} has it`,
  ]);
  expect(shape(await post({ ...BODY, entries: [{ address: "0.0.0.0", port: 5100 }] }))[0]).toBe(409);
  expect((await post({ ...BODY, entries: [{ address: "127.0.0.2", port: 5100 }], rateMbit: 40 })).status).toBe(201);
  expect(shape(await post({ ...BODY, consumer: "south-2", rateMbit: 1 }))).toEqual([
    409,
    "rateMbit",
    "rateMbit: given 1; box north-1 declares an uplink of 100 Mbit/s (tunnels.uplinkMbit), other tunnels are promised 100, 0 are left",
  ]);
});

test("a box that declares no address needs one from who asks, and one that waits for approval gets nothing", async () => {
  await addBox("plain", { ports: FACTS.ports });
  expect(shape(await post({ ...BODY, producer: "plain" }))).toEqual([
    400,
    "via.address",
    expect.stringContaining("box plain declares no address"),
  ]);
  expect((await post({ ...BODY, producer: "plain", via: { address: "198.51.100.7" } })).status).toBe(201);
  await hub.enrol("waiting", { approve: false });
  expect(shape(await post({ ...BODY, producer: "waiting" }))).toEqual([
    409,
    "producer",
    "producer: box waiting is pending; allowed: an approved box",
  ]);
});

test("PUT makes a tunnel of a chosen uid, changes it under If-Match, keeps what was chosen for it, and says beforehand whether it would", async () => {
  const put = (body: object, query = "", headers: Record<string, string> = {}) =>
    hub.ask("PUT", `/v1/tunnels/lobby${query}`, { body, headers });
  expect((await put(BODY, "?dryRun=true")).body).toEqual({ changed: true });
  const made = await put(BODY);
  expect(made.body.ways[0].entry).toBe("127.0.0.1:20000");
  expect((await put(BODY, "?dryRun=true")).body).toEqual({ changed: false, revision: 1 });
  const more = { ...BODY, connections: 2, name: "Two" };
  expect((await put(more, "", { "if-match": '"7"' })).status).toBe(409);
  const changed = await put(more, "", { "if-match": '"1"' });
  expect(changed.body).toMatchObject({
    revision: 2,
    ways: [{ entry: "127.0.0.1:20000" }, { entry: "127.0.0.1:20001" }],
  });
  expect(shape(await put({ ...BODY, consumer: "south-2" }))).toEqual([
    409,
    "consumer",
    expect.stringContaining("take it down"),
  ]);
  expect(shape(await put({ ...BODY, security: "psk" }))[1]).toBe("security");
});

test("the shared key is in no answer, no event and no line of the audit log, and a person cannot put one end by hand", async () => {
  const made = await post({ ...BODY, security: "psk" });
  await expect.poll(async () => (await hub.ask("GET", "/v1/boxes/north-1/workloads")).body.items.length).toBe(1);
  const all = await Promise.all(
    [
      "/v1/tunnels",
      "/v1/boxes/north-1/workloads",
      "/v1/workloads",
      "/v1/audit",
      "/v1/events?recent=true",
      "/metrics",
    ].map(async (path) => (await hub.ask("GET", path, { headers: { accept: "application/json" } })).text),
  );
  expect(all[1]).toContain(`${made.body.uid}.producer`);
  // Neither the key nor what it is sealed as.
  expect(all.join("\n")).not.toMatch(/[0-9a-f]{64}|s1\./);
  const [{ workload }] = JSON.parse(all[1] ?? "").items;
  const spec = { ...workload.spec, security: { kind: "cert", keyGeneration: 1, peerCertificates: [] } };
  const byHand = { workload: { ...workload, id: "mine", spec } };
  expect(shape(await hub.ask("PUT", "/v1/boxes/north-1/workloads/mine", { body: byHand }))[1]).toBe("workload.kind");
});

test("taking down is shown as ending until both boxes have let go, and cannot be changed meanwhile", async () => {
  const { body } = await post(BODY);
  await expect.poll(async () => (await hub.ask("GET", "/v1/boxes/south-1/workloads")).body.items.length).toBe(1);
  const ended = await hub.ask("DELETE", `/v1/tunnels/${body.uid}`, { token: hub.tokens.operator });
  expect([ended.status, ended.body.phase]).toEqual([202, "ending"]);
  expect((await hub.ask("PUT", `/v1/tunnels/${body.uid}`, { body: BODY })).status).toBe(409);
  await expect.poll(async () => (await hub.ask("GET", "/v1/boxes/south-1/workloads")).body.items.length).toBe(0);
  for (const boxId of ["north-1", "south-1"]) {
    const { epoch, revision } = (await hub.ask("GET", `/v1/boxes/${boxId}/workloads`)).body;
    const report = { ...reportOf(boxId, "s", ++sequence), tunnels: FACTS, applied: { epoch, revision } };
    await hub.ask("POST", `/v1/boxes/${boxId}/report`, { token: keys.get(boxId) ?? "", body: report });
  }
  await expect.poll(async () => (await hub.ask("GET", `/v1/tunnels/${body.uid}`)).status).toBe(404);
  const actions = (await hub.ask("GET", "/v1/audit?subject=tunnel")).body.items.map(
    ({ action }: { action: string }) => action,
  );
  expect(actions).toEqual(["tunnel.remove", "tunnel.create"]);
});
