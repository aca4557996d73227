import { AppError } from "../../base/errors.ts";
import { signTicket } from "../../contract/remote/ticket.ts";
import type { CopyItem, Meeting, TransferPeer, WorkOf } from "../../contract/transfer/assignment.ts";
import { signTransferTicket, transferScope } from "../../contract/transfer/transfer-ticket.ts";
import { chooseWay } from "./choose-way.ts";
import { type PoolMember, poolOf, shareOf } from "./choose-workers.ts";
import type { Pools, TransferHall } from "./transfer-hall.ts";
import { leaseIdOf, type Side, type Transfer } from "./transfer-record.ts";
import type { Worker } from "./worker-record.ts";

/** Nothing is wrong with who asks: the transfer itself cannot go on at the moment, and this says why. */
export class NoWay extends AppError {
  constructor(message: string) {
    super("unavailable", message);
  }
}

/** Tickets must outlast the slowest lease; what they open ends with it, because its later attempt has another. */
const TICKET_SECONDS = 6 * 3600;
/** To join a router with; the source hears of it within seconds. */
const MEETING_SECONDS = 60;
/** Workers end it themselves long before. */
const MEETING_IDLE_SECONDS = 120;
/** Sources that a worker may turn to for one lease. */
const MAX_SOURCES = 8;

type SigningKey = Awaited<ReturnType<TransferHall["keys"]["signing"]>>;

export interface CopyWay {
  build(leased: { readonly attempt: number; readonly items: readonly CopyItem[] }): Promise<WorkOf<"copy">>;
}

/** How the bytes of a unit get to a worker. Throws `NoWay`. */
export async function copyWork(
  hall: TransferHall,
  asked: { readonly transfer: Transfer; readonly worker: Worker; readonly pools: Pools; readonly unit: string },
): Promise<CopyWay> {
  const { transfer, worker, pools, unit } = asked;
  const { request, source, destination, uid } = transfer;
  if (source === undefined || destination === undefined) throw new NoWay("its storages are not chosen yet");
  const { watch, ways, clock, keys, routers } = hall;
  const share = shareOf(request.bandwidth_mbps, watch.of(uid).filter(isCopy).length + 1);
  const base = {
    kind: "copy" as const,
    unit,
    source: { storage_id: source.storage, path: source.path },
    destination: { storage_id: destination.storage, path: destination.path },
    verify: request.verify,
    preserve: request.preserve,
    takes_hashes: true,
    ...(share === undefined ? {} : { rate_bytes_s: share }),
  };
  const holders = holdersOf(hall, { source, destination, pools });
  const choose = (sources: readonly PoolMember[]) =>
    chooseWay({
      destination: worker,
      sources,
      holders,
      routerProblem: routers.problem(),
      givenUp: ways.of(worker.id, source.storage),
      nowMs: clock.monotonicMs(),
    });
  const able = choose(pools.sources.filter((member) => !ways.isFailing(worker.id, member.worker.id)));
  const choice = "problem" in able ? choose(pools.sources) : able;
  if ("way" in choice && choice.way === "local") {
    return {
      build: async ({ items }) => ({ ...base, items: [...items], sources: [], dial: "destination", local: true }),
    };
  }
  if (pools.sources.length === 0) throw new NoWay(`no worker that has the source ${request.source_path} is heard`);
  if ("problem" in choice) throw new NoWay(choice.problem);
  const { way: dial } = choice;
  const members = leastBusyFirst(choice.sources, hall).slice(0, dial === "destination" ? MAX_SOURCES : 1);
  const key = await keys.signing().catch((thrown: unknown) => {
    if (thrown instanceof AppError && thrown.code === "unsupported") {
      throw new NoWay("this hub has no key that encrypts what signs tickets: set secrets.keyFile");
    }
    throw thrown;
  });
  const nowSeconds = Math.floor(clock.wallMs() / 1000);
  const sign = (
    member: PoolMember,
    { attempt, items }: { readonly attempt: number; readonly items: readonly CopyItem[] },
  ) => {
    // In a router the destination speaks first, as if it had dialled.
    const dialler = dial === "source" ? member.worker : worker;
    const cert = dialler.heartbeat.certificate_sha256;
    return signTransferTicket(
      {
        aud: "sluice-transfer",
        rid: transfer.id,
        lease: leaseIdOf(uid, unit, attempt),
        att: attempt,
        src: member.worker.id,
        dst: worker.id,
        storage: source.storage,
        root: source.path,
        scope: transferScope(items),
        ...(cert === undefined ? {} : { cert }),
        iat: nowSeconds,
        exp: nowSeconds + TICKET_SECONDS,
      },
      key,
    );
  };
  return {
    build: async (leased) => {
      const sources = members.map((member) => peerOf(member.worker, member.storage.id, sign(member, leased)));
      const [first] = members;
      const work = { ...base, items: [...leased.items], sources, dial, local: false };
      if (dial === "destination" || first === undefined) return work;
      if (dial === "source") {
        await askToServe(
          hall,
          { ...asked, member: first, leased },
          { destinations: [peerOf(worker, destination.storage, sign(first, leased))] },
        );
        return work;
      }
      const meetings = meetingsOf(hall, { ...asked, member: first, leased, key });
      await askToServe(hall, { ...asked, member: first, leased }, { destinations: [], meeting: meetings.source });
      return { ...work, meeting: meetings.destination };
    },
  };
}

