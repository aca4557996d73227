import { Argument, Command } from "commander";
import type { CommandContext, Finish } from "../command-context.ts";
import { type CommandShape, completeWords, type NameKind } from "../complete-words.ts";
import { openHub, readContexts } from "../hub-session.ts";
import { collect } from "../output.ts";

/** A person waits for the list: a hub that is slow or away completes nothing. */
const PATIENCE_MS = 2000;
const MAX_NAMES = 500;

export function completionCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("completion").description("print a script that lets a shell complete commands and names");
  command
    .addArgument(new Argument("<shell>").choices(Object.keys(SCRIPTS)))
    .addHelpText(
      "after",
      `
Names of boxes, streams, tunnels, sessions, rollouts and contexts are completed too, by asking the hub.

  bash   sluice completion bash > ~/.local/share/bash-completion/completions/sluice
  zsh    sluice completion zsh > "\${fpath[1]}/_sluice"
  fish   sluice completion fish > ~/.config/fish/completions/sluice.fish`,
    )
    .action((shell: keyof typeof SCRIPTS) => {
      context.io.write(SCRIPTS[shell]);
      finish(0);
    });
  const words = new Command("words")
    .description("what may stand in the place of the last word")
    .argument("[word...]")
    .action(async (line: string[]) => finish(await runWords(line, command, context)));
  return command.addCommand(words, { hidden: true });
}

/** One candidate a line; none where the shell itself should complete. Never fails: a shell has no place for messages. */
async function runWords(line: readonly string[], command: Command, context: CommandContext): Promise<number> {
  const root = command.parent;
  if (root === null) return 0;
  const completion = completeWords(shapeOf(root), line);
  let words: readonly string[] = completion.kind === "words" ? completion.words : [];
  if (completion.kind === "names") {
    words = await readNames(completion.of, context).catch(() => []);
    words = words.filter((word) => word.startsWith(completion.begin));
  }
  context.io.write(words.map((word) => `${word}\n`).join(""));
  return 0;
}

async function readNames(kind: NameKind, context: CommandContext): Promise<readonly string[]> {
  if (kind === "context") return Object.keys((await readContexts(context)).contexts);
  const hub = await openHub({}, context);
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(PATIENCE_MS)]);
  const limit = MAX_NAMES;
  switch (kind) {
    case "box":
      return (await collect(hub.boxes.list({ limit }, signal))).map(({ id }) => id);
    case "stream":
      return (await collect(hub.workloads.list({ limit }, signal))).map(({ box, workload }) => `${box}/${workload.id}`);
    case "rollout":
      return (await collect(hub.rollouts.list({ limit }, signal))).map(({ id }) => id);
    case "tunnel":
      return (await collect(hub.tunnels.list({ limit }, signal))).map(({ uid }) => uid);
    case "session":
      return (await collect(hub.sessions.list({ limit }, signal))).map(({ id }) => id);
    case "remote":
      return (await collect(hub.remote.list({ limit }, signal))).map(({ id }) => id);
    case "transfer":
      return (await collect(hub.transfers.list({ limit }, signal))).map(({ request_id }) => request_id);
    case "rule":
      return (await collect(hub.alerts.rules({ limit }, signal))).map(({ id }) => id);
    case "token":
      return (await collect(hub.tokens.list({ limit }, signal))).map(({ id }) => id);
  }
}

export function shapeOf(command: Command): CommandShape {
  return {
    name: command.name(),
    options: command.options
      .filter(({ hidden }) => !hidden)
      .map(({ short, long, flags, argChoices }) => ({
        flags: [short, long].filter((flag) => flag !== undefined && flag !== null),
        value: /[<[]([^>\]]+?)(?:\.\.\.)?[>\]]/.exec(flags)?.[1],
        choices: argChoices ?? [],
      })),
    args: command.registeredArguments.map((argument) => argument.name()),
    isVariadic: command.registeredArguments.at(-1)?.variadic ?? false,
    commands: command
      .createHelp()
      .visibleCommands(command)
      .filter((child) => command.parent === null || child.name() !== "help")
      .map((child) => shapeOf(child)),
  };
}

const SCRIPTS = {
  bash: `# bash completion for sluice
_sluice() {
  local IFS=$'\\n'
  COMPREPLY=($("\${COMP_WORDS[0]}" completion words -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _sluice sluice
`,
  zsh: `#compdef sluice
_sluice() {
  local -a candidates
  candidates=("\${(@f)$("\${words[1]}" completion words -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${candidates[1]}" ]]; then compadd -- "\${candidates[@]}"; else _files; fi
}
if [[ "\${funcstack[1]}" = _sluice ]]; then _sluice "$@"; else compdef _sluice sluice; fi
`,
  fish: `# fish completion for sluice
function __sluice_complete
  set -l line (commandline -opc) (commandline -ct)
  set -l candidates ($line[1] completion words -- $line[2..-1] 2>/dev/null)
  if test (count $candidates) -gt 0
    printf '%s\\n' $candidates
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c sluice -f -a '(__sluice_complete)'
`,
} as const;
