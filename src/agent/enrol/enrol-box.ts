import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readCertificateChain } from "../../base/certificate-chain.ts";
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { HttpFetch } from "../../base/http-fetch.ts";
import { BOX_STATES } from "../../contract/fleet/box-view.ts";
import { type EnrolmentContent, parseEnrolmentString } from "../../contract/fleet/enrolment-string.ts";
import { ENROL_PATH, hubAddress } from "../../contract/hub-address.ts";
import type { HubIdentity, IdentityFile } from "../registry/identity-file.ts";
import { askHub } from "./hub-request.ts";

export interface EnrolWish {
  /** As a person carried it here. */
  readonly token: string;
  /** Where the hub is, when not where the token says. */
  readonly hub?: string | undefined;
  readonly boxId: string;
  readonly name: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

export interface EnrolDeps {
  readonly file: IdentityFile;
  /** Trusts the given authority alone; without one, whom the system and the configuration trust. */
  readonly fetchTrusting: (ca: string | undefined) => HttpFetch;
  readonly clock: Clock;
  /** 256 bits, base64url. */
  readonly newKey: () => string;
  /** Must keep it out of every log from now on. */
  readonly addSecret: (secret: string) => void;
  /** Where `hub-ca.pem` is put for other tools. */
  readonly stateDir: string;
  readonly readChain?: typeof readCertificateChain;
}

export type BoxState = (typeof BOX_STATES)[number];

/**
 * Makes this machine a box of the hub. Cut off anywhere and called again with the same token it goes on with the same key, so
 * that a lost answer does not spend the token. Rejects with `invalid` for a token that is none, `refused` when the hub is not
 * the one that the token names, `unauthorized` for a token that was used or has expired, `storage`, `unavailable`, or the
 * system's error. What was in force before stays in force until the hub has said yes.
 */
export async function enrolBox(wish: EnrolWish, deps: EnrolDeps, signal: AbortSignal): Promise<BoxState> {
  const content = readToken(wish.token);
  deps.addSecret(content.token);
  const hub = new URL(wish.hub ?? content.hub).href;
  const asked = identityFor({ ...wish, hub }, content, deps);
  deps.addSecret(asked.key);
  const ca =
    content.ca === undefined ? undefined : await authorityOf(hub, content.ca, { ...deps, known: asked.ca }, signal);
  const identity: HubIdentity = { ...asked, ...(ca === undefined ? {} : { ca }) };
  await deps.file.save({ ...deps.file.current(), pending: identity });
  if (ca !== undefined) {
    // For people and other tools: the identity itself holds what counts.
    await writeFile(join(deps.stateDir, "hub-ca.pem"), ca, { mode: 0o644 }).catch(() => undefined);
  }
  const answer = await askHub(
    {
      method: "POST",
      url: hubAddress(hub, ENROL_PATH),
      key: undefined,
      body: {
        token: content.token,
        boxId: wish.boxId,
        keyHash: hashOf(identity.key),
        ...(wish.name === undefined ? {} : { name: wish.name }),
        labels: wish.labels,
      },
      signal,
    },
    { fetch: deps.fetchTrusting(ca), clock: deps.clock },
  );
  await deps.file.save({ current: identity });
  return stateIn(answer);
}

/** Hex SHA-256: all that a hub ever learns of a key. */
export function hashOf(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

function readToken(text: string): EnrolmentContent {
  const content = parseEnrolmentString(text);
  if (content !== undefined) return content;
  throw new AppError(
    "invalid",
    `token: given ${text.trim().length} characters that are no enrolment token; allowed: what the hub printed, from sluice1. to its end`,
    { field: "token" },
  );
}

/** The identity that this token was asked with before, as long as nothing else about it is different; else a new one. */
function identityFor(
  { hub, boxId }: { readonly hub: string; readonly boxId: string },
  { token }: EnrolmentContent,
  { file, newKey, clock }: EnrolDeps,
): HubIdentity {
  const tokenHash = hashOf(token);
  const { current, pending } = file.current();
  const known = [pending, current].find(
    (one) => one?.tokenHash === tokenHash && one.boxId === boxId && one.hub === hub,
  );
  return known ?? { hub, boxId, key: newKey(), keySinceMs: clock.wallMs(), tokenHash };
}

async function authorityOf(
  hub: string,
  fingerprint: string,
  deps: { readonly known: string | undefined; readonly readChain?: typeof readCertificateChain },
  signal: AbortSignal,
): Promise<string> {
  if (deps.known !== undefined) return deps.known;
  const url = new URL(hub);
  if (url.protocol !== "https:") {
    throw new AppError("refused", "the token names the hub's authority, and its address is not https", {
      field: "hub",
    });
  }
  const chain = await (deps.readChain ?? readCertificateChain)(url, signal);
  const found = chain.find((certificate) => certificate.fingerprint === fingerprint);
  if (found !== undefined) return found.pem;
  throw new AppError(
    "refused",
    `${url.host} is not the hub that the token names: none of the ${chain.length} certificates that it shows has the fingerprint ${fingerprint.slice(0, 16)}…`,
    { field: "hub" },
  );
}

function stateIn(answer: unknown): BoxState {
  const state = typeof answer === "object" && answer !== null && "state" in answer ? answer.state : undefined;
  const known = BOX_STATES.find((one) => one === state);
  if (known === undefined) throw new AppError("unavailable", "the answer is not that of a hub: wrong address?");
  return known;
}
