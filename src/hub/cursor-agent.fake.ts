import { systemClock } from "../base/clock.ts";
import { type EventClient, openEvents } from "./box-client.fake.ts";

/** An agent as far as cursors go: what it heard, in order, over whichever hub is there. */
export interface CursorAgent {
  /** One sentence for each change that did not follow the one before it. */
  readonly faults: readonly string[];
  cursor(): string | undefined;
  /** Event streams that it has had. */
  connections(): number;
  stop(): Promise<void>;
}

export interface CursorAgentOptions {
  readonly boxId: string;
  readonly key: () => string;
  /** It takes them in turn. */
  readonly origins: () => readonly string[];
}

const LOOK_MS = 20;
const RETRY_MS = 100;

/** Follows the box's events from the cursor on, again and again, until it is stopped. */
export function startCursorAgent({ boxId, key, origins }: CursorAgentOptions): CursorAgent {
  const faults: string[] = [];
  let last: { readonly epoch: string; readonly revision: number } | undefined;
  let cursor: string | undefined;
  let client: EventClient | undefined;
  let connections = 0;
  let isOver = false;

  const take = (name: string, id: string | undefined) => {
    if (id === undefined || name === "ready") return;
    const [epoch = "", digits = ""] = id.split(".");
    const revision = Number(digits);
    if (name === "change" && last !== undefined && (last.epoch !== epoch || revision !== last.revision + 1)) {
      faults.push(`${boxId}: ${last.epoch}.${last.revision} was followed by ${id}`);
    }
    last = { epoch, revision };
    cursor = id;
  };
  const run = async () => {
    for (let at = 0; !isOver; at++) {
      const all = origins();
      try {
        const url = `${all[at % all.length]}/v1/boxes/${boxId}/events`;
        const open = await openEvents(url, { token: key(), lastEventId: cursor });
        client = open;
        if (open.status === 200) connections++;
        let taken = 0;
        const drain = () => {
          for (const { name, id } of open.events.slice(taken)) take(name, id);
          taken = open.events.length;
        };
        while (open.isOpen() && !isOver) {
          drain();
          await systemClock.delay(LOOK_MS);
        }
        drain();
      } catch {
        await systemClock.delay(RETRY_MS);
      }
    }
    client?.close();
  };
  const done = run();
  return {
    faults,
    cursor: () => cursor,
    connections: () => connections,
    stop: () => {
      isOver = true;
      return done;
    },
  };
}
