/** Every fault that the server can be asked for, as data: the API checks arguments against it and the page draws its buttons from it. */

export interface FaultArgument {
  readonly name: string;
  readonly label: string;
  readonly type: "number" | "text" | "flag" | "choice";
  readonly initial: number | string | boolean;
  readonly min?: number;
  readonly max?: number;
  /** The argument may be left out, and then has no value. */
  readonly optional?: true;
  readonly choices?: readonly string[];
}

export interface FaultKind {
  readonly name: string;
  readonly title: string;
  /** What happens on the wire, in one sentence. */
  readonly explanation: string;
  /** `instant`: happens once. `lasting`: stays for `seconds`, for a number of `events`, or until cleared. */
  readonly lasts: "instant" | "lasting";
  readonly args: readonly FaultArgument[];
}

const seconds = (initial: number): FaultArgument => ({
  name: "seconds",
  label: "for seconds (0: until cleared)",
  type: "number",
  initial,
  min: 0,
  max: 86_400,
});
const drop: FaultArgument = { name: "drop", label: "cut who is connected", type: "flag", initial: true };

export const FAULTS = [
  {
    name: "drop",
    title: "Drop all connections",
    explanation: "Every SSE connection ends at once.",
    lasts: "instant",
    args: [{ name: "how", label: "ending", type: "choice", initial: "cut", choices: ["cut", "reset", "end"] }],
  },
  {
    name: "refuse",
    title: "Refuse with a status",
    explanation: "New connections get this HTTP status.",
    lasts: "lasting",
    args: [
      { name: "status", label: "status", type: "number", initial: 503, min: 201, max: 599 },
      seconds(10),
      {
        name: "retryAfter",
        label: "Retry-After seconds",
        type: "number",
        initial: "",
        min: 0,
        max: 1e12,
        optional: true,
      },
      drop,
    ],
  },
  {
    name: "silent",
    title: "Go silent",
    explanation: "Connections stay open and never carry another byte; who connects now stays deaf for good.",
    lasts: "lasting",
    args: [seconds(10), { name: "headers", label: "answer with headers first", type: "flag", initial: true }],
  },
  {
    name: "html",
    title: "Captive portal",
    explanation: "New connections get status 200 and an HTML page.",
    lasts: "lasting",
    args: [seconds(10), drop],
  },
  {
    name: "redirect",
    title: "Redirect elsewhere",
    explanation: "New connections are sent to another origin.",
    lasts: "lasting",
    args: [
      { name: "to", label: "address (empty: this server by its other name)", type: "text", initial: "" },
      { name: "status", label: "status", type: "number", initial: 307, min: 301, max: 308 },
      seconds(10),
      drop,
    ],
  },
  {
    name: "split",
    title: "Split at every byte",
    explanation: "The next events are sent one byte at a time.",
    lasts: "lasting",
    args: [{ name: "events", label: "events", type: "number", initial: 3, min: 1, max: 1000 }],
  },
  {
    name: "delay",
    title: "Delay events",
    explanation: "Each event leaves this much later.",
    lasts: "lasting",
    args: [{ name: "ms", label: "milliseconds", type: "number", initial: 2000, min: 1, max: 600_000 }, seconds(30)],
  },
  {
    name: "close-after-event",
    title: "Close after each event",
    explanation: "The connection ends as soon as an event was sent.",
    lasts: "lasting",
    args: [seconds(20)],
  },
  {
    name: "no-beats",
    title: "Stop the beats",
    explanation: "The comments that prove the connection stop; events go on.",
    lasts: "lasting",
    args: [seconds(30)],
  },
  {
    name: "freeze",
    title: "Freeze the receiver",
    explanation: "The RTMP server keeps its connections, takes new ones, and reads nothing more.",
    lasts: "lasting",
    args: [seconds(20)],
  },
  {
    name: "refuse-reports",
    title: "Refuse reports",
    explanation: "Events still arrive, but every report gets this status.",
    lasts: "lasting",
    args: [{ name: "status", label: "status", type: "number", initial: 503, min: 400, max: 599 }, seconds(10)],
  },
  {
    name: "commands",
    title: "Twist commands",
    explanation: "Commands arrive twice, each after the one that was sent later, or a second after their deadline.",
    lasts: "lasting",
    args: [
      { name: "how", label: "how", type: "choice", initial: "twice", choices: ["twice", "swapped", "late"] },
      seconds(30),
    ],
  },
  {
    name: "lose-state",
    title: "Lose all state",
    explanation: "A new epoch with an empty set, as after a server that lost its disk.",
    lasts: "instant",
    args: [drop],
  },
  {
    name: "retry",
    title: "Silly retry",
    explanation: "Tells clients to reconnect after this many milliseconds, then ends.",
    lasts: "instant",
    args: [{ name: "value", label: "retry:", type: "text", initial: "0" }, drop],
  },
  {
    name: "garbage",
    title: "Garbage bytes",
    explanation: "Random bytes in the middle of the stream.",
    lasts: "instant",
    args: [{ name: "bytes", label: "bytes", type: "number", initial: 512, min: 1, max: 1e7 }],
  },
  {
    name: "huge",
    title: "Huge event",
    explanation: "One event of this size.",
    lasts: "instant",
    args: [{ name: "megabytes", label: "megabytes", type: "number", initial: 10, min: 0.001, max: 200 }],
  },
  {
    name: "wrong-type",
    title: "Wrong types",
    explanation: "JSON that parses and makes no sense: numbers, lists, fields of the wrong type.",
    lasts: "instant",
    args: [],
  },
  {
    name: "invalid-json",
    title: "Invalid JSON",
    explanation: "Events whose data does not parse.",
    lasts: "instant",
    args: [],
  },
  {
    name: "deep",
    title: "Deep nesting",
    explanation: "JSON with lists in lists in lists.",
    lasts: "instant",
    args: [{ name: "depth", label: "levels", type: "number", initial: 20_000, min: 1, max: 1e6 }],
  },
] as const satisfies readonly FaultKind[];

export type FaultName = (typeof FAULTS)[number]["name"];
export type FaultValues = Readonly<Record<string, number | string | boolean | undefined>>;

export function findFault(name: string): ((typeof FAULTS)[number] & FaultKind) | undefined {
  return FAULTS.find((fault) => fault.name === name);
}
