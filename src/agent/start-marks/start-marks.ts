import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../../base/atomic-file.ts";
import type { ProcessIdentity } from "../../base/process-identity.ts";

/** One start of the agent, or one process of a tunnel's end: who it was, for whoever cleans up after it. */
export interface StartMark {
  readonly kind: "agent" | "tunnel";
  /** Of the tunnel's workload, or `agent`. */
  readonly id: string;
  /** Of the tunnel. */
  readonly uid?: string;
  /** Of the tunnel's process: the nonce that is in its environment. */
  readonly nonce?: string;
  /** ISO 8601, wall time. */
  readonly at: string;
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
}

/** A mark as it lies in the state directory. */
export interface KeptMark extends StartMark {
  /** `.session-20260115T103045120Z-agent.mark` */
  readonly name: string;
}

export interface StartMarks {
  /** Never rejects: a disk that takes nothing costs the mark and no more. */
  open(mark: StartMark): Promise<void>;
  /** Oldest first; what cannot be read is left out. */
  list(): Promise<readonly KeptMark[]>;
  remove(names: readonly string[]): Promise<void>;
}

/** A box that restarts its agent every minute must not fill its disk with them. */
export const KEPT_MARKS = 200;
const NAME = /^\.session-[0-9]{8}T[0-9]{9}Z-[A-Za-z0-9._-]{1,80}\.mark$/;

export function createStartMarks(stateDir: string): StartMarks {
  const names = async () => {
    const found = await readdir(stateDir).catch((): string[] => []);
    return found.filter((name) => NAME.test(name)).sort();
  };
  const remove = async (gone: readonly string[]) => {
    for (const name of gone) await rm(join(stateDir, name), { force: true }).catch(() => undefined);
  };
  return {
    open: async (mark) => {
      const time = mark.at.replace(/[^0-9TZ]/g, "");
      const name = `.session-${time}-${mark.id}.mark`;
      await replaceFile(join(stateDir, name), `${JSON.stringify(mark)}\n`, false).catch(() => undefined);
      await remove((await names()).slice(0, -KEPT_MARKS));
    },
    list: async () => {
      const marks: KeptMark[] = [];
      for (const name of await names()) {
        const mark = parseMark(await readFile(join(stateDir, name), "utf8").catch(() => ""));
        if (mark !== undefined) marks.push({ ...mark, name });
      }
      return marks;
    },
    remove,
  };
}

/** What marks the start of a process: its own mark for a tunnel's, else that of the agent that started it. Pure. */
export function startOf(
  { identity, mark }: { readonly identity: ProcessIdentity; readonly mark: { readonly nonce: string } },
  marks: readonly KeptMark[],
): KeptMark | undefined {
  const ofBoot = marks.filter(({ bootId }) => bootId === identity.bootId);
  return (
    ofBoot.find(({ nonce }) => nonce === mark.nonce) ??
    ofBoot.findLast(({ kind, startTicks }) => kind === "agent" && startTicks <= identity.startTicks)
  );
}

function parseMark(text: string): StartMark | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isMark(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isMark(value: unknown): value is StartMark {
  if (typeof value !== "object" || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  const isText = (name: string) => typeof fields.get(name) === "string";
  const isNumber = (name: string) => typeof fields.get(name) === "number";
  const isKind = fields.get("kind") === "agent" || fields.get("kind") === "tunnel";
  const isOptionalText = (name: string) => !fields.has(name) || isText(name);
  return (
    isKind &&
    ["id", "at", "bootId"].every(isText) &&
    ["pid", "startTicks"].every(isNumber) &&
    ["uid", "nonce"].every(isOptionalText)
  );
}
