import type { ConnectionTap } from "../balancer.ts";

/** What one box was sent, over all its connections and whichever hub they led to. */
export interface BoxHistory {
  /** Of the last event that carried one: what the box has to come back with. */
  readonly cursor: string | undefined;
  readonly revision: number;
  /** Whole sets. The first contact needs one; another one means that a cursor did not carry over. */
  readonly snapshots: number;
  readonly changes: number;
  readonly connections: number;
  /** How often each command was sent, by its id. */
  readonly commands: ReadonlyMap<string, number>;
}

/** Reads along on what hubs send to their boxes, and says where a revision is missing, comes twice, or a cursor is lost. */
export interface RevisionWatch {
  tap(): ConnectionTap;
  of(boxId: string): BoxHistory | undefined;
  /** One sentence each; empty while all holds. */
  faults(): readonly string[];
}

interface History {
  cursor: string | undefined;
  revision: number;
  snapshots: number;
  changes: number;
  connections: number;
  readonly commands: Map<string, number>;
}

const ASKS = /GET \/v1\/boxes\/([^/ ]+)\/events HTTP\/1\.1\r\n([\s\S]*?)\r\n\r\n/;
/** Longest part of a request that may still become a question for events. */
const KEEP_CHARACTERS = 16 * 1024;

export function createRevisionWatch(): RevisionWatch {
  const boxes = new Map<string, History>();
  const faults: string[] = [];

  const begin = (boxId: string, lastEventId: string | undefined): History => {
    const known = boxes.get(boxId);
    const history: History = known ?? {
      cursor: undefined,
      revision: 0,
      snapshots: 0,
      changes: 0,
      connections: 0,
      commands: new Map(),
    };
    boxes.set(boxId, history);
    history.connections++;
    if (lastEventId !== history.cursor) {
      faults.push(`${boxId} came back with the cursor ${lastEventId} after it was sent ${history.cursor}`);
    }
    return history;
  };

  const take = (boxId: string, history: History, block: string): void => {
    const name = /^event: (\S+)/m.exec(block)?.[1];
    const id = /^id: (\S+)/m.exec(block)?.[1];
    if (name === "command") {
      const command = /^data: .*?"id":"([^"]+)"/m.exec(block)?.[1] ?? "";
      const times = (history.commands.get(command) ?? 0) + 1;
      history.commands.set(command, times);
      if (times > 1) faults.push(`${boxId} was sent the command ${command} ${times} times`);
      return;
    }
    if (name === undefined || id === undefined) return;
    const revision = revisionOf(id);
    if (name === "expected") {
      history.snapshots++;
      if (history.snapshots > 1) faults.push(`${boxId} was sent its whole set ${id} again after ${history.cursor}`);
    } else if (name === "ready") {
      if (id !== history.cursor)
        faults.push(`${boxId} was told that it is up to date at ${id}, but is at ${history.cursor}`);
    } else if (name === "change") {
      history.changes++;
      const follows = epochOf(id) === epochOf(history.cursor ?? "") && revision === history.revision + 1;
      if (!follows) faults.push(`${boxId} was sent ${id} after ${history.cursor}`);
    } else return;
    history.cursor = id;
    history.revision = revision;
  };

  return {
    tap: () => {
      let asked = "";
      let sent = "";
      let boxId = "";
      let history: History | undefined;
      return {
        toServer: (bytes) => {
          if (history !== undefined) return;
          asked = (asked + bytes.toString("latin1")).slice(-KEEP_CHARACTERS);
          const [, id, headers = ""] = ASKS.exec(asked) ?? [];
          if (id === undefined) return;
          boxId = id;
          history = begin(id, /^last-event-id: (.+)$/im.exec(headers)?.[1]?.trim());
        },
        toClient: (bytes) => {
          if (history === undefined) return;
          sent += bytes.toString("latin1");
          for (let end = sent.indexOf("\n\n"); end >= 0; end = sent.indexOf("\n\n")) {
            take(boxId, history, sent.slice(0, end));
            sent = sent.slice(end + 2);
          }
        },
      };
    },
    of: (boxId) => boxes.get(boxId),
    faults: () => faults,
  };
}

function epochOf(id: string): string {
  return id.slice(0, id.lastIndexOf("."));
}

function revisionOf(id: string): number {
  return Number(id.slice(id.lastIndexOf(".") + 1));
}
