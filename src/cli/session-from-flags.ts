import { AppError } from "../base/errors.ts";
import type { PartialSessionWish } from "../config/session-file.ts";
import { type SessionWish, sessionWishSchema } from "../contract/fleet/session.ts";
import { describeProblem } from "../contract/wire-event-problem.ts";
import { parseSessionPort, parseSessionVolume, parseVariable } from "./parse-session-parts.ts";
import { parseWhole } from "./parse-values.ts";

/** Flags of `session start` that say what the session is. */
export interface SessionFlags {
  readonly image?: string;
  readonly name?: string;
  readonly user?: string;
  readonly select?: string;
  readonly port?: readonly string[];
  readonly env?: readonly string[];
  readonly volume?: readonly string[];
  readonly workdir?: string;
  readonly cpu?: string;
  readonly memory?: string;
  readonly gpus?: string;
  readonly idle?: string;
  readonly activeCpu?: string;
  readonly max?: string;
  readonly platform?: string;
  readonly restart?: string;
  readonly hibernation?: string;
  readonly onLost?: string;
}

/** What is known beside the flags. */
export interface SessionGivens {
  /** Of a file: what the flags leave as it is. */
  readonly file: PartialSessionWish;
  readonly id: string | undefined;
  /** The id of the box. */
  readonly box: string | undefined;
  /** What stands after `--`. */
  readonly command: readonly string[];
  /** Of files with variables. */
  readonly variables: Readonly<Record<string, string>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whose it is when nobody says. */
  readonly user: string;
}

/** Where what a flag gives stands in the wish. */
const FLAG_OF: readonly (readonly [string, string])[] = [
  ["template.image", "--image"],
  ["template.env", "--env"],
  ["template.ports", "--port"],
  ["template.workingDirectory", "--workdir"],
  ["template.command", "COMMAND"],
  ["template.args", "COMMAND"],
  ["volumes", "--volume"],
  ["resources.cpu", "--cpu"],
  ["resources.memory", "--memory"],
  ["idleTimeout", "--idle"],
  ["maxDuration", "--max"],
  ["activity", "--active-cpu"],
  ["user", "--user"],
  ["name", "--name"],
  ["select", "--select"],
  ["id", "ID"],
];

/** The whole session as file and flags describe it; flags win. Throws `invalid` with the flag that is wrong. */
export function sessionFromFlags(flags: SessionFlags, givens: SessionGivens): SessionWish {
  const { file, command, variables, environment, box } = givens;
  if (file.id !== undefined && givens.id !== undefined && file.id !== givens.id) {
    throw new AppError("invalid", `ID: given ${givens.id}; allowed: ${file.id}, as in the file`, { field: "ID" });
  }
  const { image = file.template?.image, name, user, select, workdir, cpu, memory, gpus, platform } = flags;
  if (image === undefined && command.length === 0 && file.template?.command === undefined) {
    throw new AppError("invalid", "COMMAND: given nothing; allowed: --image IMAGE, -- COMMAND…, or --file FILE", {
      field: "COMMAND",
    });
  }
  const env = {
    ...file.template?.env,
    ...variables,
    ...Object.fromEntries((flags.env ?? []).map((text) => parseVariable(text, environment))),
  };
  const resources = {
    ...file.resources,
    ...given({ cpu, memory }),
    ...(gpus === undefined ? {} : { gpus: parseWhole(gpus, { field: "--gpus", min: 1, max: 64 }) }),
  };
  const candidate = {
    ...file,
    ...given({ name, platform, box, select }),
    user: user ?? file.user ?? givens.user,
    template: {
      ...file.template,
      ...given({ image, workingDirectory: workdir }),
      ...(command.length === 0 ? {} : commandOf(command, image)),
      ...(Object.keys(env).length === 0 ? {} : { env }),
      ...(flags.port === undefined ? {} : { ports: flags.port.map(parseSessionPort) }),
    },
    ...(flags.volume === undefined ? {} : { volumes: flags.volume.map(parseSessionVolume) }),
    ...(Object.keys(resources).length === 0 ? {} : { resources }),
    ...given({
      idleTimeout: flags.idle,
      maxDuration: flags.max,
      restart: flags.restart,
      hibernation: flags.hibernation,
      onLost: flags.onLost,
    }),
    ...(flags.activeCpu === undefined
      ? {}
      : { activity: { ...file.activity, cpuPercent: percentOf(flags.activeCpu) } }),
  };
  const named = { ...candidate, id: givens.id ?? file.id ?? idFor(candidate.template) };
  const parsed = sessionWishSchema.safeParse(named);
  if (parsed.success) return parsed.data;
  const problem = describeProblem(parsed.error, named);
  const flag = FLAG_OF.find(([place]) => problem.startsWith(place))?.[1];
  throw new AppError("invalid", `${flag === undefined ? "" : `${flag}: `}${problem}`, {
    field: flag ?? problem.split(":")[0] ?? "",
  });
}

/** With an image its own entry point stays, and what stands after `--` are its arguments. */
function commandOf(command: readonly string[], image: string | undefined): object {
  return image === undefined ? { command, args: undefined } : { args: command };
}

/** The first of `nginx`, `nginx-2`, `nginx-3` … that nobody has. */
export function freeId(wanted: string, taken: ReadonlySet<string>): string {
  let id = wanted;
  for (let number = 2; taken.has(id); number++) id = `${wanted}-${number}`;
  return id;
}

/** `registry.example/apps/nginx:1.27` → `nginx`, `/usr/bin/python3.11` → `python3-11` */
function idFor({
  image,
  command,
}: {
  readonly image?: string | undefined;
  readonly command?: readonly string[] | undefined;
}): string {
  const last = (image ?? command?.[0] ?? "").split("/").at(-1) ?? "";
  const word = (image === undefined ? last : last.replace(/[:@].*$/, "")).toLowerCase();
  const id = word
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+/, "")
    .slice(0, 40)
    .replace(/-+$/, "");
  return id === "" ? "session" : id;
}

function percentOf(text: string): number {
  const percent = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : 0;
  if (percent > 0) return percent;
  const message = `--active-cpu: given ${JSON.stringify(text)}; allowed: percent of one core above 0, as in 5`;
  throw new AppError("invalid", message, { field: "--active-cpu" });
}

function given(fields: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const entries = Object.entries(fields);
  return Object.fromEntries(entries.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));
}