/** Within one storage whoever has it, whichever box was named. Of two the one that is read may be a mount of what another box has for itself: who was named brings it. */
function holdersOf(
  hall: TransferHall,
  { source, destination, pools }: { readonly source: Side; readonly destination: Side; readonly pools: Pools },
): readonly PoolMember[] {
  if (source.storage !== destination.storage) return pools.sources;
  return poolOf(source, hall.workers.all(), {
    access: "read",
    box: undefined,
    needs: [],
    isActive: hall.workers.mayWork,
  });
}

function isCopy({ id }: { readonly id: string }): boolean {
  return /:\d+\.\d+:\d+$/.test(id);
}

function leastBusyFirst(sources: readonly PoolMember[], { workers }: TransferHall): readonly PoolMember[] {
  const busy = (member: PoolMember) => workers.get(member.worker.id)?.heartbeat.leases.length ?? 0;
  return [...sources].sort((one, other) => busy(one) - busy(other) || (one.worker.id < other.worker.id ? -1 : 1));
}

function peerOf(worker: Worker, storageId: string, ticket: string): TransferPeer {
  const { data_plane_endpoints: endpoints, certificate_sha256: certificate } = worker.heartbeat;
  return {
    worker_id: worker.id,
    endpoints: [...endpoints],
    ...(certificate === undefined ? {} : { certificate_sha256: certificate }),
    storage_id: storageId,
    ticket,
  };
}

interface Leased {
  readonly attempt: number;
  readonly items: readonly CopyItem[];
}

interface Served {
  readonly transfer: Transfer;
  readonly worker: Worker;
  readonly pools: Pools;
  readonly unit: string;
  readonly member: PoolMember;
  readonly leased: Leased;
}

async function askToServe(
  { serves, senders, wake }: TransferHall,
  { transfer, pools, unit, member, leased: { attempt, items } }: Served,
  how: Pick<WorkOf<"serve">, "destinations" | "meeting">,
): Promise<void> {
  const [first] = items;
  const copyLease = leaseIdOf(transfer.uid, unit, attempt);
  senders.sends(copyLease, member.worker.id);
  await serves.put(member.worker.id, {
    request_id: transfer.id,
    worker_id: member.worker.id,
    source_path: transfer.request.source_path,
    destination_path: transfer.request.destination_path,
    chunk_offset: first?.offset ?? 0,
    chunk_size: first?.length ?? 0,
    source_worker_pool: pools.sources.map((one) => one.worker.id),
    destination_worker_pool: pools.destinations.map((one) => one.worker.id),
    lease_id: leaseIdOf(transfer.uid, `serve-${unit}`, attempt),
    attempt,
    requested_ms: transfer.createdMs,
    ttl_seconds: 10,
    work: {
      kind: "serve",
      copy_lease_id: copyLease,
      copy_attempt: attempt,
      source: { storage_id: transfer.source?.storage ?? "", path: transfer.source?.path ?? "" },
      ...how,
    },
  });
  wake.ring();
}

/** One session at a router, for one attempt of one unit and these two workers; to the router it is one of any kind. */
function meetingsOf(
  { routers, ways, clock, newSecret }: TransferHall,
  { transfer, worker, unit, member, leased: { attempt }, key }: Served & { readonly key: SigningKey },
): { readonly source: Meeting; readonly destination: Meeting } {
  const storage = transfer.source?.storage ?? "";
  const { box: router } = routers.choose("http://localhost", ways.badRouter(worker.id, storage));
  ways.sent(worker.id, storage, router.id);
  const iat = Math.floor(clock.wallMs() / 1000);
  const ticket = (side: "operator" | "box") =>
    signTicket(
      {
        sid: leaseIdOf(transfer.uid, unit, attempt).replaceAll(":", "."),
        side,
        box: member.worker.id,
        sub: `transfer:${worker.id}`,
        op: "transfer",
        aud: router.id,
        iat,
        exp: iat + MEETING_SECONDS,
        att: attempt,
        jti: newSecret().slice(0, 32),
        idle: MEETING_IDLE_SECONDS,
        max: TICKET_SECONDS,
      },
      key,
    );
  const meeting = (side: "operator" | "box", other: Worker): Meeting => ({
    router,
    ticket: ticket(side),
    worker_id: other.id,
    certificate_sha256: other.heartbeat.certificate_sha256 ?? "",
  });
  return { source: meeting("box", worker), destination: meeting("operator", member.worker) };
}
