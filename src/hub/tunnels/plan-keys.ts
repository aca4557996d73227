import type { TunnelSecurity } from "../../contract/tunnel-spec.ts";
import type { TunnelStatus } from "../../contract/tunnel-status.ts";
import { KEY_STEPS, type KnownCertificates, type Tunnel, type TunnelState } from "./tunnel-record.ts";

type Keys = TunnelState["keys"];
type Certificates = TunnelState["certificates"];

export interface EndStatuses {
  readonly producer: TunnelStatus | undefined;
  readonly consumer: TunnelStatus | undefined;
}

export function identityOf(uid: string, generation: number): string {
  return `${uid}.${generation}`;
}

/**
 * Pure. The next step to the keys that are wanted, if the ends are ready for it; else the same object. No step takes away what
 * the other end still uses: new keys are presented when both have said that they accept them, and old ones are dropped when
 * both have said that they present the new ones.
 */
export function nextKeys(
  tunnel: Pick<Tunnel, "uid" | "wish" | "keyGeneration">,
  keys: Keys,
  seen: { readonly certificates: Certificates; readonly statuses: EndStatuses; readonly nowMs: number },
): Keys {
  const { generation, step, sinceMs } = keys;
  const next = generation + 1;
  if (step === undefined) {
    if (generation >= tunnel.keyGeneration) return keys;
    return { generation, step: tunnel.wish.security === "cert" ? "making" : "accepting", sinceMs };
  }
  const isReady =
    tunnel.wish.security === "cert" ? certificatesReady(seen, generation) : sharedReady(tunnel.uid, seen, generation);
  if (!isReady[step]) return keys;
  const following = KEY_STEPS[KEY_STEPS.indexOf(step) + 1];
  return following === undefined ? { generation: next, sinceMs: seen.nowMs } : { generation, step: following, sinceMs };
}

function certificatesReady(
  { certificates, statuses }: { readonly certificates: Certificates; readonly statuses: EndStatuses },
  generation: number,
): Readonly<Record<NonNullable<Keys["step"]>, boolean>> {
  const { producer, consumer } = statuses;
  const next = generation + 1;
  const old = {
    producer: hashOf(certificates.producer, generation),
    consumer: hashOf(certificates.consumer, generation),
  };
  const own = { producer: hashOf(certificates.producer, next), consumer: hashOf(certificates.consumer, next) };
  const areMade = own.producer !== undefined && own.consumer !== undefined;
  return {
    making: areMade,
    accepting: areMade && accepts(producer, own.consumer) && accepts(consumer, own.producer),
    presenting: areMade && presents(producer, own.producer) && presents(consumer, own.consumer),
    dropping:
      accepts(producer, own.consumer) &&
      accepts(consumer, own.producer) &&
      !accepts(producer, old.consumer) &&
      !accepts(consumer, old.producer),
  };
}

function sharedReady(uid: string, { statuses }: { readonly statuses: EndStatuses }, generation: number) {
  const identity = identityOf(uid, generation + 1);
  return {
    making: true,
    accepting: statuses.producer?.accepts?.includes(identity) === true,
    presenting: statuses.consumer?.presents === identity,
    dropping: statuses.producer?.accepts?.includes(identityOf(uid, generation)) === false,
  };
}

/** Pure. What the end must know of keys now. */
export function securityOf(tunnel: Tunnel, state: TunnelState, role: "producer" | "consumer"): TunnelSecurity {
  const { generation, step } = state.keys;
  const next = generation + 1;
  const isNew = step === "presenting" || step === "dropping";
  if (tunnel.wish.security === "psk") {
    const key = (of: number) =>
      (tunnel.sharedKeys ?? [])
        .filter((held) => held.generation === of)
        .map(({ secret }) => ({ identity: identityOf(tunnel.uid, of), secret }));
    const [first, second] = isNew ? [next, generation] : [generation, next];
    const hasBoth = step === "accepting" || step === "presenting";
    return { kind: "psk", keys: [...key(first), ...(hasBoth ? key(second) : [])] };
  }
  const both = [generation, next];
  const accepted = step === "accepting" || step === "presenting" ? both : [isNew ? next : generation];
  const peer = state.certificates[role === "producer" ? "consumer" : "producer"];
  return {
    kind: "cert",
    keyGeneration: isNew ? next : generation,
    ...(step === "making" || step === "accepting" ? { nextKeyGeneration: next } : {}),
    peerCertificates: accepted.flatMap((of) => peer.filter((held) => held.generation === of).map(({ pem }) => pem)),
  };
}

/** Pure. What is known of an end's certificates, with what it tells now. The same list when that is nothing new. */
export function knownCertificates(
  known: KnownCertificates,
  status: TunnelStatus | undefined,
  keys: Keys,
): KnownCertificates {
  const needed = [keys.generation, keys.generation + 1];
  const told = status?.certificates ?? [];
  const next = needed.flatMap((generation) => {
    const one =
      told.find((held) => held.generation === generation) ?? known.find((held) => held.generation === generation);
    return one === undefined ? [] : [one];
  });
  const isSame = next.length === known.length && next.every(({ pem }, index) => pem === known[index]?.pem);
  return isSame ? known : next;
}

function hashOf(certificates: KnownCertificates, generation: number): string | undefined {
  return certificates.find((held) => held.generation === generation)?.sha256;
}

function accepts(status: TunnelStatus | undefined, sha256: string | undefined): boolean {
  return sha256 !== undefined && status?.accepts?.includes(sha256) === true;
}

function presents(status: TunnelStatus | undefined, sha256: string | undefined): boolean {
  return sha256 !== undefined && status?.presents === sha256;
}
