import type { z } from "zod";
import type { Clock } from "../../base/clock.ts";
import type { CopyItem } from "../../contract/transfer/assignment.ts";
import { pathBytes } from "../../contract/transfer/path-text.ts";
import type { Preserved } from "../../contract/transfer/sync-request.ts";
import type { ResultFailure, ResultItem } from "../../contract/transfer/transfer-result.ts";
import { fault, toFault } from "../fault.ts";
import { createAbsentNames } from "../storage/absent-names.ts";
import type { BulkFiles } from "../storage/bulk-file.ts";
import { type Descent, splitPath } from "../storage/jail.ts";
import { createNotedDescent } from "../storage/made-directories.ts";
import { itemKey, openStaging, type Staging, scratchOf, stagedName, type UnitClaim } from "../storage/staging.ts";
import { requireUnreserved } from "../storage/storage.ts";
import { createTargetPaths } from "../storage/target-paths.ts";
import type { JournalRecord } from "../storage/unit-journal.ts";
import { bondOfSame, unbindDataHead } from "../wire/bound-answer.ts";
import type { DialledLink } from "../wire/data-dial.ts";
import { DATA_HEAD_BYTES, FRAME, FRAME_HEAD_BYTES, jsonFrame, readDataHead } from "../wire/frames.ts";
import { createItemHash, isTagged, tagKeyOf } from "../wire/item-hash.ts";
import { failedSchema, itemsMessage, parseBody, refusalSchema, sameSchema, type Want } from "../wire/link-messages.ts";
import type { Pace } from "../wire/pace.ts";
import { finishNamed } from "./finish-named.ts";
import { createPatcher } from "./patch-piece.ts";
import { placeNonFile } from "./place-non-file.ts";
import { findPresent, type PresentFile } from "./present-file.ts";
import { failureOf } from "./publish-files.ts";
import { createPublishGroups } from "./publish-groups.ts";
import { isPublished, syncNames } from "./published.ts";
import { createPackReceiver } from "./receive-packs.ts";
import { hashRange, openStagedFile, type Piece, type StagedFile, type StagedProof } from "./staged-file.ts";
import type { VerifyDeps, VerifyLevel } from "./verify-file.ts";

export interface ReceiveTask {
  readonly requestId: string;
  readonly unit: string;
  /** Of `stagingAttempt`. */
  readonly attempt: number;
  /** Of the destination in its storage, as path text. */
  readonly place: string;
  readonly items: readonly CopyItem[];
  /** Of them, those that are settled. */
  readonly skips: ReadonlySet<CopyItem>;
  readonly verify: VerifyLevel;
  /** Of the transfer's marks. */
  readonly key: string;
  readonly preserve: readonly Preserved[];
}

export interface ReceiveDeps extends VerifyDeps {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly bulkFiles: BulkFiles;
  /** Root of the destination's storage, held open. */
  readonly root: number;
  /** Opens what brings the bytes. Called only when there are some to bring. */
  readonly open: () => Promise<Pick<DialledLink, "link" | "worker">>;
  readonly pace: Pick<Pace, "take">;
  /** That the pace lets be under way on the connection, now. */
  readonly windowBytes: () => number;
  readonly signal: AbortSignal;
  /** That came over the network, or were proved to be there. */
  readonly onBytes: (bytes: number) => void;
}

/** Filled while it goes on: what is done stays done, whatever ends it. */
export interface ReceiveOutcome {
  readonly items: ResultItem[];
  readonly failures: ResultFailure[];
}

/** Of one item. */
interface DataPiece extends Piece {
  readonly index: number;
  readonly isPatch: boolean;
  readonly isLast: boolean;
}

interface Incoming {
  readonly item: CopyItem;
  readonly target: readonly Buffer[];
  /** `itemKey`, once it is needed: it is wanted for each piece. */
  key: string | undefined;
  staged: StagedFile | undefined;
  present: PresentFile | undefined;
  /** Of its range, which lies staged whole, but was marked with a key that this transfer has not. */
  restaged: string | undefined;
}

/**
 * Brings all items of one lease to the destination. Rejects with `fenced`, `unreachable` or the signal's reason when it cannot
 * go on; what is wrong with one item is told in the outcome, and the others go on.
 */
