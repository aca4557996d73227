/** What completion needs to know of a command. */
export interface CommandShape {
  readonly name: string;
  readonly options: readonly OptionShape[];
  /** Names of its arguments, in order; the last goes on when `isVariadic`. */
  readonly args: readonly string[];
  readonly isVariadic: boolean;
  readonly commands: readonly CommandShape[];
}

export interface OptionShape {
  /** `-f`, `--follow` */
  readonly flags: readonly string[];
  /** What its value is called; undefined for an option that takes none. */
  readonly value: string | undefined;
  readonly choices: readonly string[];
}

/** What only a hub, or a file of ours, knows. */
export const NAME_KINDS = [
  "box",
  "stream",
  "rollout",
  "tunnel",
  "session",
  "remote",
  "transfer",
  "context",
  "rule",
  "token",
] as const;
export type NameKind = (typeof NAME_KINDS)[number];

export type Completion =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "names"; readonly of: NameKind; readonly begin: string }
  /** The shell's own completion of file names, or nothing. */
  | { readonly kind: "files" };

/** What may stand in the place of the last of `words`, which follow the program's name. */
export function completeWords(root: CommandShape, words: readonly string[]): Completion {
  const last = words.at(-1) ?? "";
  let command = root;
  let given = 0;
  let pending: OptionShape | undefined;
  let onlyArguments = false;
  for (const word of words.slice(0, -1)) {
    if (pending !== undefined) {
      pending = undefined;
    } else if (word === "--" && !onlyArguments) {
      onlyArguments = true;
    } else if (word.startsWith("-") && !onlyArguments) {
      const option = command.options.find(({ flags }) => flags.includes(word));
      if (option?.value !== undefined) pending = option;
    } else {
      const next = given === 0 ? command.commands.find(({ name }) => name === word) : undefined;
      if (next === undefined) given++;
      else command = next;
    }
  }
  if (pending !== undefined) return completeValue(pending, last);
  if (last.startsWith("-") && !onlyArguments) {
    return beginning(
      command.options.flatMap(({ flags }) => flags),
      last,
    );
  }
  if (command.commands.length > 0) {
    return beginning(namesOf(command), last);
  }
  if (command.args[given] === "command") return beginning(namesOf(root), last);
  const at = command.isVariadic ? Math.min(given, command.args.length - 1) : given;
  return completeName(command.args[at], last);
}

function namesOf({ commands }: CommandShape): readonly string[] {
  return commands.map(({ name }) => name);
}

function completeValue({ value, choices }: OptionShape, begin: string): Completion {
  return choices.length > 0 ? beginning(choices, begin) : completeName(value, begin);
}

function completeName(name: string | undefined, begin: string): Completion {
  const kind = NAME_KINDS.find((each) => each === (name === "box/stream" ? "stream" : name));
  if (kind !== undefined) return { kind: "names", of: kind, begin };
  return name === undefined ? { kind: "words", words: [] } : { kind: "files" };
}

function beginning(words: readonly string[], begin: string): Completion {
  return { kind: "words", words: words.filter((word) => word.startsWith(begin)) };
}
