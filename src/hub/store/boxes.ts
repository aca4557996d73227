import { AppError } from "../../base/errors.ts";
import { type Box, type BoxFilter, type BoxKey, type BoxPatch, type EnrolmentToken, matchesBox } from "./box.ts";
import { boxDocuments, boxes, boxLogs, boxTopic, keyOwners } from "./box-documents.ts";
import { collection, type Engine, keyOf, type Outcome, putOf } from "./engine.ts";
import { type Page, type PageRequest, readPage } from "./page.ts";
import { notFound, requireRevision } from "./store-error.ts";
import { change, type WriteContext } from "./write-context.ts";

/** All verbs are atomic and durable. Each change of a box wakes `{kind: "box"}` on every hub, so that a revoked one is cut. */
export interface BoxStore {
  get(id: string): Promise<Box | undefined>;
  list(filter: BoxFilter, page: PageRequest): Promise<Page<Box>>;
  /** Of all boxes, in the order of `list`. */
  listIds(page: PageRequest): Promise<Page<string>>;
  /** The box whose current or next key has this hash, whatever its state. */
  findByKey(hash: string): Promise<{ readonly box: Box; readonly slot: "current" | "next" } | undefined>;
  /**
   * Takes the token and makes the box, in one step. The same box with the same key hash again gets the box again (its
   * first answer was lost). `unauthorized`: no such token, expired, or taken by another. `conflict`: the id is a known
   * box, and the token is not bound to it.
   */
  enrol(enrolment: Enrolment, context: WriteContext): Promise<Box>;
  /** `not-found`; `conflict` with the current revision when `expectedRevision` is another. */
  update(
    id: string,
    patch: BoxPatch,
    context: WriteContext & { readonly expectedRevision?: number | undefined },
  ): Promise<Box>;
  /** Lays down the key that the box changes to, beside the one it has. The same hash again changes nothing. `not-found`. */
  stageKey(id: string, hash: string, context: WriteContext): Promise<Box>;
  /** The box has used its next key: that becomes its key and the old one opens nothing any more. A hash that is not the next key changes nothing. */
  promoteKey(id: string, hash: string, context: WriteContext): Promise<Box>;
  /** Everything of the box is gone, its keys and logs included. Answers whether there was one. */
  forget(id: string, context: WriteContext): Promise<boolean>;
}

export interface Enrolment {
  readonly tokenHash: string;
  readonly boxId: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly keyHash: string;
}

export interface EnrolmentTokenStore {
  /** Durable. The token that is there: for a repeated request the one of the first time. `conflict` when the hash is there already. */
  create(token: EnrolmentToken, context: WriteContext): Promise<EnrolmentToken>;
  /** Also those that are taken or expired, until `maintain` has removed them a day after they expired. */
  list(page: PageRequest): Promise<Page<EnrolmentToken>>;
  /** By the id that people use. Answers whether there was one. */
  revoke(id: string, context: WriteContext): Promise<boolean>;
}

const enrolmentTokens = collection<EnrolmentToken>("enrolment-token");
const enrolmentTokenIds = collection<{ readonly hash: string }>("enrolment-token-id");
const TOKEN_KEPT_MS = 24 * 3_600_000;

export function createBoxStore(engine: Engine): BoxStore {
  const edit = (id: string, context: WriteContext, decide: (box: Box) => Outcome<Box>) =>
    change(engine, { scope: `box/${id}`, keys: [keyOf(boxes, id)], context }, ([box]) => {
      if (box === undefined) throw notFound("box", id);
      return decide(box);
    });

  return {
    get: async (id) => (await engine.read([keyOf(boxes, id)]))[0],
    list: (filter, page) =>
      readPage(engine, boxes, { ...page, pick: (box) => (matchesBox(box, filter) ? box : undefined) }),
    listIds: async (page) => {
      const { ids, next } = await engine.listIds(boxes, page);
      return { items: ids, next };
    },
    findByKey: async (hash) => {
      const [owner] = await engine.read([keyOf(keyOwners, hash)]);
      if (owner === undefined) return undefined;
      const [box] = await engine.read([keyOf(boxes, owner.boxId)]);
      if (box === undefined) return undefined;
      if (box.key.hash === hash) return { box, slot: "current" };
      return box.nextKey?.hash === hash ? { box, slot: "next" } : undefined;
    },
    enrol: (enrolment, context) => {
      const keys = [keyOf(enrolmentTokens, enrolment.tokenHash), keyOf(boxes, enrolment.boxId)] as const;
      return change(engine, { scope: `box/${enrolment.boxId}`, keys, context }, ([token, box]) =>
        decideEnrolment(enrolment, { token, box }, context.nowMs),
      );
    },
    update: (id, patch, context) =>
      edit(id, context, (box) => {
        requireRevision(`box ${id}`, context.expectedRevision, box.revision);
        return saved(applyPatch(box, patch, context.nowMs), box);
      }),
    stageKey: (id, hash, context) =>
      edit(id, context, (box) => {
        if (box.nextKey?.hash === hash || box.key.hash === hash) return { answer: box };
        const next = { ...box, nextKey: { hash, sinceMs: context.nowMs }, revision: box.revision + 1 };
        const outcome = saved(next, box);
        const dropped = box.nextKey === undefined ? [] : [keyOf(keyOwners, box.nextKey.hash)];
        return {
          ...outcome,
          puts: [...(outcome.puts ?? []), putOf(keyOf(keyOwners, hash), { boxId: id })],
          deletes: dropped,
        };
      }),
    promoteKey: (id, hash, context) =>
      edit(id, context, (box) => {
        if (box.nextKey?.hash !== hash) return { answer: box };
        const { nextKey, ...rest } = box;
        const outcome = saved({ ...rest, key: nextKey, revision: box.revision + 1 }, box);
        return { ...outcome, deletes: [keyOf(keyOwners, box.key.hash)] };
      }),
    forget: (id, context) =>
      change(engine, { scope: `box/${id}`, keys: [keyOf(boxes, id)], context }, ([box]) => {
        if (box === undefined) return { answer: false };
        return {
          answer: true,
          deletes: [...keysOf(box).map(({ hash }) => keyOf(keyOwners, hash)), ...boxDocuments(id)],
          drops: boxLogs(id),
          wakes: [boxTopic(id)],
        };
      }),
  };
}

