import { Command } from "commander";
import { AppError } from "../../base/errors.ts";
import { parseFleetFile } from "../../config/fleet-file.ts";
import { ERROR_POLICY } from "../../contract/error-code.ts";
import { carryOut } from "../apply/carry-out.ts";
import type { FleetStep } from "../apply/fleet-plan.ts";
import { planFleet } from "../apply/plan-fleet.ts";
import { renderPlan } from "../apply/render-plan.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { confirm } from "../confirm.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { countOf, printJson, viewOf } from "../output.ts";
import { createProgress } from "../progress.ts";
import { readGivenFile } from "../read-given-file.ts";

interface ApplyFlags extends HubFlags {
  readonly file: string;
  readonly dryRun?: boolean;
  readonly prune?: boolean;
  readonly yes?: boolean;
}

export function applyCommand(context: CommandContext, finish: Finish): Command {
  return addHubFlags(new Command("apply"))
    .description("make the fleet what a file says: show what differs, ask, and change only that")
    .requiredOption("-f, --file <file>", "the fleet as YAML or JSON; - is standard input")
    .option("--dry-run", "only show what differs")
    .option(
      "--prune",
      "also remove what the file does not name: streams of its boxes, rollouts, tunnels, sessions, rules of alerts",
    )
    .option("-y, --yes", "do not ask")
    .addHelpText(
      "after",
      `
Example of a file. Sections, boxes and fields that it leaves out are not touched, with --prune neither:
  boxes:
    north-1:
      name: North gate
      labels: {site: north}
      streams:
        - id: cam-1
          spec: {input: "rtsp://10.0.0.20/main", outputs: ["rtmp://ingest.example/live/KEY"]}
  rollouts:
    lobby:
      selector: site=north
      template: {kind: stream, id: lobby, spec: {input: "rtsp://{{label.camera}}/main", outputs: ["rtmp://ingest.example/live/{{box.id}}"]}}
  tunnels:
    lobby-feed: {producer: north-1, consumer: studio, sources: [{host: 10.0.0.20, port: 554}], entries: [{port: 5540}]}
  sessions:
    kiosk: {user: lobby, select: site=north, template: {image: "nginx:1.27", ports: [{port: 80, scheme: http}]}, idleTimeout: 30m}
  alertRules:
    offline: {condition: box-offline, webhook: {url: "https://alerts.example/hook"}}

What others changed between the look and the write is not overwritten: the command ends with exit status 75 and says what
was made by then. The streams of one box change together or not at all.`,
    )
    .action(async (flags: ApplyFlags) => finish(await runApply(flags, context)));
}

export async function runApply(flags: ApplyFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const { path, text } = await readGivenFile(flags.file, "--file", context);
  const file = parseFleetFile(path, text);
  const hub = await openHub(flags, context);
  const progress = createProgress(io);
  const options = { prune: flags.prune === true, onBox: (box: string) => progress.say(`looking at ${box}`) };
  const steps = await planFleet(hub, file, { options, signal }).finally(progress.end);
  const changes = steps.flatMap((step) => step.changes);
  if (flags.json !== true) io.write(renderPlan(steps, viewOf(context)));
  if (steps.length === 0 || flags.dryRun === true) {
    if (flags.json === true) printJson(io, { changes, applied: false });
    return 0;
  }
  await confirm(`Make ${changes.length === 1 ? "this change" : `these ${changes.length} changes`}?`, {
    yes: flags.yes,
    io,
  });
  for (const [done, step] of steps.entries()) {
    progress.say(`${subjectOf(step)} (${done + 1} of ${steps.length})`);
    try {
      await carryOut(step.write, hub, signal);
    } catch (error) {
      progress.end();
      throw explainFailure(error, { step, done, of: steps.length });
    }
  }
  progress.end();
  if (flags.json === true) printJson(io, { changes, applied: true });
  else io.write(`${countOf(changes.length, "change")} made.\n`);
  return 0;
}

function subjectOf({ write }: FleetStep): string {
  if (write.kind === "box") return `box ${write.box}`;
  if (write.kind === "streams") return `the streams of ${write.box}`;
  if (write.kind.startsWith("tunnel")) return `tunnel ${write.id}`;
  if (write.kind.startsWith("session")) return `session ${write.id}`;
  return write.kind.startsWith("rollout") ? `rollout ${write.id}` : `alert rule ${write.id}`;
}

function explainFailure(
  error: unknown,
  { step, done, of }: { readonly step: FleetStep; readonly done: number; readonly of: number },
): unknown {
  if (!(error instanceof AppError) || !(error.code in ERROR_POLICY)) return error;
  const made = done === 0 ? "nothing was changed" : `${done} of ${of} steps were made before it`;
  const advice = error.code === "conflict" ? "; run it again to see what differs now" : "";
  const why =
    error.currentRevision === undefined
      ? error.message
      : `it was changed meanwhile (it is at revision ${error.currentRevision} now)`;
  return new AppError(error.code, `${subjectOf(step)}: ${why}; ${made}${advice}`, { cause: error });
}
