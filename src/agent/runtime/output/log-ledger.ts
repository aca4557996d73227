import { OUTPUT_NAMES, type OutputName } from "../../../contract/fleet/log-line.ts";

/** So many lines of a log, and the bytes that the program wrote for them or that a gap names. */
export interface LogAmount {
  readonly lines: number;
  readonly bytes: number;
}

/** Of each output by itself. */
export type LogAmounts = Readonly<Record<OutputName, LogAmount>>;

/** One file of a log, from its beginning until rotation, and longer for who has not let go of it. */
export interface LoggedFile {
  /** Files of one log are numbered in the order in which they were begun. */
  readonly number: number;
  /** What the log held before it. */
  readonly begins: LogAmounts;
  /** The same with what stands in it, once the next one has begun. */
  readonly ends: LogAmounts | undefined;
  /** So much of it is there to stay: beyond that a batch is being written. Undefined while nobody writes it. */
  readonly sizeBytes: number | undefined;
}

/**
 * What the writers of sessions' logs tell those who read them in the same process: a file that rotation has removed cannot be
 * asked any more what it held. Pages are kept for as long as somebody holds them.
 */
export interface LogLedger {
  open(path: string): LogPage;
}

export interface LogPage {
  /** Of a file that is there and not empty: a writer notes a file before its first byte, and numbers of inodes come again. */
  find(inode: number): LoggedFile | undefined;
  /** Where the log ends now. */
  now(): { readonly number: number; readonly amounts: LogAmounts };
  /** A writer is about to append to this file, which is so long. */
  begin(inode: number, sizeBytes: number): void;
  /** The file that was begun last has become so long. */
  add(sizeBytes: number, amounts: LogAmounts): void;
  close(): void;
}

/** More than any log keeps. */
const MAX_FILES = 128;

interface NotedFile extends LoggedFile {
  readonly inode: number;
  ends: LogAmounts | undefined;
  sizeBytes: number | undefined;
}

interface Page {
  holders: number;
  amounts: LogAmounts;
  readonly files: NotedFile[];
}

export function createLogLedger(): LogLedger {
  const pages = new Map<string, Page>();
  return {
    open: (path) => {
      const page = pages.get(path) ?? { holders: 0, amounts: NO_AMOUNTS, files: [] };
      pages.set(path, page);
      page.holders++;
      let isHeld = true;
      return {
        ...openPage(page),
        close: () => {
          if (isHeld) page.holders--;
          isHeld = false;
          if (page.holders === 0 && pages.get(path) === page) pages.delete(path);
        },
      };
    },
  };
}

function openPage(page: Page): Omit<LogPage, "close"> {
  const { files } = page;
  const note = (inode: number, sizeBytes: number | undefined): NotedFile => {
    const last = files.at(-1);
    if (last !== undefined) last.ends = page.amounts;
    const file = { inode, number: (last?.number ?? 0) + 1, begins: page.amounts, ends: undefined, sizeBytes };
    files.push(file);
    if (files.length > MAX_FILES) files.shift();
    return file;
  };
  return {
    // What was there before anybody wrote here: who reads it now may be behind once somebody does.
    find: (inode) => (files.length === 0 ? note(inode, undefined) : files.findLast((file) => file.inode === inode)),
    now: () => ({ number: files.at(-1)?.number ?? 0, amounts: page.amounts }),
    begin: (inode, sizeBytes) => {
      const last = files.at(-1);
      const isAnother = last?.inode !== inode || (sizeBytes === 0 && (last.sizeBytes ?? 1) > 0);
      if (last === undefined || isAnother) note(inode, sizeBytes);
      else last.sizeBytes = sizeBytes;
    },
    add: (sizeBytes, amounts) => {
      page.amounts = sumOf(page.amounts, amounts);
      const last = files.at(-1);
      if (last !== undefined) last.sizeBytes = sizeBytes;
    },
  };
}

export const NO_AMOUNTS: LogAmounts = { stdout: { lines: 0, bytes: 0 }, stderr: { lines: 0, bytes: 0 } };

export function sumOf(one: LogAmounts, other: LogAmounts): LogAmounts {
  return combined(one, other, (left, right) => left + right);
}

/** What `one` has more than `other`. */
export function differenceOf(one: LogAmounts, other: LogAmounts): LogAmounts {
  return combined(one, other, (left, right) => left - right);
}

/** Of one output, or of both together. */
export function amountOf(amounts: LogAmounts, output?: OutputName): LogAmount {
  const chosen = OUTPUT_NAMES.filter((name) => output === undefined || name === output);
  return {
    lines: chosen.reduce((sum, name) => sum + amounts[name].lines, 0),
    bytes: chosen.reduce((sum, name) => sum + amounts[name].bytes, 0),
  };
}

function combined(one: LogAmounts, other: LogAmounts, combine: (left: number, right: number) => number): LogAmounts {
  const of = (name: OutputName) => ({
    lines: combine(one[name].lines, other[name].lines),
    bytes: combine(one[name].bytes, other[name].bytes),
  });
  return { stdout: of("stdout"), stderr: of("stderr") };
}