export function createEnrolmentTokenStore(engine: Engine): EnrolmentTokenStore {
  return {
    create: (token, context) => {
      const keys = [keyOf(enrolmentTokens, token.hash), keyOf(enrolmentTokenIds, token.id)] as const;
      return change(engine, { scope: "enrolment-token", keys, context }, ([byHash, byId]) => {
        if (byHash !== undefined || byId !== undefined) {
          throw new AppError("conflict", `there is an enrolment token ${token.id} already`, { field: "id" });
        }
        const expiresMs = token.expiresMs + TOKEN_KEPT_MS;
        return {
          answer: token,
          puts: [putOf(keys[0], token, expiresMs), putOf(keys[1], { hash: token.hash }, expiresMs)],
        };
      });
    },
    list: (page) => readPage(engine, enrolmentTokens, { ...page, pick: (token) => token }),
    revoke: async (id, context) => {
      const [found] = await engine.read([keyOf(enrolmentTokenIds, id)]);
      if (found === undefined) return false;
      const keys = [keyOf(enrolmentTokenIds, id), keyOf(enrolmentTokens, found.hash)] as const;
      return change(engine, { scope: "enrolment-token", keys, context }, ([byId]) =>
        byId === undefined ? { answer: false } : { answer: true, deletes: keys },
      );
    },
  };
}

/** Pure. */
export function decideEnrolment(
  enrolment: Enrolment,
  held: { readonly token: EnrolmentToken | undefined; readonly box: Box | undefined },
  nowMs: number,
): Outcome<Box> {
  const { token, box } = held;
  const { boxId, keyHash } = enrolment;
  if (token === undefined) throw new AppError("unauthorized", "this enrolment token is not known", { field: "token" });
  if (token.takenBy === boxId && box?.key.hash === keyHash) return { answer: box };
  if (token.takenBy !== undefined) {
    throw new AppError("unauthorized", "this enrolment token was used already; ask for another", { field: "token" });
  }
  if (token.expiresMs <= nowMs) {
    throw new AppError("unauthorized", "this enrolment token has expired; ask for another", { field: "token" });
  }
  if (token.boxId !== undefined && token.boxId !== boxId) {
    throw new AppError("unauthorized", `this enrolment token is for box ${token.boxId}, not ${boxId}`, {
      field: "token",
    });
  }
  if (box !== undefined && token.boxId === undefined) {
    throw new AppError(
      "conflict",
      `there is a box ${boxId} already; forget it, or use an enrolment token that is bound to it`,
      { field: "boxId" },
    );
  }
  const made: Box = {
    id: boxId,
    revision: (box?.revision ?? 0) + 1,
    name: enrolment.name,
    labels: { ...enrolment.labels, ...token.labels },
    state: token.approve ? "approved" : "pending",
    draining: false,
    createdMs: box?.createdMs ?? nowMs,
    key: { hash: keyHash, sinceMs: nowMs },
  };
  const taken: EnrolmentToken = { ...token, takenMs: nowMs, takenBy: boxId };
  return {
    answer: made,
    puts: [
      putOf(keyOf(boxes, boxId), made),
      putOf(keyOf(keyOwners, keyHash), { boxId }),
      putOf(keyOf(enrolmentTokens, token.hash), taken, token.expiresMs + TOKEN_KEPT_MS),
    ],
    deletes: keysOf(box)
      .filter(({ hash }) => hash !== keyHash)
      .map(({ hash }) => keyOf(keyOwners, hash)),
    wakes: [boxTopic(boxId)],
  };
}

/** Pure. Without any difference the same revision. */
export function applyPatch(box: Box, patch: BoxPatch, nowMs: number): Box {
  const { quarantine, ...rest } = box;
  const kept = patch.quarantine === undefined ? quarantine : quarantineOf(patch.quarantine, nowMs);
  const next: Box = {
    ...rest,
    name: patch.name ?? box.name,
    labels: patch.labels ?? box.labels,
    state: patch.state ?? box.state,
    draining: patch.draining ?? box.draining,
    ...(kept === undefined ? {} : { quarantine: kept }),
  };
  return JSON.stringify(sorted(next)) === JSON.stringify(sorted(box)) ? box : { ...next, revision: box.revision + 1 };
}

function quarantineOf(patch: { readonly reason: string } | null, nowMs: number): Box["quarantine"] {
  return patch === null ? undefined : { sinceMs: nowMs, reason: patch.reason };
}

function sorted(box: Box): unknown {
  return Object.entries({ ...box, labels: Object.entries(box.labels).sort() }).sort();
}

function saved(next: Box, before: Box): Outcome<Box> {
  if (next === before) return { answer: before };
  return { answer: next, puts: [putOf(keyOf(boxes, next.id), next)], wakes: [boxTopic(next.id)] };
}

function keysOf(box: Box | undefined): readonly BoxKey[] {
  if (box === undefined) return [];
  return box.nextKey === undefined ? [box.key] : [box.key, box.nextKey];
}
