import type { Clock } from "../src/base/clock.ts";
import type { Random } from "../src/base/random.ts";
import type { FaultBoard } from "./faults/fault-board.ts";
import type { TestServerOptions } from "./options.ts";
import type { RtmpServer } from "./rtmp/rtmp-server.ts";
import type { ClientRoom } from "./sse/client-room.ts";
import type { CommandBook } from "./state/command-book.ts";
import type { EventLog } from "./state/event-log.ts";
import type { ExpectedSet } from "./state/expected-set.ts";
import type { ReportBook } from "./state/report-book.ts";

/** What the routes act on. */
export interface Parts {
  readonly options: TestServerOptions;
  readonly clock: Clock;
  readonly random: Random;
  readonly set: ExpectedSet;
  readonly room: ClientRoom;
  readonly board: FaultBoard;
  readonly reports: ReportBook;
  readonly commands: CommandBook;
  readonly log: EventLog;
  readonly rtmp: RtmpServer | undefined;
  /** `http://127.0.0.1:3000`; known once the server listens. */
  origin(): string;
}
