import { createHash, randomBytes } from "node:crypto";
import type { FakeClock } from "../../base/clock.fake.ts";
import { formatPoint } from "../../contract/describe-spec.ts";
import { type TunnelCreate, tunnelCreateSchema } from "../../contract/fleet/tunnel.ts";
import type { WorkloadStatus } from "../../contract/local-status.ts";
import type { TunnelSpec } from "../../contract/tunnel-spec.ts";
import type { TunnelFacts, TunnelStatus } from "../../contract/tunnel-status.ts";
import { createSecretBox, SECRET_KEY_BYTES, type SecretBox } from "../auth/secret-box.ts";
import { testHubContext } from "../hub-context.fake.ts";
import type { Presence } from "../life/presence.ts";
import { enrol, reportOf } from "../store/store.fake.ts";
import type { Store } from "../store/store.ts";
import { createPortBook } from "./port-book.ts";
import { createTunnelMaker } from "./tunnel-maker.ts";
import { createTunnelService } from "./tunnel-service.ts";

/** A box that does with ends of tunnels what an agent does, in memory: one `step` is one look at its set and one report. */
export interface FakeBox {
  readonly id: string;
  step(): Promise<void>;
  /** Ports that something else has there. */
  readonly busy: Set<number>;
  readonly loaded: ReadonlyMap<string, Loaded>;
}

/** What the process of one end has read. */
export interface Loaded {
  readonly role: TunnelSpec["role"];
  readonly presents: string;
  readonly accepts: readonly string[];
}

export const FACTS: TunnelFacts = { address: "192.0.2.1", ports: { from: 20_000, to: 20_099 }, engine: "5.68" };

export async function createFakeBox(
  id: string,
  deps: { readonly store: Store; readonly clock: FakeClock },
  wish: { readonly facts?: Partial<TunnelFacts>; readonly aheadMs?: number } = {},
): Promise<FakeBox> {
  const { store, clock } = deps;
  const { aheadMs = 0 } = wish;
  await enrol(store, id);
  const busy = new Set<number>();
  const loaded = new Map<string, Loaded>();
  let sequence = 0;

  const statusOf = (spec: TunnelSpec): TunnelStatus => {
    const { uid, role, legs, security, minTls = "1.3", endsAt } = spec;
    const now = new Date(clock.wallMs() + aheadMs).toISOString();
    const isOver = endsAt !== undefined && Date.parse(endsAt) <= clock.wallMs() + aheadMs;
    const common = {
      uid,
      role,
      since: now,
      minTls,
      legs: legs.map(({ listen, connect }) => ({
        listen: formatPoint(listen.address, listen.port),
        connect: formatPoint(connect.host, connect.port),
      })),
    };
    const taken = legs.filter(({ listen }) => busy.has(listen.port));
    if (taken.length > 0) {
      const listens = taken.map(({ listen }) => ({
        listen: formatPoint(listen.address, listen.port),
        holder: "nginx",
      }));
      return { ...common, phase: "preparing", busy: listens };
    }
    if (security.kind === "psk") {
      const [first] = security.keys;
      loaded.set(uid, {
        role,
        presents: first?.identity ?? "",
        accepts: security.keys.map(({ identity }) => identity),
      });
      return {
        ...common,
        phase: isOver ? "down" : "up",
        ...loaded.get(uid),
        accepts: [...(loaded.get(uid)?.accepts ?? [])],
      };
    }
    const generations = [
      security.keyGeneration,
      ...(security.nextKeyGeneration === undefined ? [] : [security.nextKeyGeneration]),
    ];
    const certificates = generations.map((generation) => fakeCertificate(id, generation));
    if (security.peerCertificates.length === 0) return { ...common, phase: "prepared", certificates };
    const accepts = security.peerCertificates.map(hashOf);
    const presents = hashOf(fakeCertificate(id, security.keyGeneration).pem);
    loaded.set(uid, { role, presents, accepts });
    return { ...common, phase: isOver ? "down" : "up", certificates, presents, accepts };
  };

  return {
    id,
    busy,
    loaded,
    step: async () => {
      if ((await store.boxes.get(id)) === undefined) return;
      const { entries, epoch, revision } = await store.expected.get(id);
      const here = entries.flatMap(({ workload }) => (workload.kind === "tunnel" ? [workload] : []));
      for (const uid of [...loaded.keys()]) if (!here.some(({ spec }) => spec.uid === uid)) loaded.delete(uid);
      const workloads = here.map(
        ({ id: workloadId, spec }): WorkloadStatus => ({
          id: workloadId,
          kind: "tunnel",
          description: "",
          state: "running",
          generation: 1,
          restarts: 0,
          since: new Date(clock.wallMs() + aheadMs).toISOString(),
          tunnel: statusOf(spec),
        }),
      );
      const report = {
        ...reportOf(id, "session", ++sequence),
        sentAt: new Date(clock.wallMs() + aheadMs).toISOString(),
        applied: { epoch, revision },
        tunnels: { ...FACTS, ...wish.facts },
        workloads,
      };
      await store.reports.put(id, report, clock.wallMs());
    },
  };
}

export function fakeCertificate(boxId: string, generation: number) {
  const text = Buffer.from(`certificate ${generation} of ${boxId}`).toString("base64");
  const pem = `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
  return { generation, sha256: hashOf(pem), pem };
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

export const ONLINE: Pick<Presence, "of" | "onChange" | "ready"> = {
  of: () => ({ connection: "online", lastContactMs: 0 }),
  onChange: () => undefined,
  ready: Promise.resolve(),
};

/** The same for all hubs of a test. */
export const STORE_SECRETS = createSecretBox(randomBytes(SECRET_KEY_BYTES));

/** One hub's part in tunnels, over a store that others may share. */
export function startTunnelHub(
  store: Store,
  clock: FakeClock,
  wish: {
    readonly hubId?: string;
    /** `null`: it has none. */
    readonly secrets?: SecretBox | null;
    readonly presence?: Pick<Presence, "of" | "onChange" | "ready">;
  } = {},
) {
  const stop = new AbortController();
  const secrets = wish.secrets === null ? undefined : (wish.secrets ?? STORE_SECRETS);
  const context = testHubContext({ store, clock, hubId: wish.hubId ?? "hub-1", secrets, life: stop.signal });
  const ports = createPortBook(context);
  const maker = createTunnelMaker(context, { ports });
  const service = createTunnelService({ context, presence: wish.presence ?? ONLINE, ports, maker });
  const done = service.run(stop.signal);
  return {
    maker,
    ports,
    log: context.log,
    stop: async () => {
      stop.abort();
      await done;
    },
  };
}

export function wishOf(given: Partial<TunnelCreate> = {}) {
  return tunnelCreateSchema.parse({
    producer: "north",
    consumer: "south",
    sources: [{ host: "10.0.0.20", port: 554 }],
    ...given,
  });
}
