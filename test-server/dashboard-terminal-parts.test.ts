import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { TERMINAL_PROTOCOL, TERMINAL_WINDOW_BYTES, type TerminalTold } from "../src/contract/fleet/remote-terminal.ts";
import { describeOperation, remoteOperationSchema } from "../src/contract/remote/operation.ts";

function load(file: string) {
  return import(pathToFileURL(resolve(import.meta.dirname, "../public/dashboard", file)).href);
}
const link = await load("terminal-link.js");
const { createKeptShell } = await load("kept-shell.js");
const { parseCast, shortenPauses } = await load("cast.js");
const { createCastPlayer } = await load("cast-player.js");
const { clockOf, operationText, shellEndText } = await load("remote-text.js");

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** The hub's end of one connection of a page. */
class FakeSocket {
  readonly sent: (string | Uint8Array)[] = [];
  readyState = 0;
  isClosed = false;
  onopen: (() => void) | null = null;
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null = null;

  send(message: string | Uint8Array) {
    this.sent.push(message);
  }
  close() {
    this.isClosed = true;
  }
  accept() {
    this.readyState = 1;
    this.onopen?.();
  }
  tell(message: TerminalTold) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  show(bytes: number) {
    this.onmessage?.({ data: new ArrayBuffer(bytes) });
  }
  end(code: number, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
  said(type: string): unknown[] {
    const texts = this.sent.filter((message) => typeof message === "string").map((message) => JSON.parse(message));
    return texts.filter((message) => message.type === type);
  }
  typed(): string {
    return Buffer.concat(this.sent.filter((message) => typeof message !== "string")).toString();
  }
}

const READY = {
  type: "ready",
  id: "t1",
  session: "s1",
  box: "north-1",
  received: 0,
  start: 0,
  end: 0,
  isRecorded: false,
} as const;

function openLink(known?: string) {
  const sockets: FakeSocket[] = [];
  /** Called once its piece can be seen. */
  const shown: (() => void)[] = [];
  const made = link.createTerminalLink({
    wish: { box: "north-1" },
    known,
    connect: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
    facts: () => ({ token: "secret", cols: 80, rows: 24 }),
    onOutput: (_bytes: Uint8Array, done: () => void) => shown.push(done),
    onChange: () => undefined,
  });
  const last = () => {
    const socket = sockets.at(-1);
    if (socket === undefined) throw new Error("nothing was connected");
    return socket;
  };
  return { made, sockets, shown, last };
}

function openedLink() {
  const opened = openLink();
  opened.last().accept();
  opened.last().tell(READY);
  return opened;
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

test("the page and the hub mean the same protocol and the same window", () => {
  expect([link.TERMINAL_PROTOCOL, link.WINDOW_BYTES]).toEqual([TERMINAL_PROTOCOL, TERMINAL_WINDOW_BYTES]);
});

test("a page acknowledges what can be seen, at half of the window, and all of it at the end", () => {
  const { made, shown, last } = openedLink();
  expect(last().said("open")).toEqual([{ type: "open", box: "north-1", token: "secret", cols: 80, rows: 24 }]);
  last().show(TERMINAL_WINDOW_BYTES / 2 - 1);
  last().show(1);
  shown[0]?.();
  expect(last().said("ack")).toEqual([]);
  shown[1]?.();
  expect(last().said("ack")).toEqual([{ type: "ack", received: TERMINAL_WINDOW_BYTES / 2 }]);
  last().show(5);
  last().tell({ type: "exit", code: 3, verified: true });
  shown[2]?.();
  expect(last().said("ack").at(-1)).toEqual({ type: "ack", received: TERMINAL_WINDOW_BYTES / 2 + 5 });
  last().end(1000);
  expect(made.state).toMatchObject({ phase: "over", exit: { code: 3 } });
  expect(made.state.error).toBeUndefined();
});

test("a page that was away says what it has, and sends what has not arrived, once", async () => {
  const { made, sockets, last } = openedLink();
  made.type(bytesOf("one "));
  last().tell({ type: "ack", received: 4 });
  made.type(bytesOf("two "));
  last().show(7);
  last().end(1006);
  expect(made.state.phase).toBe("away");
  made.type(bytesOf("three"));
  await vi.advanceTimersByTimeAsync(300);
  expect(sockets).toHaveLength(2);
  last().accept();
  expect(last().said("resume")).toEqual([
    { type: "resume", id: "t1", received: 7, token: "secret", cols: 80, rows: 24 },
  ]);
  // Two of its bytes had arrived all the same.
  last().tell({ ...READY, received: 6 });
  expect(last().typed()).toBe("o three");
  expect(made.state.phase).toBe("open");
});

test("a page that was loaded anew goes on with its shell, and answers nothing that the page before it has answered", () => {
  const { made, shown, last } = openLink("t1");
  last().accept();
  expect(last().said("resume")).toEqual([{ type: "resume", id: "t1", token: "secret", cols: 80, rows: 24 }]);
  last().tell({ ...READY, received: 40, start: 100, end: 160 });
  expect(made.state).toMatchObject({ phase: "open", id: "t1" });
  last().show(60);
  made.type(bytesOf("\x1b[1;1R"));
  shown[0]?.();
  made.type(bytesOf("ls"));
  expect(last().typed()).toBe("ls");
  last().tell({ type: "ack", received: 42 });
  last().end(1006);
  vi.advanceTimersByTime(300);
  last().accept();
  expect(last().said("resume")).toMatchObject([{ received: 160 }]);
  last().tell({ ...READY, received: 42, start: 160, end: 160 });
  expect(last().typed()).toBe("");
});

test("a tab keeps its shell for the page of the same box, once, until it is over", () => {
  const stored = new Map<string, string>();
  const shell = createKeptShell({
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => stored.set(key, value),
    removeItem: (key: string) => stored.delete(key),
  });
  shell.set("north-1", "t1");
  expect(shell.take("south-1")).toBeUndefined();
  shell.set("north-1", "t1");
  expect([shell.take("north-1"), shell.take("north-1")]).toEqual(["t1", undefined]);
  shell.set("north-1", "t1");
  shell.set("north-1", undefined);
  expect([shell.take("north-1"), stored.size]).toEqual([undefined, 0]);
});

test("a hub that says nothing for 25 s is left, and one that has no such shell any more is believed", async () => {
  const { made, sockets, last } = openedLink();
  await vi.advanceTimersByTimeAsync(20_000);
  last().tell({ type: "beat" });
  await vi.advanceTimersByTimeAsync(20_000);
  expect(made.state.phase).toBe("open");
  await vi.advanceTimersByTimeAsync(5000);
  expect([made.state.phase, sockets[0]?.isClosed]).toEqual(["away", true]);
  await vi.advanceTimersByTimeAsync(300);
  // Its store is away for a moment.
  last().accept();
  last().end(4503, "busy");
  expect(made.state.phase).toBe("away");
  await vi.advanceTimersByTimeAsync(2000);
  last().accept();
  last().tell({ type: "error", code: "not-found", message: "there is no terminal t1" });
  last().end(4404, "there is no terminal t1");
  expect(made.state).toMatchObject({ phase: "over", error: expect.stringContaining("away from the hub for too long") });
});

test("what is refused is told in the words of who refused it, and is not tried again", async () => {
  const { made, sockets, last } = openedLink();
  const message = "policy.remote.shell: given true; allowed: false";
  last().tell({ type: "error", code: "refused", message });
  last().end(4403, message);
  expect(made.state).toMatchObject({ phase: "over", error: message });
  expect(made.type(bytesOf("x"))).toBe(false);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sockets).toHaveLength(1);
});

test("who hangs up says so, and a hub that cannot be reached at first is not tried for ever", async () => {
  const { made, last } = openedLink();
  made.end();
  expect([made.state.phase, last().said("end")]).toEqual(["over", [{ type: "end" }]]);
  const other = openLink();
  other.last().end(1006);
  expect(other.made.state).toMatchObject({ phase: "over", error: expect.stringContaining("cannot be reached") });
});

const CAST = [
  '{"version":2,"width":80,"height":24,"title":"anna on north-1"}',
  '[0.5,"o","one "]',
  '[1,"r","100x30"]',
  '[1,"o","two "]',
  '[9,"o","three"]',
  '[9.5,"o","cu',
].join("\n");

test("a recording is read as far as it goes, and what is none is refused", () => {
  const { width, events } = parseCast(CAST);
  expect([width, events.length, events.at(-1)]).toEqual([80, 4, { at: 9, kind: "o", data: "three" }]);
  expect(shortenPauses(events).map(({ at }: { at: number }) => at)).toEqual([0.5, 1, 1, 3]);
  expect(() => parseCast("{}")).toThrow("no recording");
  expect(() => parseCast("<html>")).toThrow("no recording");
});

/** What a screen shows: everything since it was cleared, with its sizes. */
function fakeScreen() {
  let text = "";
  return {
    text: () => text,
    write: (data: string, done: () => void) => {
      text += data;
      queueMicrotask(done);
    },
    clear: () => {
      text = "";
    },
    fix: ({ cols }: { readonly cols: number }) => {
      text += `<${cols}>`;
    },
  };
}

test("a recording is played in its time, sought to and fro, and never shows anything twice", async () => {
  const screen = fakeScreen();
  const player = createCastPlayer({
    cast: parseCast(CAST),
    screen,
    onChange: () => undefined,
    nowMs: () => Date.now(),
  });
  void player.play();
  await vi.advanceTimersByTimeAsync(1100);
  expect(screen.text()).toBe("<80>one <100>two ");
  await player.seek(0.7);
  expect(screen.text()).toBe("<80>one ");
  player.setSpeed(8);
  await vi.advanceTimersByTimeAsync(1200);
  expect(screen.text()).toBe("<80>one <100>two three");
  expect(player.state).toMatchObject({ at: 9, isPlaying: false });
  player.shorten(true);
  expect(player.state).toMatchObject({ at: 3, seconds: 3 });
  // Of three wishes at once the last counts.
  await Promise.all([player.seek(0), player.seek(2.9), player.seek(1)]);
  expect(screen.text()).toBe("<80>one <100>two ");
  player.close();
});

test("operations are called what the audit log calls them", () => {
  const operations = [
    { kind: "shell", user: "bob", cwd: "/srv" },
    { kind: "attach", session: "s1" },
    {
      kind: "forward",
      targets: [
        { protocol: "tcp", host: "fd00::1", from: 80, to: 80 },
        { protocol: "udp", host: "cam", from: 5, to: 9 },
      ],
    },
    {
      kind: "session",
      session: "kiosk",
      ports: [
        { port: 80, protocol: "tcp" },
        { port: 53, protocol: "udp" },
      ],
    },
    { kind: "rsync", argv: ["rsync", "--server", "."] },
  ].map((operation) => remoteOperationSchema.parse(operation));
  for (const operation of operations) expect(operationText(operation)).toBe(describeOperation(operation));
});

test.each([
  [{ code: 3, verified: true }, "The shell has ended with exit code 3."],
  [{ signal: "KILL", verified: false }, "The shell was ended by signal KILL. Some of what it wrote is missing."],
])("an end %o is told as %s", (exit, text) => {
  expect(shellEndText(exit)).toBe(text);
});

test("times of a recording are told as clocks tell them", () => {
  expect([0, 65, 3661].map(clockOf)).toEqual(["0:00", "1:05", "1:01:01"]);
});
