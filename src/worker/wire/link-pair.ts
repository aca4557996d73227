import { fault } from "../fault.ts";
import type { DataLink, Frame } from "./data-link.ts";
import { FRAME, FRAME_HEAD_BYTES } from "./frames.ts";

interface Inbox {
  readonly frames: Frame[];
  waiting: PromiseWithResolvers<Frame | undefined> | undefined;
}

/**
 * Both ends of a connection that never leaves this process. What one sends is what the other is given, and not a copy: of files it counts as sent
 * when the other has released it, so that no more is under way than the sender has buffers for.
 */
export function createLinkPair(): readonly [DataLink, DataLink] {
  const inboxes = [emptyInbox(), emptyInbox()] as const;
  const unreleased = new Set<(reason: Error) => void>();
  let moved = 0;
  let over: Error | undefined;

  const give = (inbox: Inbox, frame: Frame) => {
    const { waiting } = inbox;
    inbox.waiting = undefined;
    if (waiting === undefined) inbox.frames.push(frame);
    else waiting.resolve(frame);
  };
  const sendTo = (inbox: Inbox, bytes: Buffer): Promise<void> => {
    if (over !== undefined) return Promise.reject(over);
    moved += bytes.length;
    const sent = Promise.withResolvers<void>();
    let held = 0;
    const frames: Frame[] = [];
    for (let at = 0; at < bytes.length; ) {
      const type = bytes[at] ?? 0;
      const length = bytes.readUInt32BE(at + 1);
      const body = bytes.subarray(at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + length);
      at += FRAME_HEAD_BYTES + length;
      // Whatever else is said is made for once, and may be kept.
      const isLent = type === FRAME.data || type === FRAME.pack;
      let isReleased = !isLent;
      held += isLent ? 1 : 0;
      const release = () => {
        if (isReleased) return;
        isReleased = true;
        held -= 1;
        if (held > 0) return;
        unreleased.delete(sent.reject);
        sent.resolve();
      };
      frames.push({ type, body, release });
    }
    if (held === 0) sent.resolve();
    else unreleased.add(sent.reject);
    for (const frame of frames) give(inbox, frame);
    return sent.promise;
  };
  const close = (reason: Error = fault("unreachable", "the other end of the copy has ended")) => {
    if (over !== undefined) return;
    over = reason;
    for (const reject of unreleased) reject(reason);
    unreleased.clear();
    for (const inbox of inboxes) {
      inbox.frames.length = 0;
      inbox.waiting?.reject(reason);
      inbox.waiting = undefined;
    }
  };
  const endOf = (own: Inbox, other: Inbox): DataLink => ({
    next: () => {
      const frame = own.frames.shift();
      if (frame !== undefined) return Promise.resolve(frame);
      if (over !== undefined) return Promise.reject(over);
      own.waiting ??= Promise.withResolvers();
      return own.waiting.promise;
    },
    send: (bytes) => sendTo(other, bytes),
    room: () => (over === undefined ? Promise.resolve() : Promise.reject(over)),
    hold: () => undefined,
    took: () => undefined,
    waitFor: (work) => work,
    moved: () => moved,
    rest: () => undefined,
    wake: () => undefined,
    close,
    isOpen: () => over === undefined,
    isSealed: false,
  });
  const [one, other] = inboxes;
  return [endOf(one, other), endOf(other, one)];
}

function emptyInbox(): Inbox {
  return { frames: [], waiting: undefined };
}
