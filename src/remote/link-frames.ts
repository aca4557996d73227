import { encodeControl, type FrameBody } from "./frame.ts";

/** What the link itself says: without numbers, and never again. */
export interface LinkFrames {
  say(body: FrameBody): void;
  /** The carrier takes frames again. */
  drained(): void;
  /** There is another carrier, or none. */
  restart(): void;
}

/** Of each kind the last one waits while the carrier takes no more, so that an end which asks and does not read costs nothing. */
export function createLinkFrames(post: (frame: readonly Uint8Array[]) => boolean): LinkFrames {
  const late = new Map<FrameBody["case"], FrameBody>();
  let isFull = false;

  const say = (body: FrameBody) => {
    if (isFull) late.set(body.case, body);
    else isFull = !post([encodeControl({ seq: 0, channel: 0, body })]);
  };
  const restart = () => {
    isFull = false;
    late.clear();
  };
  return {
    say,
    drained: () => {
      const bodies = [...late.values()];
      restart();
      for (const body of bodies) say(body);
    },
    restart,
  };
}