export async function receiveItems(task: ReceiveTask, outcome: ReceiveOutcome, deps: ReceiveDeps): Promise<void> {
  const staging = openStaging(deps.root, task.requestId);
  try {
    const claim = staging.claim(task.unit, task.attempt);
    const descent = createNotedDescent(deps.root, staging.directory);
    const told = outcome.items.length;
    try {
      try {
        await receive(task, outcome, deps, { staging, claim, descent });
      } finally {
        // Whatever ended it: what was done by then is told.
        syncNames(descent, outcome, told);
      }
    } finally {
      descent.close();
      claim.close();
    }
  } finally {
    staging.close();
  }
}

interface Held {
  readonly staging: Staging;
  readonly claim: UnitClaim;
  readonly descent: Descent;
}

async function receive(task: ReceiveTask, outcome: ReceiveOutcome, deps: ReceiveDeps, held: Held): Promise<void> {
  const { staging, claim, descent } = held;
  const { items, preserve } = task;
  const { signal } = deps;
  const targetOf = createTargetPaths(splitPath(pathBytes(task.place)));
  const isSparse = preserve.includes("sparse");
  const incoming = new Map<number, Incoming>();
  const addPatched = createPatcher();
  /** Of the link, once there is one. */
  let isSealed = false;

  const fail = (item: CopyItem, thrown: unknown, source?: string) =>
    void outcome.failures.push({
      ...failureOf(item, thrown),
      ...(source === undefined ? {} : { source_worker: source }),
    });
  const groups = createPublishGroups({
    ...deps,
    claim,
    descent,
    verify: task.verify,
    key: task.key,
    preserve,
    done: (item) => void outcome.items.push(item),
    failed: (failure) => void outcome.failures.push(failure),
  });
  const complete = async ({ item, target }: Pick<Incoming, "item" | "target">, staged: StagedFile) => {
    const key = itemKey(item);
    const record = { key, ino: staged.ino };
    groups.gather({ item, name: stagedName(key), record, staged, target: isWhole(item) ? target : undefined });
    await groups.publishFull();
  };
  const open = ({ item }: Incoming, proved: StagedProof | undefined = claim.journal.of(itemKey(item))) => {
    const whole = isWhole(item);
    return openStagedFile({
      place: whole
        ? { directory: claim.directory, name: stagedName(itemKey(item)) }
        : { directory: staging.directory, name: staging.partialName(item) },
      offset: whole ? 0 : item.offset,
      length: item.length,
      key: task.key,
      proved,
      isSparse,
      isWhole: whole,
      bulkFiles: deps.bulkFiles,
      isElsewhere: () => isSealed,
    });
  };

  const absent = createAbsentNames(descent);
  const isStagedFile = ({ bytes, ino, sha256 }: JournalRecord, target: readonly Buffer[]) =>
    isPublished({ bytes, ino }, target, descent, async (fd) => {
      const running = createItemHash({ length: bytes, key: task.key });
      return (await hashRange(fd, { offset: 0, length: bytes }, running)) && running.digest() === sha256;
    });
  /** A request that was forgotten and asked for again has other marks: the digest that it would have now. */
  const stagedUnderOtherKey = async (record: JournalRecord, { fd, ino }: StagedFile, item: CopyItem) => {
    if (isWhole(item) || record.bytes !== item.length || record.ino !== ino) return undefined;
    const running = createItemHash({ length: item.length, key: task.key });
    return (await hashRange(fd, item, running, signal)) ? running.digest() : undefined;
  };
  /** What has to be asked for, if anything. */
  const prepare = async (index: number, item: CopyItem): Promise<Want["wants"][number] | undefined> => {
    const target = targetOf(item.entry.path);
    requireUnreserved(target);
    if (item.entry.type !== "file") {
      const sha256 = placeNonFile(item.entry, target, { claim, descent, preserve });
      outcome.items.push({ path: item.entry.path, offset: 0, length: 0, sha256 });
      return undefined;
    }
    const one: Incoming = { item, target, key: undefined, staged: undefined, present: undefined, restaged: undefined };
    const record = claim.journal.isEmpty() ? undefined : claim.journal.of(itemKey(item));
    if (record?.bytes === item.length && isWhole(item) && (await isStagedFile(record, target))) {
      // A crash came between its name and the answer.
      const named = { ...deps, ...task, descent, scratch: scratchOf(claim, "named") };
      const sha256 = await finishNamed(item, target, named);
      outcome.items.push({ path: item.entry.path, offset: 0, length: item.length, sha256 });
      return undefined;
    }
    if (record !== undefined) {
      one.staged = await open(one);
      deps.onBytes(one.staged.bytes());
      if (one.staged.bytes() === item.length) {
        await complete(one, one.staged);
        return undefined;
      }
      if (one.staged.bytes() === 0) {
        one.restaged = await stagedUnderOtherKey(record, one.staged, item);
        await one.staged.close();
        one.staged = undefined;
      }
    }
    const from = one.staged?.bytes() ?? 0;
    if (one.restaged === undefined && !absent.has(target)) {
      one.present = await findPresent(item, target, { descent, key: task.key, from });
    }
    incoming.set(index, one);
    if (one.restaged !== undefined) return [index, from, one.restaged];
    if (one.present === undefined) return [index, from];
    const { digest = "", tags } = one.present;
    return tags === undefined ? [index, from, digest] : [index, from, digest, tags.toString("base64")];
  };

  const bindKey = tagKeyOf(task.key);
  const takeData = async (head: DataPiece, body?: Buffer) => {
    const one = incoming.get(head.index);
    // Its failure has been told: the rest of it is of no use.
    if (one === undefined) return;
    try {
      claim.requireHeld();
      if (body !== undefined && isTagged(one.item.length)) unbindDataHead(body, bindKey);
      one.staged ??= await open(one);
      await (head.isPatch ? addPatched(one, one.staged, head) : one.staged.add(head));
      deps.onBytes(head.length);
      const { staged, item } = one;
      // What is told to have been taken does not come again after a crash; short items come at once, and are journalled in groups.
      if (isTagged(item.length)) {
        one.key ??= itemKey(item);
        claim.journal.append([{ key: one.key, bytes: staged.bytes(), sha256: staged.digest(), ino: staged.ino }]);
      }
      if (!head.isLast) return;
      incoming.delete(head.index);
      one.present?.close();
      if (staged.bytes() !== item.length) throw fault("corrupt", "the peer ended a file before its end");
      await complete(one, staged);
    } catch (thrown) {
      await drop(head.index, one, thrown);
    }
  };
  const stagePack = createPackReceiver({ claim, key: task.key, verify: task.verify, preserve });
  const takePack = async (body: Buffer) => {
    const pack = stagePack(body, (index) => {
      const one = incoming.get(index);
      return one !== undefined && one.staged === undefined && isWhole(one.item) ? one.item : undefined;
    });
    for (const { index, name, file } of pack.staged) {
      const one = incoming.get(index);
      if (one === undefined) continue;
      incoming.delete(index);
      one.present?.close();
      groups.gather({ item: one.item, name, record: undefined, staged: file, target: one.target });
      deps.onBytes(one.item.length);
    }
    for (const { index, thrown } of pack.broken) {
      const one = incoming.get(index);
      if (one !== undefined) await drop(index, one, thrown);
    }
    for (const { index, bytes } of pack.others) {
      const flags = { isZero: false, isPatch: false, isLast: true };
      await takeData({ index, at: 0, length: bytes.length, ...flags, digest: undefined, bytes });
    }
    await groups.publishFull();
    // Packs that have come would all be taken before anything else of this process is heard: the next lease, too.
    await new Promise<void>((resolve) => setImmediate(resolve));
  };
  const drop = async (index: number, one: Incoming, thrown: unknown, source?: string) => {
    incoming.delete(index);
    one.present?.close();
    await one.staged?.close();
    claim.requireHeld();
    fail(one.item, thrown, source);
    // Nothing else would fit either: it need not come.
    if (source === undefined && ["no-space", "read-only"].includes(toFault(thrown).code)) throw thrown;
  };
  const takeSame = async ({ index, sha256, bond }: z.output<typeof sameSchema>) => {
    const one = incoming.get(index);
    // A number alone could become another on its way; and what is there as well may be there under several names.
    const isBound = bond === undefined || bond === bondOfSame({ index, sha256 }, bindKey);
    if (one === undefined || !isBound || (one.present?.digest ?? one.restaged) !== sha256)
      throw fault("corrupt", "the peer says that something is the same that was not asked");
    const { item, present } = one;
    incoming.delete(index);
    try {
      claim.requireHeld();
      if (present === undefined) {
        const staged = await open(one, { bytes: item.length, sha256 });
        one.staged = staged;
        if (staged.bytes() !== item.length) throw fault("io", `${item.entry.path} changed while it was compared`);
        await complete(one, staged);
      } else if (isWhole(item)) {
        const { runProgram, pid } = deps;
        await one.staged?.close();
        // Others of the lease are published meanwhile.
        await present.keep(preserve, { runProgram, pid, scratch: scratchOf(claim, "kept") });
        outcome.items.push({ path: item.entry.path, offset: 0, length: item.length, sha256: present.sha256 });
      } else {
        one.staged ??= await open(one);
        const { staged } = one;
        await present.copyTo(staged);
        if (staged.digest() !== present.digest) throw fault("io", `${item.entry.path} changed while it was compared`);
        await complete(one, staged);
      }
      deps.onBytes(item.length);
    } catch (thrown) {
      await drop(index, one, thrown);
    }
  };

  try {
    const wants: Want["wants"] = [];
    for (const [index, item] of items.entries()) {
      signal.throwIfAborted();
      if (task.skips.has(item)) continue;
      try {
        const want = await prepare(index, item);
        if (want !== undefined) wants.push(want);
      } catch (thrown) {
        fail(item, thrown);
      }
    }
    if (wants.length > 0) {
      const { link, worker } = await deps.open();
      isSealed = link.isSealed;
      const paced = (bytes: number) => link.waitFor(deps.pace.take(bytes, signal));
      const onAbort = () => link.close(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        signal.throwIfAborted();
        link.send(jsonFrame(FRAME.items, itemsMessage(items))).catch(() => undefined);
        const want: Want = { wants, sparse: isSparse, key: task.key, window: deps.windowBytes(), binds: true };
        link.send(jsonFrame(FRAME.want, want)).catch(() => undefined);
        for (;;) {
          const frame = await link.next();
          if (frame === undefined) throw fault("unreachable", "the peer ended before it had sent everything");
          try {
            if (frame.type === FRAME.end) break;
            if (frame.type === FRAME.data) {
              await paced(frame.body.length);
              await takeData(readDataHead(frame.body), frame.body);
              // Holes are not waited for.
              if (frame.body.length > DATA_HEAD_BYTES) link.took(FRAME_HEAD_BYTES + frame.body.length);
            } else if (frame.type === FRAME.pack) {
              await paced(frame.body.length);
              await takePack(frame.body);
              link.took(FRAME_HEAD_BYTES + frame.body.length);
            } else if (frame.type === FRAME.same) {
              await takeSame(parseBody(sameSchema, frame.body, "answer"));
            } else if (frame.type === FRAME.failed) {
              const { index, code, message } = parseBody(failedSchema, frame.body, "answer");
              const one = incoming.get(index);
              if (one !== undefined) await drop(index, one, fault(code, `at the source, ${message}`), worker);
            } else if (frame.type === FRAME.refused) {
              const { code, message } = parseBody(refusalSchema, frame.body, "refusal");
              throw fault(code, message);
            } else throw fault("corrupt", `the peer sent a frame of type ${frame.type} where it should send data`);
          } finally {
            frame.release();
          }
        }
        for (const [index, one] of incoming) await drop(index, one, fault("corrupt", "the peer left it out"));
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    }
    await groups.publish();
  } finally {
    await groups.close();
    for (const one of incoming.values()) {
      one.present?.close();
      await one.staged?.close();
    }
  }
  groups.throwIfFailed();
  claim.requireHeld();
}

export function isWhole({ entry, offset, length }: CopyItem): boolean {
  return offset === 0 && length === entry.size;
}
